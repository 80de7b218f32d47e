"""The command `evaluate` on a log of episodes: a policy directory, a column, and options of the other kind of log."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pytest
from typer.testing import CliRunner

from banditloop.pipelines.cli.main import app
from banditloop.rl_core.config import Config
from banditloop.rl_core.environments.cartpole import CartPole
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.features.encoding import Encoding
from banditloop.rl_core.policies.directory import write_policy
from banditloop.rl_core.rollouts import rollouts
from banditloop.rl_core.training.lineage import random_manifest

COLUMNS = ["episode_id", "step", "action", "propensity", "reward", "terminal", "truncated"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A log of 40 random CartPole episodes, and the directory of the random policy."""
    folder = tmp_path_factory.mktemp("episodes")
    played = rollouts(None, CartPole(), 0, 40)
    log = played.select(COLUMNS).append_column("cost", [np.full(played.num_rows, 2.0)])
    log = log.append_column("certain", [np.ones(played.num_rows)])
    for feature in played["context"].type:
        log = log.append_column(feature.name, pc.struct_field(played["context"], feature.name))
    pyarrow.csv.write_csv(log, folder / "log.csv")
    config = Config.parse({"task": CartPole().task.model_dump(mode="json")})
    write_policy(folder / "policy", random_manifest(config), {}, Encoding.unfitted(config.task))
    return folder


def run(folder, *words):
    result = CliRunner().invoke(app, ["evaluate", str(folder / "log.csv"), *map(str, words)])
    if result.exception:
        raise result.exception
    return result.stdout


def returns_of(folder):
    log = pyarrow.csv.read_csv(folder / "log.csv")
    discounted = np.multiply(log["reward"], 0.99 ** log["step"].to_numpy())
    return pa.table({"id": log["episode_id"], "value": discounted}).group_by("id").aggregate([("value", "sum")])


def test_a_policy_directory_has_values_fitted_to_its_features(folder):
    summary = json.loads(run(folder, "--policy", folder / "policy", "--metric", "cost", "--json"))
    found, mean = summary["returns"]["reward"], np.mean(returns_of(folder)["value_sum"])
    assert summary["primary"] == "weighted_dr"
    assert summary["discount"] == 0.99
    assert found["logged"]["value"] == pytest.approx(mean)
    assert found["estimates"]["weighted_is"]["value"] == pytest.approx(mean)
    assert found["estimates"]["weighted_dr"]["low"] < 19.35 < found["estimates"]["weighted_dr"]["high"]
    assert summary["returns"]["cost"]["logged"]["value"] == pytest.approx(2 * mean)
    text = run(folder, "--policy", folder / "policy", "--discount", "1", "--html", folder / "page.html")
    page = (folder / "page.html").read_text()
    assert "weighted doubly robust" in page
    assert "cut off" not in page  # random episodes end before step 200
    assert "40 episodes" in text
    assert "discount 1" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_column_has_the_probabilities_of_the_logged_actions(folder):
    summary = json.loads(run(folder, "--policy", "certain", "--baseline", "propensity", "--json"))
    assert summary["primary"] == "per_decision_weighted_is"
    assert summary["returns"]["reward"]["baseline_estimates"]["weighted_is"]["value"] == pytest.approx(
        np.mean(returns_of(folder)["value_sum"])
    )
    assert summary["diagnostics"]["effective_episodes"] < 2  # the longest episode has nearly all of the weight
    assert summary["warnings"][0].startswith("horizon: from step")
    assert summary["warnings"][0].endswith("at the end), and there is no model to rely on")


def test_episodes_without_a_propensity_are_left_out_and_counted(folder, tmp_path):
    log = pyarrow.csv.read_csv(folder / "log.csv")
    ids = log["episode_id"].unique()
    first, later = pc.equal(log["episode_id"], ids[0]), pc.equal(log["step"], 1)
    missing = log.set_column(3, "propensity", pc.if_else(pc.and_(first, later), None, log["propensity"]))
    pyarrow.csv.write_csv(missing, tmp_path / "log.csv")
    (tmp_path / "known").mkdir()
    pyarrow.csv.write_csv(log.filter(pc.invert(first)), tmp_path / "known" / "log.csv")
    options = "--policy", folder / "policy", "--metric", "cost", "--json", "--logging-policy", "unknown"
    found, known = (json.loads(run(place, *options)) for place in (tmp_path, tmp_path / "known"))
    assert found.pop("left_out") == {"in episodes without a propensity": pc.sum(first).as_py()}
    assert known.pop("left_out") == {}
    assert found == known
    none = log.set_column(3, "propensity", pa.nulls(len(log), pa.float64()))
    pyarrow.csv.write_csv(none, tmp_path / "log.csv")
    with pytest.raises(InvalidInput, match="propensity: "):
        run(tmp_path, *options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--by", "cost"], "--by: is for logs of single decisions, and this one has episodes"),
        (["--detect", ".1"], "--detect: is for logs of single decisions"),
        (["--metric", "costs"], "'costs': the log has no such column; did you mean 'cost'"),
        (["--discount", "2"], "discount = 2: must be above 0"),
        (["--map", "episode_id=none"], "the log has no such column"),
    ],
)
def test_what_does_not_fit_a_log_of_episodes_is_refused(folder, options, message):
    with pytest.raises(InvalidInput, match=message):
        run(folder, "--policy", "propensity", *options)


def test_options_of_episodes_need_episodes(folder, tmp_path):
    log = pyarrow.csv.read_csv(folder / "log.csv").drop_columns(["episode_id"])
    pyarrow.csv.write_csv(log, tmp_path / "log.csv")
    with pytest.raises(InvalidInput, match="--discount: is for logs of episodes"):
        run(tmp_path, "--policy", "propensity", "--discount", ".9")
