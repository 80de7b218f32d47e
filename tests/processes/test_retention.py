"""Retention: old versions, runs and dead letters are removed, and nothing that is still needed."""

import json
import os
import subprocess
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np
import pytest

from banditloop.functions.trigger import tick
from banditloop.pipelines.compile import compile_pipelines
from banditloop.rl_core.backends import connect
from banditloop.rl_core.evaluation.log_window import logged_window
from banditloop.rl_core.policies.manifest import Window
from banditloop.rl_core.policies.release import Verdict
from banditloop.rl_core.promotion.retention import Pruned, prune
from banditloop.rl_core.promotion.transitions import promote, start_canary
from banditloop.rl_core.settings.retention import RetentionSection
from banditloop.rl_core.testing.events import TASK
from tests.benchmarks.year import footprints
from tests.conftest import decisions, make_config, make_policy
from tests.support.command_line import banditloop
from tests.support.processes import wait_until

NOW = datetime.now(UTC)


@pytest.fixture
def config(tmp_path):
    retraining = {"min_new_interactions": 10, "max_interval_seconds": 3e7}
    return make_config(tmp_path, task=TASK.model_dump(), retraining=retraining, retention={"versions": 10, "runs": 10})


class Loop:
    """A loop whose retrainings, one an hour until now, made versions v1 to v`count`. Each left an ended run."""

    def __init__(self, config, folder, count):
        self.platform, self.folder, self.count = connect(config), folder, count
        self.versions = [self._retrained(generation) for generation in range(1, count + 1)]

    def at(self, generation):
        return NOW - timedelta(hours=self.count - generation + 1)

    def version(self, generation):
        return self.versions[generation - 1]

    def _retrained(self, generation):
        folder = self.folder / f"policy-{generation}"
        run = f"retraining-v{generation - 1}-1"
        manifest = make_policy(folder, generation, dim=2, actions=2, until=self.at(generation))
        manifest = manifest.model_copy(update={"run": run})
        (folder / "manifest.json").write_text(manifest.model_dump_json())
        ended_run(self.platform, run, self.at(generation))
        return self.platform.endpoint.add(folder)

    def decide(self, generation, decision, champion, hours=0.5, by="evaluator"):
        """Record and apply a verdict, `hours` after the version was trained."""
        at, version = self.at(generation) + timedelta(hours=hours), self.version(generation)
        verdict = Verdict(
            at=at, version=version, champion=champion, decision=decision, by=by, run=f"retraining-v{generation - 1}-1"
        )
        if decision == "promote":
            promote(self.platform.endpoint, version, verdict)
        elif decision == "canary":
            start_canary(self.platform.endpoint, version, 20, 0.0, verdict)
        else:
            self.platform.endpoint.add_verdict(verdict)


def ended_run(platform, run_id, at):
    folder = platform.runner.root / run_id
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    (folder / "outcome.json").write_text('{"state": "succeeded", "reason": ""}')
    os_time = at.timestamp()
    os.utime(folder / "lock", (os_time, os_time))


def test_only_the_newest_and_the_needed_are_kept(config, tmp_path):
    """v5 is the champion and v24 its canary; when v5 was trained, v1 was the champion and v3 its canary."""
    loop = Loop(config, tmp_path, 40)
    loop.decide(1, "promote", "random")
    loop.decide(2, "canary", loop.version(1))
    loop.decide(3, "canary", loop.version(1))
    loop.decide(4, "refuse", loop.version(1))
    loop.decide(5, "promote", loop.version(1))
    for generation in range(6, 20):
        loop.decide(generation, "refuse", loop.version(5))
    for generation in range(20, 25):
        loop.decide(generation, "canary", loop.version(5))
    endpoint = loop.platform.endpoint
    before = {manifest.version for manifest in endpoint.versions()}
    planned = prune(config, loop.platform, dry_run=True)
    assert {manifest.version for manifest in endpoint.versions()} == before
    assert len(loop.platform.runner.runs()) == 40
    assert prune(config, loop.platform) == planned
    kept = [manifest.generation for manifest in endpoint.versions()]
    # v2 and v4 are gone; v6 to v19 are named by verdicts since v5 was trained
    assert kept == [1, 3, *range(5, 25), *range(31, 41)]
    assert planned.versions == [loop.version(generation) for generation in (2, 4, *range(25, 31))]
    runs = {run.run_id for run in loop.platform.runner.runs()}
    assert runs == {f"retraining-v{generation - 1}-1" for generation in (5, 24, *range(31, 41))}
    assert prune(config, loop.platform) == Pruned([], [], {"decisions": 0, "rewards": 0})


