"""The best of several policies: settings by the mean of their seeds, then the best of theirs."""

import json
from pathlib import Path

import pytest
from kfp import dsl

from banditloop.components.selector import selector
from banditloop.rl_core.config import Config
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.policies.manifest import read_manifest
from banditloop.rl_core.promotion.on_policy import on_policy_step
from banditloop.rl_core.promotion.selection import select_policy
from tests.support.components import artifact

LINEAR = {"name": "linear", "dim": 3, "actions": 3, "contexts": 100}
VALUES = {"environment": LINEAR, "agent": {"name": "linucb"}, "policy": {"saved_model": False}}
TRIALS = [{"seed": seed, "hyperparameters": {"alpha": alpha}} for alpha in (1.0, 2.0) for seed in (0, 1)]


@pytest.fixture(scope="module")
def policies(tmp_path_factory):
    """Some are trained for longer than others."""
    folder = tmp_path_factory.mktemp("policies")
    for number, loops in enumerate((4, 8, 1, 200)):
        config = Config.parse(VALUES | {"on_policy": {"training_loops": loops, "batch_size": 2}})
        on_policy_step(config, None, folder / str(number), folder / f"{number}-checkpoints")
    return [folder / str(number) for number in range(4)]


def test_the_best_settings_have_the_best_mean_over_their_seeds(policies):
    config = Config.parse(VALUES)
    best, compared = select_policy(config, policies, TRIALS, 100, None)
    rows = compared["policies"]
    means = {row["hyperparameters"]["alpha"]: row["setting_value"] for row in rows}
    assert means[1.0] == pytest.approx(sum(row["value"] for row in rows if row["hyperparameters"]["alpha"] == 1.0) / 2)
    assert rows[0]["setting_value"] == max(means.values())
    assert rows[0]["value"] >= rows[1]["value"]
    assert rows[0]["difference"] == rows[0]["difference_error"] == 0
    assert all(row["difference"] == pytest.approx(row["value"] - rows[0]["value"]) for row in rows)
    assert rows[0]["version"] == read_manifest(best).version


def test_a_lucky_seed_does_not_decide(policies):
    """The best of all policies has a twin of the same settings that is far worse than others."""
    worst, *others, best = sorted(policies, key=lambda folder: _value(folder))
    grouped = [best, worst, *others]
    selected, compared = select_policy(Config.parse(VALUES), grouped, TRIALS, 100, None)
    values = [_value(folder) for folder in grouped]
    assert sum(values[2:]) > sum(values[:2]), "or this shows nothing"
    assert selected == others[-1]
    assert compared["policies"][0]["difference"] == 0 < max(row["difference"] for row in compared["policies"])


def _value(folder: Path) -> float:
    return select_policy(Config.parse(VALUES), [folder], TRIALS[:1], 100, None)[1]["policies"][0]["value"]


def test_the_component_passes_on_the_best_with_its_page(policies, tmp_path):
    outputs = {"policy": dsl.Model, "comparison": dsl.Artifact, "report": dsl.HTML, "metrics": dsl.Metrics}
    written = {name: artifact(kind, tmp_path / name) for name, kind in outputs.items()}
    models = [artifact(dsl.Model, folder) for folder in policies]
    selector.python_func(config=VALUES, policies=models, trials=TRIALS, **written)
    best = json.loads((tmp_path / "comparison").read_text())["policies"][0]
    assert written["policy"].metadata["version"] == best["version"] == read_manifest(tmp_path / "policy").version
    assert written["metrics"].metadata["policies"] == 4
    assert best["version"] in (tmp_path / "report").read_text()


def test_trials_that_are_not_those_of_the_policies_are_refused(policies):
    with pytest.raises(InvalidInput, match="trials: are 3, of 4 policies"):
        select_policy(Config.parse(VALUES), policies, TRIALS[:3], 100, None)
