"""Every table of a loop at 80 columns, and what `serve` tells, from a loop whose history was written by hand."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from typer.testing import CliRunner

from banditloop.pipelines.cli import display, events
from banditloop.pipelines.cli.events import Event, Unrepeated
from banditloop.pipelines.cli.follower import Follower
from banditloop.pipelines.cli.log_tail import MOST, LogTail
from banditloop.pipelines.cli.main import app
from banditloop.pipelines.cli.table import MAX_LINES, MAX_UNBROKEN
from banditloop.rl_core.backends import connect
from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.policies.manifest import MANIFEST
from banditloop.rl_core.policies.release import Verdict
from banditloop.rl_core.promotion.transitions import ensure_champion, promote, roll_back, start_canary
from banditloop.rl_core.reports.retrainings import retraining_rows
from tests.conftest import decisions, make_config, make_policy, rewards

WHY = "219 held-out interactions are too few to decide: 1.32 to 1 that it earns more than v1-00000000, 200 needed"
RUN = "retraining-v1-00000000-1"
COMMANDS = [
    "status",
    "warehouse",
    "release versions",
    "release show v2",
    "release traffic",
    "policy show v2",
    "run list",
    f"run show {RUN}",
    f"run artifacts {RUN}",
    "config show",
    "dead-letters list",
    "schedule list",
]
LOG = """\
23:59:58.001 - INFO - Executing task \x1b[96m'ingester'\x1b[0m
00:00:03.501 - INFO - Task \x1b[96m'ingester'\x1b[0m finished with status \x1b[92mSUCCESS\x1b[0m
00:00:03.502 - INFO - Task \x1b[96m'ingester'\x1b[0m outputs:
00:00:03.600 - INFO - Executing task \x1b[96m'trainer'\x1b[0m
"""
METRICS = {"candidate_dr": 4.1, "champion_dr": 4.0, "difference": 0.1, "difference_low": -0.5, "difference_high": 0.7}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Of a loop with a champion, a canary, a refused version, runs, a dead letter and events."""
    root = tmp_path_factory.mktemp("screen")
    config = make_config(root)
    (root / "loop.json").write_text(json.dumps(config.to_dict()))
    platform = connect(config)
    endpoint = platform.endpoint
    ensure_champion(config, endpoint)
    for generation, decision in ((1, "promote"), (2, "canary"), (3, "refuse")):
        manifest = make_policy(root / "policy", generation).model_copy(update={"run": RUN if generation == 2 else ""})
        (root / "policy" / MANIFEST).write_text(manifest.model_dump_json())
        version = endpoint.add(root / "policy")
        champion = endpoint.release().champion
        verdict = Verdict(version=version, champion=champion, decision=decision, by="evaluator", reason=WHY, run=RUN)
        endpoint.add_verdict(verdict)
        if decision == "promote":
            promote(endpoint, version)
        elif decision == "canary":
            start_canary(endpoint, version, 20, 0.0)
        platform.warehouse.append("decisions", decisions([f"{version} {n}" for n in range(20)], version=version))
        platform.warehouse.append("rewards", rewards([f"{version} {n}" for n in range(20)], 3.0))
    second = next(manifest.version for manifest in endpoint.versions() if manifest.run)
    write_run(root / "loop" / "runs" / RUN, {"state": "succeeded", "reason": ""}, trained=second)
    write_run(root / "loop" / "runs" / "retraining-v2-00000000-1", {"state": "failed", "reason": f"evaluator: {WHY}"})
    platform.bus.dead_letter("rewards", f"event.0.event_id = 1: {WHY}", b'[{"event_id": 1}]' * 20)
    return root / "loop.json", config


def write_run(folder, outcome, trained=""):
    """A run that the local runner has left. trained: the version that it made."""
    (folder / "artifacts").mkdir(parents=True)
    (folder / "lock").touch()
    (folder / "log.txt").write_text(LOG)
    (folder / "outcome.json").write_text(json.dumps(outcome))
    report = write_task(folder, "evaluator", metrics=METRICS, report={}) / "report"
    report.write_text("<!doctype html>a page")
    if trained:
        policy = {"version": trained}
        write_task(folder, "on-policy-trainer", policy=policy, curve={}, metrics={"final_average_return": 69397.25})


def write_task(folder, name, **artifacts):
    """What a task has written: artifacts by name, with their metadata."""
    task = folder / "artifacts" / "banditloop-retraining-2026" / name
    task.mkdir(parents=True)
    outputs = {
        artifact: {"artifacts": [{"uri": str(task / artifact), "metadata": metadata}]}
        for artifact, metadata in artifacts.items()
    }
    (task / "executor_output.json").write_text(json.dumps({"artifacts": outputs}))
    return task


@pytest.fixture
def screen(config, monkeypatch):
    """What a command prints on a terminal of so many columns."""

    def run(words, columns):
        monkeypatch.setattr(display, "console", display.Console(width=columns, force_terminal=False))
        result = CliRunner().invoke(app, [*words.split(), "-c", str(config[0])])
        assert result.exit_code == 0, result
        return result.stdout.splitlines()

    return run


@pytest.mark.parametrize("words", COMMANDS)
def test_every_table_fits_80_columns_without_cutting_words(words, screen):
    narrow, wide = ([line for line in screen(words, columns) if not line.startswith("─")] for columns in (80, 4_000))
    pages = "page: ", "canary: ", "warning: "  # a sentence is one line, which the terminal wraps
    assert all(len(line.rstrip()) <= 80 for line in narrow if not line.startswith(pages))
    whole = {word for line in wide for word in line.split()}
    for word in {word for line in narrow for word in line.split()} - whole - {"…"}:  # parts of paths
        assert any(word in other and len(other) > MAX_UNBROKEN for other in whole), word
    assert len(narrow) <= MAX_LINES * len(wide)
    assert not any(line.startswith("no room for") for line in narrow)


def test_wide_tables_have_all_columns(screen, config):
    header = " ".join(" ".join(screen("release versions --wide", 80)[1:2]).split())
    rows = json.loads("\n".join(screen("release versions --json", 80)))
    assert header.replace(" (UTC)", "").replace(" %", " percent").replace(" ", "_").startswith("version_status_traffic")
    for name in rows[0]:
        assert name.replace("_", " ").replace("percent", "%") in header.replace(" (UTC)", "")


def test_a_version_is_shown_whole(screen):
    content = json.loads("\n".join(screen("release show v2 --json", 80)))
    assert (content["status"], content["traffic_percent"], content["interactions"]) == ("canary", 20, 20)
    assert content["verdicts"][0]["reason"] == WHY
    text = "\n".join(screen("release show v2", 80))
    assert f"canary: {WHY}" in text
    for part in ("4.100", "-0.500", "made (UTC)", "linucb", "page: "):
        assert part in text


def test_a_retraining_whose_tasks_did_not_report_their_memory_has_none(config):
    [row] = retraining_rows(connect(config[1]))
    assert (row["run"], row["version"], row["rows"]) == (RUN, "v2-00000000", 400)
    assert row["cpu_seconds"] is row["peak_memory_mb"] is None


def test_a_version_leads_to_the_run_that_trained_it_and_to_its_curve(screen):
    content = json.loads("\n".join(screen("release show v2 --json", 80)))
    training = content["training"]
    assert (content["run"], training["metrics"]) == (RUN, {"final_average_return": 69397.25})
    assert training["written"]["curve"].endswith("on-policy-trainer/curve")
    text = "".join(line.rstrip() for line in screen("release show v2", 200))
    assert f"training, by the run {RUN}" in text
    assert "69397.250" in text
    assert "on-policy-trainer/curve" in text
    assert json.loads("\n".join(screen("release show v1 --json", 80)))["training"] == {}


def test_an_artifact_is_opened_as_a_page(screen, config, monkeypatch):
    opened = []
    monkeypatch.setattr("typer.launch", opened.append)
    [place] = screen(f"run artifacts {RUN} --open rep", 80)
    assert opened == [place]
    assert place.startswith("file:///")
    assert place.endswith("evaluator/report.html")


def test_the_follower_tells_every_step_once(tmp_path):
    config = make_config(tmp_path)
    platform = connect(config)
    endpoint = platform.endpoint
    ensure_champion(config, endpoint)
    follower = Follower(platform)

    def told():
        return [(event.what, event.version) for event in follower.events()]

    assert told() == []
    make_policy(tmp_path / "policy", 1)
    first = endpoint.add(tmp_path / "policy")
    judged = Verdict(version=first, champion="random", decision="promote", by="evaluator", reason=WHY)
    endpoint.add_verdict(judged)
    assert told() == [("trained", first), ("judged", first)]
    promote(endpoint, first)
    assert told() == [("promoted", first)]
    make_policy(tmp_path / "policy", 2)
    second = endpoint.add(tmp_path / "policy")
    start_canary(endpoint, second, 20, 0.0)
    assert told() == [("trained", second), ("canary", second)]
    start_canary(endpoint, second, 0, 0.0)
    assert told() == [("shadow", second)]
    by_hand = Verdict(version=second, champion=first, decision="rollback", by="operator", reason="complaints")
    roll_back(endpoint, second, by_hand)
    [event] = follower.events()
    assert (event.what, event.version) == ("rolled back", second)
    assert event.text == f"{first} stays champion, by the operator: complaints"
    promote(endpoint, second, by_hand.model_copy(update={"decision": "promote"}))
    promote(endpoint, first, by_hand)
    assert told() == []  # the champion is the one of the last look
    write_run(tmp_path / "loop" / "runs" / "run", {"state": "failed", "reason": "trainer: out of memory"})
    started, failed = follower.events()
    assert (started.what, started.run) == ("started", "run")
    assert failed.line()[9:].startswith("failed      run · trainer: out of memory · took ")
    assert json.loads(failed.json()) | {"time": 0, "seconds": 0} == {
        "time": 0,
        "event": "failed",
        "run": "run",
        "text": "trainer: out of memory",
        "seconds": 0,
    }
    assert told() == []


def test_what_happened_before_a_look_that_failed_is_told_by_the_next(tmp_path):
    config = make_config(tmp_path)
    platform = connect(config)
    ensure_champion(config, platform.endpoint)
    follower = Follower(platform)
    releases = list(tmp_path.rglob("release*.json"))
    make_policy(tmp_path / "policy", 1)
    version = platform.endpoint.add(tmp_path / "policy")
    start_canary(platform.endpoint, version, 20, 0.0)
    write_run(tmp_path / "loop" / "runs" / "run", {"state": "failed", "reason": "trainer: out of memory"})
    texts = {path: path.read_text() for path in releases}
    for path in releases:
        path.write_text("damaged")
    for _ in range(2):
        with pytest.raises(InvalidInput, match="release"):
            list(follower.events())
    for path, text in texts.items():
        path.write_text(text)
    told = [(event.what, event.run, event.version) for event in follower.events()]
    assert told == [("started", "run", ""), ("trained", "", version), ("canary", "", version), ("failed", "run", "")]
    assert list(follower.events()) == []


def test_warnings_in_a_log_are_told_once(tmp_path):
    log = tmp_path / "logger.txt"
    tail = LogTail(log)
    assert list(tail.events()) == []
    log.write_text('{"severity": "INFO", "message": "a"}\nno JSON\n{"severity": "WARNING", "message": "b"}\n{"sev')
    assert [event.text for event in tail.events()] == ["logger: b"]
    with log.open("a") as file:
        file.write('erity": "ERROR", "message": "c"}\n' + '{"severity": "ERROR", "message": "d"}\n' * 9)
    *told, rest = [event.text for event in tail.events()]
    assert told == ["logger: c", *["logger: d"] * (MOST - 1)]
    assert rest == f"logger: and 5 more, in {log}"
    log.write_text("")
    assert list(tail.events()) == []
    log.write_text('{"severity": "ERROR", "message": "rotated", "event": "repaired"}\n')
    assert list(tail.events()) == [Event("repaired", "logger: rotated")]


def test_warnings_that_follow_a_rotation_before_the_next_look_are_told(tmp_path):
    log = tmp_path / "logger.txt"
    tail = LogTail(log)
    line = '{"severity": "ERROR", "message": "%s"}\n'
    for number in range(3):
        log.write_text(f"{'x' * 500}\n{line % number}")
        assert [event.text for event in tail.events()] == [f"logger: {number}"]
        log.write_text(line % "first" + line % "second")  # smaller, with warnings already
        assert [event.text for event in tail.events()] == ["logger: first", "logger: second"]


def test_a_warning_of_several_threads_is_new_in_one_of_them():
    unrepeated, warnings = Unrepeated(), [Event("warning", str(number)) for number in range(100)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            new = list(pool.map(lambda _: [unrepeated.is_new(warning) for warning in warnings], range(8)))
    finally:
        sys.setswitchinterval(interval)
    assert np.sum(new, axis=0).tolist() == [1] * len(warnings)


def test_the_same_warning_is_told_again_only_later(monkeypatch):
    unrepeated, told = Unrepeated(), [Event("warning", "a"), Event("warning", "b"), Event("started", "", run="r")] * 2
    assert [unrepeated.is_new(event) for event in told] == [True, True, True, False, False, True]
    monkeypatch.setattr(events, "REPEAT_SECONDS", 0.0)
    assert unrepeated.is_new(told[0])