def test_no_interaction_that_evaluation_reads_loses_its_policy(config, tmp_path):
    """Whoever served since the champion was trained is still there, so that the same rows are evaluated."""
    loop, platform = Loop(config, tmp_path, 30), connect(config)
    random, champion = np.random.default_rng(0), None
    served = []
    for generation in range(1, 31):
        release = platform.endpoint.release()
        champion = release.champion if release else "random"
        served.append((loop.at(generation), release))
        decision = "promote" if generation == 1 else random.choice(["canary", "refuse", "promote"], p=[0.6, 0.3, 0.1])
        loop.decide(generation, str(decision), champion)
    for _, release in served[1:]:
        for version in release.traffic():
            platform.warehouse.append("decisions", decisions([uuid4().hex], version, mode="simulated"))
    release = platform.endpoint.release()
    trained = next(m.window.until for m in platform.endpoint.versions() if m.version == release.champion)
    needed = {version for at, past in served[1:] if past and at > trained for version in past.traffic()}
    prune(config, platform)
    kept = {manifest.version for manifest in platform.endpoint.versions()}
    assert needed | release.traffic().keys() <= kept
    assert len(kept) < 30
    window = logged_window(platform, config, Window(until=NOW + timedelta(days=1), interactions=0))
    assert set(window.policies) == kept & {version for _, past in served[1:] for version in past.traffic()}


def test_the_previous_champion_can_be_restored_after_pruning(config, tmp_path, config_file):
    loop = Loop(config, tmp_path, 30)
    loop.decide(1, "promote", "random")
    loop.decide(2, "promote", loop.version(1))
    loop.platform.warehouse.append("decisions", decisions(["1"]))
    result = banditloop("prune", "-c", config_file)
    assert result.stdout.splitlines()[0] == "removed: 18 versions, 19 runs, 0 dead letters", result
    assert banditloop("release", "rollback", "--yes", "-c", config_file).returncode == 0
    assert loop.platform.endpoint.release().champion == loop.version(1)


@pytest.fixture
def config_file(config, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({k: v for k, v in config.to_dict().items() if k != "environment"}))
    return tmp_path / "config.json"


def test_a_retraining_prunes_before_it_starts_and_nothing_is_pruned_while_one_runs(config, tmp_path, monkeypatch):
    runs: list[subprocess.Popen] = []  # a run of these policies without files would end soon: these go on

    def start(folder, lock):
        runs.append(subprocess.Popen(["sleep", "600"], pass_fds=[lock]))

    monkeypatch.setattr("banditloop.rl_core.backends.local.runner._start", start)
    compile_pipelines(tmp_path / "pipelines")
    loop = Loop(config, tmp_path, 30)
    loop.decide(1, "promote", "random")
    loop.decide(30, "promote", loop.version(1))
    loop.platform.warehouse.append("decisions", decisions([str(number) for number in range(10)], mode="simulated"))
    run_id, _ = tick(config, loop.platform)
    assert run_id == f"retraining-{loop.version(30)}-1"
    assert [m.generation for m in loop.platform.endpoint.versions()] == [1, *range(21, 31)]
    assert len(loop.platform.runner.runs()) == 11  # with the one that is running
    stricter = config.model_copy(update={"retention": RetentionSection(versions=10, runs=10)})
    assert prune(stricter, loop.platform)[:2] == ([], [])
    runs[0].kill()
    wait_until(lambda: loop.platform.runner.state(run_id) != "running")


def test_a_run_id_is_not_used_again_after_the_first_attempts_were_pruned(config, tmp_path, monkeypatch):
    loop = Loop(config, tmp_path, 1)
    loop.decide(1, "promote", "random")
    for attempt in range(1, 31):
        ended_run(loop.platform, f"retraining-{loop.version(1)}-{attempt}", NOW - timedelta(hours=40 - attempt))
    prune(config, loop.platform)
    monkeypatch.setattr(loop.platform.runner, "submit", lambda template, parameters, run_id: True)
    loop.platform.warehouse.append("decisions", decisions([str(number) for number in range(10)], mode="simulated"))
    assert tick(config, loop.platform)[0] == f"retraining-{loop.version(1)}-31"


def test_dead_letters_are_kept_for_their_days(tmp_path):
    config = make_config(tmp_path, retention={"dead_letter_days": 1e-7})
    platform = connect(config)
    for topic, payload in (("decisions", b"1"), ("rewards", b"2"), ("rewards", b"3")):
        platform.bus.dead_letter(topic, "reason", payload)
    default = make_config(tmp_path)
    assert prune(default, platform).dead_letters == {"decisions": 0, "rewards": 0}
    time.sleep(0.02)
    assert prune(config, platform).dead_letters == {"decisions": 1, "rewards": 2}
    assert platform.bus.dead_letters("rewards") == []


def test_what_a_killed_prune_left_is_not_there(config, tmp_path, monkeypatch):
    loop = Loop(config, tmp_path, 30)
    loop.decide(30, "promote", "random")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            prune(config, loop.platform)
    platform = connect(config)
    assert len(platform.endpoint.versions()) == 29
    versions = platform.endpoint.policy("any").parent
    assert len(list(versions.glob(".*"))) == 1
    prune(config, platform)
    assert [manifest.generation for manifest in platform.endpoint.versions()] == list(range(21, 31))
    assert [run.run_id for run in platform.runner.runs()] == [f"retraining-v{n}-1" for n in range(20, 30)]
    assert not list(versions.glob(".*"))


def test_the_disk_of_a_loop_does_not_grow_with_its_age():
    """tests/benchmarks/year.py, small: 16 retrainings after a promotion no more is there than 48 earlier."""
    first, last = footprints(40, 88, keep=10, looks=1)
    assert last.disk < 1.1 * first.disk


def killed(*_, **__):
    raise KeyboardInterrupt
