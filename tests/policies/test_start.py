"""A changed config on the same log and policies: it works, or every start refuses it in one line."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from kfp import dsl

from banditloop.components.evaluator import evaluator
from banditloop.components.generator import generator
from banditloop.components.trainer import trainer
from banditloop.pipelines.compile import compile_pipelines
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.events.candidates import Candidates
from banditloop.rl_core.policies.saved_policy import SavedPolicy
from banditloop.rl_core.promotion.start import check_start
from banditloop.rl_core.promotion.transitions import ensure_champion
from banditloop.rl_core.testing.events import decisions, rewards
from tests.support.components import artifact, deploy_policy, ingest

FEATURES = {"age": "number", "ok": "boolean", "device": ["x", "y"], "tags": "categories", "v": {"vector": 3}}
CONTEXT = {"age": 30.0, "ok": True, "device": "x", "tags": ["t"], "v": [1.0, 2.0, 3.0]}
TASK = {"actions": ["0", "1"], "reward_range": [0, 10], "context": FEATURES, "action_features": {"p": {"vector": 2}}}


def loop(root, task, **sections):
    values = {"task": task, "backend": {"root": str(root)}, "policy": {"saved_model": False}}
    values["reward"] = {"attribution_window_seconds": 0.01}
    return Config.parse(values | sections)


def started(config, context, rows=60):
    """The loop's platform, with the random policy and its log; the rewards are 5."""
    platform = connect(config)
    check_start(config, platform)
    ensure_champion(config, platform.endpoint)
    ids = [f"{'-'.join(context)}-{row}" for row in range(rows)]
    actions = np.random.default_rng(0).choice(["0", "1"], size=rows).tolist()
    listed = {"candidates": [["0", "1"]] * rows, "action": actions}
    platform.warehouse.append("rewards", rewards(ids, 5.0))
    platform.warehouse.append("decisions", decisions(ids, "random", task=config.task, context=context, **listed))
    return platform


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context": FEATURES | {"age": "category"}}, "task.context.age: is stored as number; the task says category"),
        ({"context": FEATURES | {"ok": "number"}}, "task.context.ok: is stored as boolean; the task says number"),
        ({"context": FEATURES | {"tags": "category"}}, "task.context.tags: is stored as categories; the task says"),
        ({"context": {"Age": "number"}}, "task.context.Age: is stored as age, and SQL does not distinguish them"),
        (
            {"context": FEATURES | {"v": {"vector": 5}}},
            "task.context.v = {vector = 5}: the policy random and its log have v as {vector = 3}; rename the feature",
        ),
        ({"context": {"v": {"vector": 2}}}, "task.context.v = {vector = 2}: the policy random"),
        ({"action_features": {"p": {"vector": 3}}}, "task.action_features.p = {vector = 3}: the policy random"),
        (
            {"reward_range": [0, 4]},
            "task.reward_range = [0.0, 4.0]: the log has rewards from 5 to 5, which would be left out",
        ),
    ],
)
def test_what_log_or_policies_contradict_is_refused_in_one_line(tmp_path, change, message):
    started(loop(tmp_path, TASK), CONTEXT)
    config = loop(tmp_path, TASK | change)
    with pytest.raises(InvalidInput) as error:
        check_start(config, connect(config))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"actions": 3},
        {"actions": ["0", "1", "2"]},
        {"actions": "open"},
        {"context": FEATURES | {"device": ["y", "z"]}},
        {"context": FEATURES | {"device": "category", "more": "number"}},
        {"context": {"age": "number"}, "action_features": {}},
        {"context": {"w": {"vector": 5}}},
        {"reward_range": [-1, 20]},
        {"reward_range": [0, 5]},
        {"reward_range": [4, 9]},
    ],
)
def test_what_they_allow_starts(tmp_path, change):
    started(loop(tmp_path, TASK), CONTEXT)
    config = loop(tmp_path, TASK | change, reward={"default": 5.0, "attribution_window_seconds": 0.01})
    check_start(config, connect(config))


