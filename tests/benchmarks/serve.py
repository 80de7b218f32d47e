"""The predictor under load, compared with the reference, a constant app, and itself without log or bus."""

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from banditloop.rl_core.agents.linear_thompson import LinearThompson
from banditloop.rl_core.agents.neural_epsilon_greedy import NeuralEpsilonGreedy
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from tests.benchmarks.load import Measure
from tests.benchmarks.named import TASK, make_named_policy
from tests.benchmarks.ratio import Row, at_least, at_most
from tests.benchmarks.server import Server, comparison_server, predictor
from tests.conftest import deploy, make_config, make_policy

REPEATS, SECONDS, WARM_SECONDS = 5, 2.0, 0.5
PACED_REPEATS = 15  # a 99th percentile needs more repeats, small differences of it most where the machine stalls
Measures = dict[str, list[Measure]]


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        make_policy(folder / "policy", saved_model=True)
        make_policy(folder / "linear_thompson", agent=LinearThompson())
        make_policy(folder / "network", agent=NeuralEpsilonGreedy(), saved_model=True)
        make_named_policy(folder / "names")
        config = make_config(folder)
        servers = {
            "ours": stack.enter_context(predictor(_config(folder / "ours"))),
            "silent": stack.enter_context(predictor(_config(folder / "silent"), "tests.benchmarks.silent")),
            "no bus": stack.enter_context(predictor(_config(folder / "down", bus=False))),
            "reference": stack.enter_context(comparison_server(config, "reference", str(folder / "policy"))),
            "our model": stack.enter_context(comparison_server(config, "reference", str(folder / "policy"), "--ours")),
            "constant": stack.enter_context(comparison_server(config, "constant")),
            "thompson": stack.enter_context(predictor(_config(folder / "thompson", "linear_thompson"))),
            "neural": stack.enter_context(predictor(_config(folder / "neural", "network"))),
            "named": stack.enter_context(predictor(_config(folder / "named", "names", task=TASK.model_dump()))),
            "its model": stack.enter_context(comparison_server(config, "reference", str(folder / "network"), "--ours")),
        }
        for name, server in servers.items():
            server.measure(seconds=WARM_SECONDS, named=name == "named")
        batch_1 = _alternate(servers, ("ours", "reference", "our model", "constant", "thompson", "neural", "its model"))
        named = _alternate(servers, ("named", "constant"), named=True)
        half_rate = _half_rate(batch_1["ours"])
        paced = _alternate(servers, ("ours", "constant"), PACED_REPEATS, rate=half_rate)
        logged = _alternate(servers, ("ours", "silent", "no bus"), PACED_REPEATS, rate=half_rate / 2)
        batch_8 = _alternate(servers, ("ours", "reference"), batch=8)
        batch_512 = _alternate(servers, ("ours", "reference"), batch=512, connections=1)  # takes the reference seconds
        neural_half_rate = _half_rate(batch_1["neural"])
        neural = _alternate(servers, ("neural",), PACED_REPEATS, rate=neural_half_rate)["neural"]
        neural_512 = _alternate(servers, ("neural",), batch=512, connections=1)["neural"]
    neural_ratios = _ratios(batch_1, "its model", "neural")
    ours, silent, no_bus = ([run.p99 for run in logged[name]] for name in ("ours", "silent", "no bus"))
    return [
        at_least("serve: batch 1", [run.rate for run in batch_1["ours"]], "requests/s", 10_000),
        at_least("serve: reference, batch 1", _ratios(batch_1, "reference"), "times faster", 150),
        at_least("serve: our SavedModel behind it, batch 1", _ratios(batch_1, "our model"), "times faster", 1),
        at_least("serve: reference, batch 8", _ratios(batch_8, "reference"), "times faster", 1),
        at_least("serve: reference, batch 512", _ratios(batch_512, "reference"), "times faster", 1),
        at_least("serve: fraction of a constant app's rate, batch 1", _ratios(batch_1, "constant"), "", 0.6),
        at_least("serve: the same, of the default agent", _ratios(batch_1, "constant", "thompson"), "", 0.2),
        at_least(
            "serve: the same with ten named features, 50 candidates", _ratios(named, "constant", "named"), "", 0.22
        ),
        at_most(f"serve: median latency, {half_rate:,.0f} a second", [run.p50 for run in paced["ours"]], "ms", 5),
        at_most(f"serve: 99th percentile, {half_rate:,.0f} a second", [run.p99 for run in paced["ours"]], "ms", 5),
        at_most("serve: 99th percentile of the constant app", [run.p99 for run in paced["constant"]], "ms", 5),
        at_most("serve: median latency, batch 512", [run.p50 for run in batch_512["ours"]], "ms", 10),
        at_most(
            f"serve: added to the 99th by logging, {half_rate / 2:,.0f} a second", _differences(ours, silent), "ms", 1
        ),
        at_most("serve: added to the 99th without a bus", _differences(no_bus, silent), "ms", 1),
        at_least("serve: neural policy, batch 1", [run.rate for run in batch_1["neural"]], "requests/s", 5_000),
        at_least("serve: its SavedModel behind the reference", neural_ratios, "times faster", 4),
        at_most(f"serve: its 99th percentile, {neural_half_rate:,.0f} a second", [run.p99 for run in neural], "ms", 5),
        at_most("serve: its median latency, batch 512", [run.p50 for run in neural_512], "ms", 10),
        at_most("serve: fraction of a core used by the generator", [run.cpu for run in batch_1["constant"]], "", 0.9),
        at_most("serve: lateness of the generator", [run.lateness for run in paced["ours"]], "ms", 1),
    ]


def _config(folder: Path, policy: str = "policy", bus: bool = True, **sections: Any) -> Config:
    """A config with a deployed policy. Without a bus, a file takes its place so that publishing fails."""
    config = make_config(folder, **sections)
    deploy(connect(config).endpoint, folder.parent / policy)
    if not bus:
        (Path(config.backend.root) / "bus").write_text("")
    return config


def _alternate(servers: dict[str, Server], names: tuple[str, ...], repeats: int = REPEATS, **load: Any) -> Measures:
    measures: Measures = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            measures[name].append(servers[name].measure(**{"batch": 1, "seconds": SECONDS} | load))
    return measures


def _half_rate(measures: list[Measure]) -> float:
    """Half of the median rate."""
    return sorted(run.rate for run in measures)[len(measures) // 2] / 2


def _ratios(measures: Measures, reference: str, server: str = "ours") -> list[float]:
    return [ours.rate / theirs.rate for ours, theirs in zip(measures[server], measures[reference], strict=True)]


def _differences(values: list[float], baseline: list[float]) -> list[float]:
    return [value - base for value, base in zip(values, baseline, strict=True)]
