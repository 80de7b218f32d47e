"""The predictor under load, beside the reference, the floor, and itself without a log or a bus, or with a network."""

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from rl_core.agents import NeuralEpsilonGreedy
from rl_core.backends import connect
from rl_core.config import Config
from tests.benchmarks.load import Measure
from tests.benchmarks.ratio import Row, at_least, at_most
from tests.benchmarks.server import Server, compared, predictor
from tests.conftest import deploy, make_config, make_policy

REPEATS, SECONDS, WARM_SECONDS = 5, 2.0, 0.5
PACED_REPEATS = 15  # a 99th percentile takes more; and what adds to it is seen where the machine's stalls add little
Taken = dict[str, list[Measure]]


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        make_policy(folder / "policy")
        make_policy(folder / "network", agent=NeuralEpsilonGreedy())
        own = make_config(folder)
        servers = {
            "ours": stack.enter_context(predictor(_config(folder / "ours"))),
            "silent": stack.enter_context(predictor(_config(folder / "silent"), "tests.benchmarks.silent")),
            "no bus": stack.enter_context(predictor(_config(folder / "down", bus=False))),
            "reference": stack.enter_context(compared(own, "reference", str(folder / "policy"))),
            "our model": stack.enter_context(compared(own, "reference", str(folder / "policy"), "--ours")),
            "floor": stack.enter_context(compared(own, "constant")),
            "neural": stack.enter_context(predictor(_config(folder / "neural", "network"))),
            "its model": stack.enter_context(compared(own, "reference", str(folder / "network"), "--ours")),
        }
        for server in servers.values():
            server.measured(seconds=WARM_SECONDS)
        one = _in_turns(servers, ("ours", "reference", "our model", "floor", "neural", "its model"))
        half = _half(one["ours"])
        paced = _in_turns(servers, ("ours", "floor"), PACED_REPEATS, rate=half)
        logged = _in_turns(servers, ("ours", "silent", "no bus"), PACED_REPEATS, rate=half / 2)
        eight = _in_turns(servers, ("ours", "reference"), batch=8)
        many = _in_turns(servers, ("ours", "reference"), batch=512, connections=1)  # takes the reference seconds
        slow = _half(one["neural"])
        neural = _in_turns(servers, ("neural",), PACED_REPEATS, rate=slow)["neural"]
        neural_many = _in_turns(servers, ("neural",), batch=512, connections=1)["neural"]
    ours, silent, down = ([run.p99 for run in logged[name]] for name in ("ours", "silent", "no bus"))
    return [
        at_least("serve: batch 1", [run.rate for run in one["ours"]], "requests/s", 10_000),
        at_least("serve: reference, batch 1", _ratios(one, "reference"), "times faster", 150),
        at_least("serve: our SavedModel behind it, batch 1", _ratios(one, "our model"), "times faster", 1),
        at_least("serve: reference, batch 8", _ratios(eight, "reference"), "times faster", 1),
        at_least("serve: reference, batch 512", _ratios(many, "reference"), "times faster", 1),
        at_least("serve: share of the floor's rate, batch 1", _ratios(one, "floor"), "", 0.6),
        at_most(f"serve: median answer, {half:,.0f} a second", [run.p50 for run in paced["ours"]], "ms", 5),
        at_most(f"serve: 99th percentile, {half:,.0f} a second", [run.p99 for run in paced["ours"]], "ms", 5),
        at_most("serve: 99th percentile of the floor there", [run.p99 for run in paced["floor"]], "ms", 5),
        at_most("serve: median answer, batch 512", [run.p50 for run in many["ours"]], "ms", 10),
        at_most(f"serve: what logging adds to the 99th, {half / 2:,.0f} a second", _differences(ours, silent), "ms", 1),
        at_most("serve: what it adds without a bus", _differences(down, silent), "ms", 1),
        at_least("serve: neural policy, batch 1", [run.rate for run in one["neural"]], "requests/s", 5_000),
        at_least("serve: its SavedModel behind the reference", _ratios(one, "its model", "neural"), "times faster", 4),
        at_most(f"serve: its 99th percentile, {slow:,.0f} a second", [run.p99 for run in neural], "ms", 5),
        at_most("serve: its median answer, batch 512", [run.p50 for run in neural_many], "ms", 10),
        at_most("serve: the generator's share of a core", [run.cpu for run in one["floor"]], "", 0.9),
        at_most("serve: how late the generator is", [run.late for run in paced["ours"]], "ms", 1),
    ]


def _config(folder: Path, policy: str = "policy", bus: bool = True) -> Config:
    """A root with a policy deployed. Without a bus there is a file in its place, so that nothing can be published."""
    config = make_config(folder)
    deploy(connect(config).endpoint, folder.parent / policy)
    if not bus:
        (Path(config.backend.root) / "bus").write_text("")
    return config


def _in_turns(servers: dict[str, Server], names: tuple[str, ...], repeats: int = REPEATS, **load: Any) -> Taken:
    taken: Taken = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            taken[name].append(servers[name].measured(**{"batch": 1, "seconds": SECONDS} | load))
    return taken


def _half(taken: list[Measure]) -> float:
    return sorted(run.rate for run in taken)[len(taken) // 2] / 2


def _ratios(taken: Taken, other: str, one: str = "ours") -> list[float]:
    return [ours.rate / theirs.rate for ours, theirs in zip(taken[one], taken[other], strict=True)]


def _differences(many: list[float], few: list[float]) -> list[float]:
    return [more - less for more, less in zip(many, few, strict=True)]