def test_every_component_checks_before_it_works(tmp_path):
    before = {"actions": 2, "context": {"observation": {"vector": 2}}}
    started(loop(tmp_path, before), {"observation": [1.0, 2.0]})
    changed = loop(tmp_path, before | {"context": {"observation": {"vector": 3}}})
    config = changed.to_dict()
    outputs = {name: artifact(dsl.Artifact, tmp_path / name) for name in ("examples", "policy", "evaluation", "report")}
    metrics = artifact(dsl.Metrics, tmp_path / "metrics")
    policy, evaluation, report = (outputs[name] for name in ("policy", "evaluation", "report"))
    for run in (
        lambda: generator.python_func(config=config, metrics=metrics),
        lambda: ingest(changed, outputs["examples"]),
        lambda: trainer.python_func(config=config, examples=outputs["examples"], policy=policy, metrics=metrics),
        lambda: evaluator.python_func(
            config=config, policy=policy, evaluation=evaluation, report=report, metrics=metrics
        ),
        lambda: deploy_policy(changed, policy),
    ):
        with pytest.raises(InvalidInput, match=r"task\.context\.observation = {vector = 3}: the policy random"):
            run()
    assert not any((tmp_path / name).exists() for name in outputs)


@pytest.mark.parametrize("command", [["serve"], ["run", "start", "startup.yaml"], ["loop"]])
def test_every_command_that_starts_work_checks_first(tmp_path, command):
    environment = {"name": "linear", "dim": 3}
    values = {"environment": environment, "backend": {"root": str(tmp_path)}}
    config = Config.parse(values)
    ensure_champion(config, connect(config).endpoint)
    if "run" in command:
        compile_pipelines(tmp_path, config)
    changed = json.dumps(values | {"environment": environment | {"dim": 4}})
    result = subprocess.run(
        [sys.executable, "-m", "banditloop.pipelines", *command],
        env=os.environ | {"BANDITLOOP_CONFIG": changed},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("banditloop: task.context.observation = {vector = 4}: the policy random")
    assert result.stderr.count("\n") == 1


def test_a_renamed_plain_vector_is_missing_in_older_interactions(tmp_path):
    """As the message advises: the whole log is learned from, and evaluation, serving and reports go on."""
    before, after = (
        {"actions": 2, "reward_range": [0, 5], "context": {name: {"vector": 2}}} for name in ("h", "renamed")
    )
    started(loop(tmp_path, before), {"h": [1.0, 2.0]})
    config = loop(tmp_path, after)
    platform = started(config, {"renamed": [3.0, 4.0]}, rows=70)
    examples, policy = artifact(dsl.Dataset, tmp_path / "examples"), artifact(dsl.Model, tmp_path / "policy")
    metrics = artifact(dsl.Metrics, tmp_path / "metrics")
    ingest(config, examples, metrics)
    trainer.python_func(config=config.to_dict(), examples=examples, policy=policy, metrics=metrics)
    evaluation, report = (artifact(dsl.Artifact, tmp_path / name) for name in ("evaluation", "report"))
    evaluator.python_func(config=config.to_dict(), policy=policy, evaluation=evaluation, report=report, metrics=metrics)
    learned = SavedPolicy.load(tmp_path / "policy")
    assert learned.manifest.interactions == examples.metadata["interactions"] > 100
    assert learned.expected_rewards(np.array([[3.0, 4.0]]), Candidates(("0", "1"))).min() > 0
    check_start(config, platform)


def test_a_vector_that_changed_before_any_training_is_left_out_with_a_count(tmp_path):
    """No policy knows of the feature: only the log does."""
    base = {"actions": 2, "context": {"age": "number"}, "reward_range": [0, 5]}
    started(loop(tmp_path, base), {"age": 1.0})
    started(loop(tmp_path, base | {"context": {"age": "number", "v": {"vector": 3}}}), {"age": 1.0, "v": [1.0] * 3})
    config = loop(tmp_path, base | {"context": {"age": "number", "v": {"vector": 2}}})
    examples, metrics = artifact(dsl.Dataset, tmp_path / "examples"), artifact(dsl.Metrics, "m")
    ingest(config, examples, metrics)
    assert metrics.metadata["inconsistent"] > 0
    assert examples.metadata["interactions"] > 0
