"""Decisions that contradict themselves and rewards outside the range, already in the log: left out and counted."""

import numpy as np
import pytest
from kfp import dsl

from banditloop.components.evaluator import evaluator
from banditloop.components.trainer import trainer
from banditloop.rl_core.agents import STATISTICS, read_arrays
from banditloop.rl_core.backends import connect
from banditloop.rl_core.events.holdout import is_held_out
from banditloop.rl_core.promotion.transitions import ensure_champion
from banditloop.rl_core.settings.task import Task
from banditloop.rl_core.testing.events import decisions, rewards
from tests.conftest import assert_same, make_config
from tests.support.components import artifact, ingest

TASK = Task.parse({"actions": 2, "reward_range": [0, 5], "context": {"observation": {"vector": 2}}}, "task")
ROWS, CONTEXT = 400, {"observation": [1.0, 0.5]}
INCONSISTENT = [
    {"propensity": 0.06, "probabilities": [[0.05, 0.95]]},
    {"propensity": 0.2, "probabilities": [[0.2, 0.2]]},
    {"action": "7"},
    {"candidates": [["0", "1"]], "probabilities": [[0.5, 0.3, 0.2]], "action": "0"},
    {"candidates": [["999999", "1"]]},
    {"context": {"observation": [1.0, 2.0, 3.0]}},
]


def logged(tmp_path, inconsistent=(), values=(), aggregation="first"):
    """A loop whose log has ROWS good interactions, inconsistent decisions, and decisions with these rewards."""
    reward = {"aggregation": aggregation, "attribution_window_seconds": 86_400.0}
    config = make_config(tmp_path, task=TASK.model_dump(), reward=reward, gate={"holdout_fraction": 0.3})
    platform, random = connect(config), np.random.default_rng(0)
    ensure_champion(config, platform.endpoint)
    ids, actions = [f"event-{row}" for row in range(ROWS)], random.integers(2, size=ROWS)
    append(platform, ids, (3.0 * actions + random.random(ROWS)).tolist(), action=list(map(str, actions)))
    for number, fields in enumerate(inconsistent):
        for copy in range(5):
            append(platform, [f"wrong-{number}-{copy}"], [1.0], **fields)
    for number, value in enumerate(values):
        append(platform, [f"value-{number}"], [value])
    return config, platform


def append(platform, ids, values, **fields):
    fields = {"context": CONTEXT} | fields
    platform.warehouse.append("rewards", rewards(ids, values))
    platform.warehouse.append("decisions", decisions(ids, "random", mode="simulated", task=TASK, **fields))


def train(config, folder):
    """The statistics of a training on the log, the numbers that the ingester reports, and the policy."""
    examples, metrics = artifact(dsl.Dataset, folder / "examples"), artifact(dsl.Metrics, "metrics")
    ingest(config, examples, metrics)
    policy = artifact(dsl.Model, folder / "policy")
    trainer.python_func(config=config.to_dict(), examples=examples, policy=policy, metrics=artifact(dsl.Metrics, "m"))
    return read_arrays(folder / "policy" / STATISTICS), metrics.metadata, policy


def evaluate(config, policy, folder):
    outputs = {"evaluation": artifact(dsl.Artifact, folder / "evaluation"), "report": artifact(dsl.HTML, folder / "r")}
    metrics = artifact(dsl.Metrics, "metrics")
    evaluator.python_func(config=config.to_dict(), policy=policy, metrics=metrics, run_id="run", **outputs)
    return metrics.metadata["held_out_interactions"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("inconsistent", "values", "reason", "count"),
    [(INCONSISTENT, [], "inconsistent", 5 * len(INCONSISTENT)), ([], [-1.0] * 20 + [1e6] * 10, "outside_range", 30)],
)
def test_what_cannot_be_learned_from_is_left_out_of_training_and_evaluation(
    tmp_path, inconsistent, values, reason, count
):
    (clean, _), (config, platform) = logged(tmp_path / "clean"), logged(tmp_path / "log", inconsistent, values)
    (expected, before, unchanged), (statistics, metrics, policy) = train(clean, tmp_path), train(config, tmp_path / "t")
    assert_same(statistics, expected)
    assert metrics["interactions"] == before["interactions"]
    held_out = platform.warehouse.window(None).interactions - metrics["interactions"] - metrics[reason]
    assert platform.warehouse.window(None).interactions == ROWS + count
    assert 0 < metrics[reason] < count  # the others are held out, and left out of the evaluation
    left = count - metrics[reason]
    assert evaluate(config, policy, tmp_path / "t") == evaluate(clean, unchanged, tmp_path) == held_out - left


def test_a_sum_is_judged_by_itself_and_not_by_its_parts(tmp_path):
    config, platform = logged(tmp_path, aggregation="sum")
    inside, outside = [id for id in map(str, range(100)) if not is_held_out(id, config.gate.holdout_fraction)][:2]
    for name, parts in ((inside, [6.0, -2.0]), (outside, [3.0, 3.0])):
        for number, value in enumerate(parts):
            platform.warehouse.append("rewards", rewards([name], value, source_id=str(number)))
        platform.warehouse.append("decisions", decisions([name], "random", mode="simulated", task=TASK))
    clean, _ = logged(tmp_path / "clean", aggregation="sum")
    (_, with_sums, _), (_, without, _) = train(config, tmp_path / "a"), train(clean, tmp_path / "b")
    assert with_sums["interactions"] - without["interactions"] == 1
    assert with_sums["outside_range"] == 1
