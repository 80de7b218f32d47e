"""The trigger: when it submits a retraining, once, and again after a failure."""

import threading
from datetime import UTC, datetime, timedelta
from itertools import accumulate

import numpy as np
import pytest

from banditloop.functions.trigger import tick
from banditloop.pipelines.compile import compile_pipelines
from banditloop.rl_core.backends import connect
from banditloop.rl_core.environments.history import simulated_history
from banditloop.rl_core.policies.release import Verdict
from banditloop.rl_core.promotion.transitions import ensure_champion
from banditloop.rl_core.settings.loop import RetrainingSection
from banditloop.rl_core.testing.events import TASK
from tests.conftest import decisions, deploy, make_config, make_policy, rewards
from tests.support.processes import wait_until


@pytest.fixture
def config(tmp_path):
    config = make_config(tmp_path, retraining={"min_new_interactions": 10, "max_interval_seconds": 3e7})
    compile_pipelines(tmp_path / "pipelines")
    return config


def deployed(config, tmp_path):
    """The platform with a champion."""
    platform = connect(config)
    make_policy(tmp_path / "policy")
    deploy(platform.endpoint, tmp_path / "policy")
    return platform


@pytest.mark.slow
def test_the_trigger_waits_for_a_policy_and_for_enough_interactions(config, tmp_path):
    assert tick(config, connect(config)) == (
        None,
        "no policy is deployed yet: start `banditloop serve`, or run the startup pipeline",
    )
    platform = deployed(config, tmp_path)
    add_history(config, platform, 9)
    assert tick(config, platform) == (None, "9 new interactions of 10")
    add_history(config, platform, 10)
    run_id, reason = tick(config, platform)
    assert (run_id, reason) == ("retraining-v1-00000000-1", "19 new interactions")
    assert tick(config, platform) == (None, f"{run_id} is still running")
    wait_until(lambda: platform.runner.state(run_id) != "running")


@pytest.mark.slow
def test_a_version_left_unreleased_by_a_killed_deployer_is_trained_again(config, tmp_path):
    platform = deployed(config, tmp_path)
    add_history(config, platform, 20)
    manifest = make_policy(tmp_path / "left", 2, seed=2, until=platform.warehouse.window(None).until)
    platform.endpoint.add(tmp_path / "left")
    verdict = Verdict(version=manifest.version, champion="v1-00000000", decision="canary", by="evaluator")
    platform.endpoint.add_verdict(verdict)
    assert tick(config, platform)[1] == "20 new interactions"
    platform.endpoint.add_verdict(verdict.model_copy(update={"decision": "refuse"}))
    wait_until(lambda: platform.runner.runs()[0].state != "running")
    assert tick(config, platform)[1].startswith("0 new interactions of ")


def test_retrainings_start_after_few_new_interactions_and_then_after_more_and_more(config, tmp_path, monkeypatch):
    """Some 20 trainings for the first 2,500 interactions, then one after every 500."""
    retraining = RetrainingSection()
    learned_from = list(accumulate(range(40), lambda total, _: total + retraining.needed(total)))
    assert learned_from[:4] == [0, 50, 60, 72]
    assert len([total for total in learned_from if total <= 2500]) == pytest.approx(23, abs=2)
    assert np.diff(learned_from).max() == 500
    platform = deployed(config, tmp_path)
    growing = make_config(tmp_path, retraining={"growth": 0.1, "max_interval_seconds": 3e7})
    add_history(growing, platform, 39)
    assert tick(growing, platform) == (None, "39 new interactions of 40")  # 400 were learned from before
    add_history(growing, platform, 1)
    monkeypatch.setattr(platform.runner, "submit", lambda template, parameters, run_id: True)
    assert tick(growing, platform)[1] == "40 new interactions"


def test_the_interval_alone_triggers_if_anything_is_new(tmp_path):
    config = make_config(tmp_path, retraining={"min_new_interactions": 10**6, "max_interval_seconds": 1.0})
    compile_pipelines(tmp_path / "pipelines")
    platform = deployed(config, tmp_path)
    assert tick(config, platform)[0] is None
    add_history(config, platform, 1)
    assert tick(config, platform)[0] is not None


@pytest.mark.slow
def test_the_random_policy_is_retrained_after_the_interval_since_the_first_decision(tmp_path):
    config = make_config(
        tmp_path,
        task=TASK.model_dump(mode="json"),
        retraining={"min_new_interactions": 10, "max_interval_seconds": 60.0},
    )
    compile_pipelines(tmp_path / "pipelines")
    platform = connect(config)
    ensure_champion(config, platform.endpoint)
    assert tick(config, platform) == (None, "0 new interactions of 10")
    add(platform, ["a", "b", "c"], datetime.now(UTC))
    assert tick(config, platform) == (None, "3 new interactions of 10")
    add(platform, ["d"], datetime.now(UTC) - timedelta(minutes=2))
    run_id, reason = tick(config, platform)
    assert (run_id, reason) == ("retraining-random-1", "4 new interactions")
    wait_until(lambda: platform.runner.state(run_id) != "running")


def test_concurrent_triggers_submit_one_run(config, tmp_path, monkeypatch):
    platform = deployed(config, tmp_path)
    add_history(config, platform, 20)
    all_checked, submitted = threading.Barrier(8, timeout=60), []
    original_submit = type(platform.runner).submit

    def submit(*arguments):
        all_checked.wait()  # all threads have checked before any submits
        return original_submit(*arguments)

    monkeypatch.setattr(type(platform.runner), "submit", submit)
    threads = [threading.Thread(target=lambda: submitted.append(tick(config, platform)[0])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([run_id for run_id in submitted if run_id]) == 1
    assert len(platform.runner.runs()) == 1


@pytest.mark.slow
def test_a_failed_run_is_retried_under_a_new_id(config, tmp_path):
    platform = deployed(config, tmp_path)
    _, template = compile_pipelines(tmp_path / "pipelines")
    (tmp_path / "broken.yaml").write_text(template.read_text().replace("rl_core", "no_core"))
    broken = make_config(tmp_path, retraining={"min_new_interactions": 1, "template": str(tmp_path / "broken.yaml")})
    add_history(config, platform, 20)
    ids = []
    for _ in range(2):
        ids.append(tick(broken, platform)[0])
        wait_until(lambda: platform.runner.state(ids[-1]) == "failed")
    assert ids == ["retraining-v1-00000000-1", "retraining-v1-00000000-2"]
    run_id, reason = tick(broken, platform)  # a third attempt has to wait
    assert run_id is None
    assert reason.startswith("retraining-v1-00000000-2 failed; the next attempt is at ")


def add(platform, event_ids, at):
    """Add decisions made at a time, and their rewards."""
    platform.warehouse.append("rewards", rewards(event_ids, at=at))
    platform.warehouse.append("decisions", decisions(event_ids, version="random", at=at))


def add_history(config, platform, interactions):
    for decision_events, reward_events in simulated_history(config.environment, interactions, "reward", seed=0):
        platform.warehouse.append("rewards", reward_events)
        platform.warehouse.append("decisions", decision_events)
