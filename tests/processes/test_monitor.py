"""The monitor's guardrails with a real predictor, manual release moves, and drift in the report."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
import requests

from banditloop.rl_core.agents.neural_epsilon_greedy import NeuralEpsilonGreedy
from banditloop.rl_core.backends import connect
from banditloop.rl_core.environments.history import simulated_history
from banditloop.rl_core.events.contexts import context_array
from banditloop.rl_core.promotion.monitor import check_canary
from banditloop.rl_core.promotion.transitions import start_canary
from banditloop.rl_core.reports.drift import (
    SAMPLE_ROWS,
    ObservationSample,
    RewardStats,
    drifted_features,
    drifted_reward,
)
from banditloop.rl_core.reports.log_reading import PERIODS, read_log
from banditloop.rl_core.reports.release_report import report
from banditloop.rl_core.reports.status import status
from tests.conftest import deploy, make_config, make_policy
from tests.support.command_line import assert_refused, banditloop
from tests.support.processes import process, wait_until


def send_requests(platform, count):
    observations = np.zeros((1, 20)).tolist()
    for _ in range(count):
        response = requests.post(f"{platform.endpoint.url()}/predict", json={"instances": observations}, timeout=10)
        assert response.status_code == 200


SLOW_AGENT = NeuralEpsilonGreedy(hidden_units=2048, hidden_layers=3, epochs=1)  # some milliseconds an observation


@pytest.mark.parametrize("canary_percent", [0, 50])
@pytest.mark.parametrize(("fault", "reason"), [("failing", "of its"), ("slow", "has a p95 latency of")])
def test_a_failing_or_slow_challenger_is_rolled_back_without_failed_requests(canary_percent, fault, reason, tmp_path):
    max_latency_ms = 1e-6 if fault == "slow" else 100.0
    config = make_config(tmp_path, release={"canary_percent": canary_percent, "max_p95_latency_ms": max_latency_ms})
    platform = connect(config)
    make_policy(tmp_path / "champion", 1)
    champion = deploy(platform.endpoint, tmp_path / "champion")
    if fault == "failing":
        make_policy(tmp_path / "challenger", 2, dim=3)  # for observations of another length
    else:
        make_policy(tmp_path / "challenger", 2, agent=SLOW_AGENT)
    challenger = platform.endpoint.add(tmp_path / "challenger")
    start_canary(platform.endpoint, challenger, canary_percent, margin=0.0)
    with process(config, "-m", "banditloop.functions.predictor"):
        wait_until(lambda: len(platform.endpoint.serving_versions()) == 2)
        assert check_canary(config, platform)[0] is None
        send_requests(platform, 80)
        assert check_canary(config, platform)[0] == "rollback"
        send_requests(platform, 5)
    [verdict] = platform.endpoint.verdicts()
    assert (verdict.version, verdict.champion, verdict.by) == (challenger, champion, "monitor")
    assert reason in verdict.reason
    assert platform.endpoint.release().traffic() == {champion: 100}


def test_manual_moves_are_recorded_with_their_reasons(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    platform = connect(config)

    def release(*words):
        result = banditloop("release", *words, "-c", tmp_path / "config.json", "--json")
        assert result.returncode == 0, result
        return json.loads(result.stdout)

    assert_refused(banditloop("release", "traffic", "-c", tmp_path / "config.json"), "no version is served yet")
    for generation in (1, 2, 3):
        make_policy(tmp_path / "policy", generation)
        platform.endpoint.add(tmp_path / "policy")
    first, second, third = (manifest.version for manifest in platform.endpoint.versions())
    deploy(platform.endpoint, platform.endpoint.policy(first))

    for split in ("none=20", f"{second}=100", f"{second}=x", second, f"{first}=20"):
        assert_refused(banditloop("release", "traffic", split, "-c", tmp_path / "config.json"), split.split("=")[0])
    assert_refused(
        banditloop("release", "traffic", "=20", "-c", tmp_path / "config.json"), "traffic '=20': give VERSION"
    )
    for words in (("traffic", "v2=20"), ("promote", "v2")):
        assert_refused(banditloop("release", *words, "-c", tmp_path / "config.json"), second, "give --yes")
    assert_refused(
        banditloop("release", "promote", "v2", "--reason", "x" * 501, "-c", tmp_path / "config.json"), "--reason"
    )
    assert platform.endpoint.release().traffic() == {first: 100}
    assert release("traffic", "v2=20", "--yes")[1] == {"version": second, "status": "canary", "traffic_percent": 20}
    assert release("traffic", f"{second}=0", "--yes")[1] == {
        "version": second,
        "status": "shadow",
        "traffic_percent": 0,
    }
    rolled_back = release("rollback", "--reason", "complaints", "--yes")
    assert rolled_back == [{"version": first, "status": "champion", "traffic_percent": 100}]
    assert release("promote", third, "-y")[0]["version"] == third
    assert release("rollback", "--yes")[0]["version"] == first
    assert_refused(banditloop("release", "rollback", "-c", tmp_path / "config.json"), "has no previous champion")
    assert_refused(
        banditloop("release", "promote", "-c", tmp_path / "config.json"), "there is no challenger to promote"
    )
    release("traffic", f"{second}=30", "--yes")
    assert release("promote", "--yes") == [{"version": second, "status": "champion", "traffic_percent": 100}]
    moves = [(v.decision, v.version, v.reason) for v in platform.endpoint.verdicts()]
    assert moves[:3] == [("canary", second, ""), ("canary", second, ""), ("rollback", second, "complaints")]
    states = {row["version"]: (row["status"], row["by"]) for row in release("versions")}
    assert states == {first: ("", ""), second: ("champion", "operator"), third: ("rolled back", "operator")}


@pytest.mark.parametrize(("answer", "status"), [("n", 1), ("y", 0)])
def test_a_promotion_says_what_will_happen_and_asks(tmp_path, config, answer, status):
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    endpoint = connect(config).endpoint
    make_policy(tmp_path / "first", 1)
    first = deploy(endpoint, tmp_path / "first")
    make_policy(tmp_path / "second", 2)
    second = endpoint.add(tmp_path / "second")
    keyboard, terminal = os.openpty()
    os.write(keyboard, f"{answer}\n".encode())
    command = [sys.executable, "-m", "banditloop.pipelines", "release", "promote", "v2", "-c", tmp_path / "config.json"]
    result = subprocess.run(command, stdin=terminal, capture_output=True, text=True)
    for end in (keyboard, terminal):
        os.close(end)
    assert f"{second} serves all users; {first} is champion no more." in result.stderr
    assert result.returncode == status
    assert endpoint.release().champion == (second if answer == "y" else first)


def test_the_report_finds_fallen_rewards_and_drifted_features(tmp_path):
    config = make_config(tmp_path)
    platform = connect(config)
    log(config, 0, "random", 0.0, 2.5)
    make_policy(tmp_path / "policy", until=platform.warehouse.window(None).until)
    champion = deploy(platform.endpoint, tmp_path / "policy")
    for seed in range(1, 5):
        log(config, seed, champion, *((0.0, 4.0) if seed < 3 else (3.0, 1.0)))
    content = report(config, platform)
    assert [alarm["kind"] for alarm in content["alarms"]] == ["reward", "features"]
    assert "has fallen" in content["alarms"][0]["text"]
    assert content["alarms"][1]["text"].endswith("features observation[5]")
    assert sum(row["chosen"] for row in content["actions"]) == 2000
    assert all(row["low"] < row["mean_reward"] < row["high"] for row in content["actions"])
    [version] = content["versions"]
    assert version["low"] < version["mean_reward"] == 2.5 < version["high"]
    assert content["periods"][-1]["interactions"] == 2000
    assert content["exploration"]["mean_reward"] == 2.5


def test_the_drift_of_features_rests_on_all_of_the_time_since_training(tmp_path, monkeypatch):
    """Two versions serve, and features shift in the later half: each period has its share of the sample, no more."""
    config, trained, hours = make_config(tmp_path), datetime(2026, 6, 1, tzinfo=UTC), [0]
    monkeypatch.setattr(time, "time_ns", lambda: int((trained + timedelta(hours=hours[-1])).timestamp() * 1e9))
    platform = connect(config)
    make_policy(tmp_path / "policy", until=trained)
    champion = deploy(platform.endpoint, tmp_path / "policy")
    versions = pa.array([champion, "random"] * 200)
    for hour in range(1, PERIODS + 1):
        hours.append(hour)
        decisions = shifted(config, hour, 2.0 * (hour > PERIODS / 2))
        platform.warehouse.append("decisions", replaced(decisions, "policy_version", versions))
    reading = read_log(config, platform, platform.endpoint.versions()[-1])
    assert reading.recent.rows == PERIODS * (SAMPLE_ROWS // PERIODS)
    values = np.concatenate(reading.recent.parts)[:, 5]
    half = len(values) // 2
    assert values[half:].mean() - values[:half].mean() == pytest.approx(2, abs=0.1)


def shifted(config, seed, shift):
    """400 decisions with feature 5 shifted."""
    [(decisions, _)] = simulated_history(config.environment, 400, "reward", seed)
    observations = np.array([context["observation"] for context in decisions["context"].to_pylist()], np.float32)
    observations[:, 5] += shift
    return replaced(decisions, "context", context_array(config.task, {"observation": observations}))


def log(config, seed, version, shift, reward):
    """Log 400 interactions with feature 5 shifted and the same reward for all."""
    [(_, rewards)] = simulated_history(config.environment, 400, "reward", seed)
    decisions = replaced(shifted(config, seed, shift), "policy_version", pa.array([version] * 400))
    warehouse = connect(config).warehouse
    warehouse.append("rewards", replaced(rewards, "value", pa.array([reward] * 400)))
    warehouse.append("decisions", decisions)
    time.sleep(0.2)


def replaced(table, column, values):
    field = table.schema.field(column)
    return table.set_column(table.column_names.index(column), field, values)


@pytest.mark.parametrize(("answered", "told"), [(0.12, True), (0.2, False)])
def test_a_canary_that_does_not_get_its_share_is_told_and_stays(answered, told, tmp_path):
    config = make_config(tmp_path)
    platform = connect(config)
    for generation in (1, 2):
        make_policy(tmp_path / str(generation), generation, until=datetime(1970, 1, 2, tzinfo=UTC))
    champion, challenger = deploy(platform.endpoint, tmp_path / "1"), platform.endpoint.add(tmp_path / "2")
    start_canary(platform.endpoint, challenger, 20, margin=0.0)
    history = simulated_history(config.environment, 20_000, "reward", seed=0)
    decisions = pa.concat_tables([decided for decided, _ in history])
    is_challenger = np.random.default_rng(0).random(20_000) < answered
    versions, shares = np.where(is_challenger, challenger, champion), np.where(is_challenger, 0.2, 0.8)
    decisions = replaced(decisions, "policy_version", pa.array(versions, pa.string()))
    platform.warehouse.append("decisions", replaced(decisions, "assignment_share", pa.array(shares)))
    decision, reason = check_canary(config, platform)
    warning = "% of 20,000 interactions, where 20.0% were to be expected"
    assert (decision, warning in reason) == (None, told)
    content = status(config, platform)
    assert (warning in content["warning"]) == told
    assert [alarm["kind"] for alarm in report(config, platform)["alarms"]] == ["traffic"] * told
    assert platform.endpoint.release().challenger == challenger


@pytest.mark.parametrize(("shift", "alarms"), [(0.0, []), (0.05, []), (0.5, ["d"])])
def test_drifted_features_are_found_and_small_shifts_ignored(shift, alarms):
    random, baseline, recent = np.random.default_rng(0), ObservationSample(), ObservationSample()
    baseline.add(random.normal(size=(3000, 6)), 3000)
    recent.add(random.normal(size=(3000, 6)) + shift * (np.arange(6) == 3), 3000)
    assert [feature for feature, *_, is_alarm in drifted_features(baseline, recent, "abcdef") if is_alarm] == alarms
    assert drifted_features(baseline, ObservationSample(), "abcdef") == []


@pytest.mark.parametrize(("mean", "change"), [(0.5, ""), (0.2, "fallen"), (0.8, "risen")])
def test_the_direction_of_a_changed_reward_is_named(mean, change):
    random, baseline, recent = np.random.default_rng(0), RewardStats(), RewardStats()
    assert drifted_reward(baseline, recent) == ""
    baseline.add((random.random(1000) < 0.5) * 1.0)
    recent.add((random.random(1000) < mean) * 1.0)
    assert drifted_reward(baseline, recent) == change
