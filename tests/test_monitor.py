"""The monitor's guardrails with a real predictor, the moves by hand, and what the report finds."""

import json
import time

import numpy as np
import pytest
import requests

from functions.monitor import watch
from pipelines.report import report
from rl_core.agents import linucb_saved_model
from rl_core.backends import connect
from rl_core.backends.releasing import challenge
from rl_core.monitoring import Earned, Sample, drifted_features, drifted_reward
from rl_core.simulation import simulated_history
from tests.conftest import deploy, make_config, make_policy
from tests.processes import process, wait_until
from tests.test_cli import banditloop, refused


def ask(platform, times):
    observations = np.zeros((1, 20)).tolist()
    for _ in range(times):
        response = requests.post(f"{platform.endpoint.url()}/predict", json={"instances": observations}, timeout=10)
        assert response.status_code == 200


@pytest.mark.parametrize("share", [0, 50])
@pytest.mark.parametrize(("ill", "reason"), [("failing", "of its"), ("slow", "95 % of its answers take")])
def test_a_challenger_that_fails_or_is_slow_is_rolled_back_and_users_see_nothing(
    share, ill, reason, tmp_path, monkeypatch
):
    allowed = 1e-6 if ill == "slow" else 100.0
    config = make_config(tmp_path, release={"canary": share, "max_milliseconds": allowed})
    platform = connect(config)
    make_policy(tmp_path / "champion", 1)
    champion = deploy(platform.endpoint, tmp_path / "champion")
    if ill == "failing":
        make_policy(tmp_path / "challenger", 2, dim=3)  # for users of another kind
    else:
        monkeypatch.setattr(linucb_saved_model, "save_linucb", lambda *_: None)  # takes minutes for so many actions
        make_policy(tmp_path / "challenger", 2, actions=3000)
    challenger = platform.endpoint.add(tmp_path / "challenger")
    challenge(platform.endpoint, challenger, share, margin=0.0)
    with process(config, "-m", "functions.predictor"):
        wait_until(lambda: len(platform.endpoint.serving()) == 2)
        assert watch(config, platform)[0] is None
        ask(platform, 80)
        assert watch(config, platform)[0] == "rollback"
        ask(platform, 5)
    [verdict] = platform.endpoint.verdicts()
    assert (verdict.version, verdict.champion, verdict.by) == (challenger, champion, "monitor")
    assert reason in verdict.reason
    assert platform.endpoint.release().traffic() == {champion: 100}


def test_moves_by_hand_are_kept_with_their_reasons(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    platform = connect(config)

    def by_hand(*words):
        result = banditloop(*words, "-c", tmp_path / "config.json", "--json")
        assert result.returncode == 0, result
        return json.loads(result.stdout)

    refused(banditloop("traffic", "-c", tmp_path / "config.json"), "nobody answers yet")
    for generation in (1, 2, 3):
        make_policy(tmp_path / "policy", generation)
        platform.endpoint.add(tmp_path / "policy")
    first, second, third = (manifest.version for manifest in platform.endpoint.versions())
    deploy(platform.endpoint, platform.endpoint.policy(first))

    for split in ("none=20", f"{second}=100", f"{second}=x", second, f"{first}=20"):
        refused(banditloop("traffic", split, "-c", tmp_path / "config.json"), split.split("=")[0])
    assert by_hand("traffic", f"{second}=20")[1] == {"version": second, "role": "canary", "traffic": 20}
    assert by_hand("traffic", f"{second}=0")[1] == {"version": second, "role": "shadow", "traffic": 0}
    assert by_hand("rollback", "--reason", "complaints") == [{"version": first, "role": "champion", "traffic": 100}]
    assert by_hand("promote", third)[0]["version"] == third
    assert by_hand("rollback")[0]["version"] == first
    refused(banditloop("rollback", "-c", tmp_path / "config.json"), "nothing is known to have answered before")
    refused(banditloop("promote", "-c", tmp_path / "config.json"), "is not one of")
    by_hand("traffic", f"{second}=30")
    assert by_hand("promote") == [{"version": second, "role": "champion", "traffic": 100}]
    kept = [(v.judgement, v.version, v.reason) for v in platform.endpoint.verdicts()]
    assert kept[:3] == [("canary", second, ""), ("canary", second, ""), ("rollback", second, "complaints")]
    states = {row["version"]: (row["state"], row["by"]) for row in by_hand("versions")}
    assert states == {first: ("", ""), second: ("champion", "hand"), third: ("rolled back", "hand")}


def test_the_report_finds_that_rewards_fall_and_users_change(tmp_path):
    config = make_config(tmp_path)
    platform = connect(config)
    log(config, 0, "random", 0.0, 2.5)
    make_policy(tmp_path / "policy", until=platform.warehouse.window(None).until)
    champion = deploy(platform.endpoint, tmp_path / "policy")
    for seed in range(1, 5):
        log(config, seed, champion, *((0.0, 4.0) if seed < 3 else (3.0, 1.0)))
    found = report(config, platform)
    assert [alarm["kind"] for alarm in found["alarms"]] == ["reward", "features"]
    assert "has fallen" in found["alarms"][0]["text"]
    assert found["alarms"][1]["text"].endswith("features 5")
    [version] = found["versions"]
    assert version["low"] < version["mean_reward"] == 2.5 < version["high"]
    assert found["periods"][-1]["interactions"] == 2000
    assert found["exploration"]["served"] == 2.5


def log(config, seed, version, shift, earned):
    """Let 400 users come whose fifth feature is shifted, and who all earn the same."""
    [(decisions, rewards)] = simulated_history(config.environment, 400, "reward", seed)
    observations = np.array(decisions["observation"].to_pylist(), np.float32)
    observations[:, 5] += shift
    decisions = replaced(replaced(decisions, "observation", list(observations)), "policy_version", [version] * 400)
    warehouse = connect(config).warehouse
    warehouse.append("rewards", replaced(rewards, "value", [earned] * 400))
    warehouse.append("decisions", decisions)
    time.sleep(0.2)


def replaced(table, column, values):
    field = table.schema.field(column)
    return table.set_column(table.column_names.index(column), field, [values])


@pytest.mark.parametrize(("shift", "minded"), [(0.0, []), (0.05, []), (0.5, [3])])
def test_features_that_drift_are_found_and_small_shifts_are_not_minded(shift, minded):
    random, then, now = np.random.default_rng(0), Sample(), Sample()
    then.add(random.normal(size=(3000, 6)), 3000)
    now.add(random.normal(size=(3000, 6)) + shift * (np.arange(6) == 3), 3000)
    assert [feature for feature, *_, is_minded in drifted_features(then, now) if is_minded] == minded
    assert drifted_features(then, Sample()) == []


@pytest.mark.parametrize(("mean", "change"), [(0.5, ""), (0.2, "fallen"), (0.8, "risen")])
def test_a_changed_reward_is_named(mean, change):
    random, then, now = np.random.default_rng(0), Earned(), Earned()
    assert drifted_reward(then, now) == ""
    then.add((random.random(1000) < 0.5) * 1.0)
    now.add((random.random(1000) < mean) * 1.0)
    assert drifted_reward(then, now) == change
