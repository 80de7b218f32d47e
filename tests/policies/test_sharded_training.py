"""Training in shards makes the policy of one training: the steps one by one, and the compiled pipelines."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from kfp import dsl

from banditloop.components.planner import planner
from banditloop.pipelines.compile import compile_pipelines
from banditloop.rl_core.agents import ACTION_FEATURES, STATISTICS, read_arrays
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.features.encoding import ENCODING, Encoding
from banditloop.rl_core.policies.audits import read_audits
from banditloop.rl_core.policies.manifest import read_manifest
from banditloop.rl_core.promotion.shard_steps import add_up_step, export_shard_step, merge_step, plan_step
from banditloop.rl_core.promotion.steps import export_step, simulate_step, train_step
from banditloop.rl_core.promotion.transitions import deploy, ensure_champion
from banditloop.rl_core.testing.events import decisions, rewards
from tests.conftest import assert_same, make_config
from tests.support.components import artifact
from tests.support.processes import wait_until

SHARDS = 4
REMOTE = f"example.com/banditloop@sha256:{0:064}"


def train_in_shards(config: Config, folder: Path) -> Path:
    """The policy of the next training in shards, merged in another order than they were made."""
    platform, sums = connect(config), []
    for number, shard in enumerate(plan_step(config, platform, folder / "plan", "", "")):
        examples, part = folder / f"examples-{number}", folder / f"sums-{number}"
        export = export_shard_step(config, platform, folder / "plan", shard, examples)
        add_up_step(config, platform, examples, part, export.metadata)
        sums.append(part)
    assert len(sums) == config.training.shards
    merge_step(config, platform, sums[::-1], folder / "merged", "a-run")
    return folder / "merged"


def train_at_once(config: Config, folder: Path) -> Path:
    platform = connect(config)
    export = export_step(config, platform, None, folder / "examples", folder / "held-out", {}, "", "")
    train_step(config, platform, folder / "examples", folder / "whole", export.metadata, "a-run")
    return folder / "whole"


def assert_same_encoding(one: str, other: str) -> None:
    """Assert that two texts are the same but for the rounding of their numbers."""
    number = r"-?\d+\.\d+(?:e-?\d+)?"
    assert re.sub(number, "", one) == re.sub(number, "", other)
    left, right = (np.array(re.findall(number, text), float) for text in (one, other))
    np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-9)


def assert_same_policy(one: Path, other: Path) -> None:
    assert_same(read_arrays(one / STATISTICS), read_arrays(other / STATISTICS))
    assert_same_encoding((one / ENCODING).read_text(), (other / ENCODING).read_text())
    left, right = (read_manifest(folder).model_dump(exclude={"version", "files"}) for folder in (one, other))
    assert left == right
    audits, others = read_audits(one), read_audits(other)
    assert audits.keys() == others.keys()
    for version, audit in audits.items():  # the bets depend on the order of the decisions
        assert (audit.count, audit.inconsistent) == (others[version].count, others[version].inconsistent)
        np.testing.assert_allclose(audit.chosen, others[version].chosen)
        np.testing.assert_allclose(audit.expected, others[version].expected, atol=1e-9)


@pytest.mark.parametrize(
    "agent",
    [
        {"name": "linucb"},
        {"name": "linear_thompson"},
        {"name": "linear_thompson", "half_life": 200.0},
        {"name": "epsilon_greedy", "reward_model": {"name": "ridge", "cb_type": "dr"}},
    ],
    ids=lambda agent: "-".join(map(str, agent.values())).partition("{")[0],
)
def test_shards_make_the_policy_of_one_training_from_nothing_and_from_a_parent(tmp_path, agent):
    config = make_config(tmp_path, agent=agent, training={"shards": SHARDS})
    for generation, seed in enumerate((0, 1, 2), start=1):
        simulate_step(config, connect(config), 700, seed)
        folder = tmp_path / f"training-{generation}"
        merged, whole = train_in_shards(config, folder), train_at_once(config, folder)
        assert_same_policy(merged, whole)
        manifest = read_manifest(merged)
        assert (manifest.generation, manifest.interactions) == (generation, pytest.approx(630 * generation, abs=80))
        deploy(config, connect(config).endpoint, merged, "canary")
    assert read_arrays(merged / STATISTICS).get("evidence", np.ones(1))[0] != 0  # every shard has judged by the parent


TASK = {
    "actions": None,
    "context": {"age": "number", "device": "category"},
    "action_features": {"price": "number"},
    "reward_range": [0.0, 1.0],
}


@pytest.mark.parametrize(
    "agent",
    [
        {"name": "linucb"},
        {"name": "linear_thompson"},
        {"name": "bag"},
        *(
            {"name": "epsilon_greedy", "reward_model": {"name": "ridge", "cb_type": kind}}
            for kind in ("ips", "dr", "mtr")
        ),
    ],
    ids=str,
)
def test_actions_that_only_some_shards_have_seen_get_their_places_and_their_latest_features(tmp_path, agent):
    """The encoder of contexts is fitted, and each round shows other offers, some only once."""
    task = {key: value for key, value in TASK.items() if value is not None}
    config = make_config(tmp_path, task=task, agent=agent, environment={}, training={"shards": SHARDS})
    random, platform = np.random.default_rng(3), connect(config)
    ensure_champion(config, platform.endpoint)
    for generation in (1, 2):
        log_offers(config, random, generation)
        folder = tmp_path / f"training-{generation}"
        merged, whole = train_in_shards(config, folder), train_at_once(config, folder)
        assert_same_policy(merged, whole)
        encoding = Encoding.read(merged)
        assert len(encoding.action_ids) > 15 * generation
        assert (
            len(encoding.action_features) == len(encoding.action_ids) == len(read_arrays(merged / STATISTICS)["counts"])
        )
        assert ACTION_FEATURES in read_arrays(merged / STATISTICS)
        deploy(config, platform.endpoint, merged, "canary")


def log_offers(config: Config, random: np.random.Generator, generation: int) -> None:
    """Log decisions among five of twenty new offers each, whose prices change with time."""
    platform = connect(config)
    for part in range(3):
        ids = [f"event-{generation}-{part}-{number}" for number in range(60)]
        offers = [[f"offer {generation}-{number}" for number in random.choice(20, 5, replace=False)] for _ in ids]
        prices = [[{"price": float(random.integers(100))} for _ in some] for some in offers]
        contexts = [
            {"age": float(random.integers(20, 80)), "device": str(random.choice(["phone", "tablet"]))} for _ in ids
        ]
        events = decisions(
            ids,
            "random",
            task=config.task,
            context=contexts,
            mode="simulated",
            candidates=offers,
            candidate_features=prices,
        )
        platform.warehouse.append("rewards", rewards(ids[::2], 1.0))
        platform.warehouse.append("decisions", events)


def test_what_is_no_shard_of_one_training_is_refused(tmp_path):
    config = make_config(tmp_path, training={"shards": 2})
    platform, plan = connect(config), tmp_path / "plan"
    with pytest.raises(InvalidInput, match="no complete interactions since the beginning"):
        plan_step(config, platform, plan, "", "")
    simulate_step(config, platform, 50, 0)
    sums = []
    for training in range(2):
        shards = plan_step(config, platform, plan, "", "")
        export = export_shard_step(config, platform, plan, shards[0], tmp_path / "examples")
        add_up_step(config, platform, tmp_path / "examples", tmp_path / f"sums-{training}", export.metadata)
        sums.append(tmp_path / f"sums-{training}")
        simulate_step(config, platform, 50, 1)
    with pytest.raises(InvalidInput, match="sums: come from different trainings; give those of all shards of one"):
        merge_step(config, platform, sums, tmp_path / "policy", "")
    for given, shards in ((sums[:1], "1 folders of 1"), ([sums[0]] * 2, "2 folders of 1")):
        error = f"sums: {shards} different shards; give one folder for each of the 2 shards"
        with pytest.raises(InvalidInput, match=error):
            merge_step(config, platform, given, tmp_path / "policy", "")
    with pytest.raises(InvalidInput, match="sums: are none"):
        merge_step(config, platform, [], tmp_path / "policy", "")
    early = plan_step(config, platform, plan, "2000-01-01", "")  # before anything was logged
    for number, shard in enumerate(early):
        export = export_shard_step(config, platform, plan, shard, tmp_path / "none")
        add_up_step(config, platform, tmp_path / "none", tmp_path / f"none-{number}", export.metadata)
    with pytest.raises(
        InvalidInput, match="no interaction since the beginning can be learned from; the ingesters' logs"
    ):
        merge_step(config, platform, [tmp_path / "none-0", tmp_path / "none-1"], tmp_path / "policy", "")
    with pytest.raises(InvalidInput, match="is not the output of a planner"):
        export_shard_step(config, platform, tmp_path / "examples", "0/2", tmp_path / "others")
    with pytest.raises(InvalidInput, match="shard: is missing"):
        export_shard_step(config, platform, plan, "", tmp_path / "others")
    with pytest.raises(InvalidInput, match=r"agent.name = 'neural_epsilon_greedy': its statistics of several shards"):
        other = make_config(tmp_path, agent={"name": "neural_epsilon_greedy"})
        add_up_step(other, platform, tmp_path / "examples", tmp_path / "sums", export.metadata)
    with pytest.raises(InvalidInput, match="backend: is missing; a planner needs"):
        outputs = {"plan": artifact(dsl.Artifact, plan), "metrics": artifact(dsl.Metrics, "metrics")}
        planner.python_func(
            config={key: value for key, value in config.to_dict().items() if key != "backend"}, **outputs
        )
    assert not (tmp_path / "policy").exists()


@pytest.mark.parametrize(
    ("sections", "error"),
    [
        (
            {"agent": {"name": "neural_epsilon_greedy"}},
            r"training.shards = 2: neural_epsilon_greedy trains on one machine",
        ),
        ({"training": {"shards": 0}}, r"training.shards = 0"),
        (
            {
                "training": {"shards": 2, "machine_type": "n1-standard-4"},
                "backend": {"name": "google", "project": "a-project", "bucket": "bucket", "image": REMOTE},
            },
            "training.shards = 2: the pipeline's own tasks train; omit training.machine_type",
        ),
    ],
)
def test_a_config_whose_shards_nobody_can_train_is_refused(tmp_path, sections, error):
    with pytest.raises(InvalidInput, match=error):
        make_config(tmp_path, **{"training": {"shards": 2}} | sections)


def test_compiled_pipelines_have_a_loop_over_shards_whose_tasks_get_the_resources(tmp_path):
    backend = {"name": "google", "project": "a-project", "bucket": "bucket", "image": REMOTE}
    config = make_config(tmp_path, backend=backend, training={"shards": SHARDS, "cpus": 4})
    for path in compile_pipelines(tmp_path / "pipelines", config):
        spec = yaml.safe_load(path.read_text())
        [loop] = [task for task in spec["root"]["dag"]["tasks"].values() if "parameterIterator" in task]
        assert loop["parameterIterator"]["items"]["inputParameter"]
        executors = spec["deploymentSpec"]["executors"]
        limited = {name for name, executor in executors.items() if "resources" in executor["container"]}
        assert limited == {"exec-accumulator", "exec-merger"}
        assert "exec-trainer" not in executors


@pytest.mark.slow
def test_the_compiled_pipelines_with_shards_run_on_one_machine_and_make_the_policy_of_one_training(tmp_path):
    config = make_config(tmp_path, training={"shards": SHARDS})
    startup, retraining = compile_pipelines(tmp_path / "pipelines", config)
    platform, parameters = connect(config), {"config": config.to_dict()}
    platform.runner.submit(startup, parameters | {"interactions": 300, "run_id": "first"}, "first")
    wait_until(lambda: platform.runner.state("first") != "running", 240)
    assert platform.runner.state("first") == "succeeded", platform.runner.explain("first")
    simulate_step(config, platform, 300, 1)
    whole = train_at_once(config, tmp_path / "one")
    platform.runner.submit(retraining, parameters | {"run_id": "a-run"}, "a-run")
    wait_until(lambda: platform.runner.state("a-run") != "running", 240)
    assert platform.runner.state("a-run") == "succeeded", platform.runner.explain("a-run")
    tasks = platform.runner.tasks("a-run")
    assert {task.state for task in tasks} == {"succeeded"}
    names = [task.name for task in tasks]
    assert [names.count(name) for name in ("planner", "ingester", "accumulator", "merger")] == [1, SHARDS, SHARDS, 1]
    made = [manifest for manifest in platform.endpoint.versions() if manifest.run == "a-run"]
    assert_same_policy(platform.endpoint.policy(made[0].version), whole)
