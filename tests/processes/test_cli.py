"""The command line: exit codes, one-line errors, and JSON output."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from banditloop.functions.logger import log_events
from banditloop.functions.simulator import Visit, simulate
from banditloop.pipelines.cli.supervisor import services
from banditloop.rl_core.backends import connect
from banditloop.rl_core.config import Config
from banditloop.rl_core.promotion.current import latest_released
from banditloop.rl_core.settings.config_values import ENVIRONMENT_VARIABLE
from tests.conftest import decisions, deploy, make_policy, rewards
from tests.support.command_line import assert_refused, banditloop
from tests.support.processes import process, wait_until


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[agent]\nname = 'linucb'\nalhpa = 1\n[environment]\nname = 'movielens'", "agent.alhpa = 1"),
        ("[agent]\nname = 'linucb'\nalpha = 'big'\n[environment]\nname = 'movielens'", "agent.alpha = 'big'"),
        ("[agent]\nname = 'linucb'\nl2 = 0\n[environment]\nname = 'movielens'", "agent.l2 = 0"),
        ("[agent", "config"),
    ],
)
@pytest.mark.parametrize("command", ["loop", "status"])
def test_a_bad_config_is_refused_before_anything_is_written(tmp_path, command, text, part):
    (tmp_path / "bad.toml").write_text(text)
    assert_refused(banditloop(command, "-c", tmp_path / "bad.toml", cwd=tmp_path), part)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.toml"]  # nothing half-written


def test_a_missing_config_is_refused(tmp_path):
    assert_refused(banditloop("status", "-c", "none.toml", cwd=tmp_path), "none.toml", "No such file")
    assert_refused(banditloop("status", cwd=tmp_path, **{ENVIRONMENT_VARIABLE: '{"a": 1}'}), "task: is missing")


def test_missing_ratings_are_refused_before_anything_starts(tmp_path, config):
    values = config.to_dict()
    values["environment"]["ratings"] = str(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text(json.dumps(values))
    result = banditloop("loop", "-c", tmp_path / "config.json", cwd=tmp_path)
    assert_refused(result, "nowhere", "'download'", "pip install")
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_corrupt_policy_directory_is_refused(tmp_path):
    make_policy(tmp_path / "policy")
    assert "v1-00000000" in banditloop("policy", "show", tmp_path / "policy").stdout
    (tmp_path / "policy" / "weights.npz").write_bytes(b"PK")
    assert_refused(banditloop("policy", "show", tmp_path / "policy"), "weights.npz", "checksum")
    assert_refused(banditloop("policy", "show", tmp_path), "not a policy directory")


def test_usage_errors_exit_with_2():
    assert banditloop("nonsense").returncode == 2
    assert banditloop("loop", "--rounds", "0").returncode == 2


def test_binary_files_and_non_folders_exit_with_2(tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    assert_refused(banditloop("status", "-c", tmp_path / "bytes"), "bytes")
    assert_refused(banditloop("run", "start", tmp_path / "bytes"), "not a compiled pipeline")
    assert banditloop("compile", "-o", tmp_path / "bytes").returncode == 2


@pytest.mark.parametrize("part", ["predictor", "logger"])
def test_a_service_that_cannot_start_exits_with_2_and_one_line(part, config, tmp_path):
    def start(values):
        environment = os.environ | {ENVIRONMENT_VARIABLE: json.dumps(values)}
        return subprocess.run(
            [sys.executable, "-m", f"banditloop.functions.{part}"], capture_output=True, text=True, env=environment
        )

    assert_refused(start(config.to_dict() | {"nonsense": 1}), "nonsense = 1")
    if part == "predictor":
        with socket.create_server(("127.0.0.1", 0)) as taken:
            serving = config.to_dict()["serving"] | {"port": taken.getsockname()[1]}
            assert_refused(start(config.to_dict() | {"serving": serving}), "Address already in use")


def test_a_root_that_cannot_hold_a_warehouse_is_refused(tmp_path, config):
    values = config.to_dict()
    values["backend"]["root"] = str(tmp_path / "50%")
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert_refused(banditloop("status", "-c", tmp_path / "config.json"), "a path with % cannot hold")


def test_serve_and_loop_exit_with_2_if_the_port_is_taken(config, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        serving = config.to_dict()["serving"] | {"port": taken.getsockname()[1]}
        (tmp_path / "config.json").write_text(json.dumps(config.to_dict() | {"serving": serving}))
        for command in ("serve", "loop"):
            result = banditloop(
                command,
                "-c",
                tmp_path / "config.json",
                "-o" if command == "loop" else "-c",
                *([tmp_path / "out"] if command == "loop" else [tmp_path / "config.json"]),
            )
            assert result.returncode == 2, result
            assert "Address already in use" in result.stderr
            assert "Traceback" not in result.stderr


def test_a_root_runs_one_loop_at_a_time(config, config_file, tmp_path):
    with services(config):
        assert_refused(
            banditloop("loop", "-c", config_file, "-o", tmp_path / "out"), "another loop or serve runs there"
        )


def test_compile_and_export_write_files_and_print_their_paths(tmp_path):
    paths = json.loads(banditloop("compile", "-o", tmp_path / "p", "--image", "example.com/y:1", "--json").stdout)
    names = ["startup.yaml", "retraining.yaml", "on-policy.yaml", "experiments.yaml", "tuning.yaml"]
    assert [Path(path).name for path in paths] == names
    assert "example.com/y:1" in (tmp_path / "p" / "startup.yaml").read_text()
    exported = banditloop("export-components", "-o", tmp_path / "c")
    assert exported.stdout.count("wrote ") == 11
    assert "the image banditloop:latest is in no registry" in exported.stderr
    assert len(list((tmp_path / "c").glob("*.yaml"))) == 11
    hub = banditloop("export-components", "--hub", tmp_path / "hub", "--approver", "octocat", "--json")
    assert (Path(json.loads(hub.stdout)[0]) / "metadata.yaml").exists()


def test_status_warehouse_and_policy_show_tables_and_json(config, config_file, tmp_path):
    platform = connect(config)
    make_policy(tmp_path / "policy")
    version = deploy(platform.endpoint, tmp_path / "policy")
    platform.warehouse.append("decisions", decisions(["a", "b"], version=version))
    platform.warehouse.append("rewards", rewards(["a"], 3.0))
    [row] = json.loads(banditloop("status", "-c", config_file, "--json").stdout)["versions"]
    expected = {"version": version, "status": "champion", "traffic_percent": 100, "interactions": 2, "rewarded": 1}
    expected |= {"mean_reward": 1.5, "shadowed": 0, "ignored": 0, "promoted": None}
    assert row.pop("made")
    assert row == expected
    assert version in banditloop("status", "-c", config_file).stdout
    [row] = json.loads(banditloop("warehouse", "-c", config_file, "--json").stdout)
    assert row["mean_reward"] == 1.5
    assert json.loads(banditloop("policy", "show", tmp_path / "policy", "--json").stdout)["version"] == version


def test_dead_letters_are_listed_and_replayed(config, config_file):
    platform = connect(config)
    platform.bus.publish("rewards", b'[{"event_id": 1}]')
    platform.bus.deliver("rewards", lambda payloads: log_events(config.task, platform, "rewards", payloads))
    [letter] = json.loads(banditloop("dead-letters", "list", "-c", config_file, "--json").stdout)
    assert letter["topic"] == "rewards"
    assert letter["reason"].startswith("event.0.event_id = 1")
    assert letter["payload"] == '[{"event_id": 1}]'
    assert "event_id" in banditloop("dead-letters", "list", "-c", config_file).stdout
    replayed = banditloop("dead-letters", "replay", "-c", config_file, "--json")
    assert json.loads(replayed.stdout) == {"decisions": 0, "rewards": 1}
    received = []
    assert platform.bus.deliver("rewards", received.extend) == 1
    assert received == [b'[{"event_id": 1}]']
    assert json.loads(banditloop("dead-letters", "list", "-c", config_file, "--json").stdout) == []
    assert_refused(banditloop("dead-letters", "replay", "--topic", "nothing", "-c", config_file), "nothing")


@pytest.mark.slow
def test_loop_writes_a_summary_and_a_page_and_prints_nothing_else(tmp_path, config_file):
    words = ("--rounds", "1", "--users", "150", "--interactions", "200", "-o", tmp_path / "out", "--json")
    result = banditloop("loop", "-c", config_file, *words)
    assert result.returncode == 0, result
    assert result.stderr == ""
    summary = json.loads(result.stdout)
    assert summary == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["endpoints"] == ["movielens"]
    assert [v["version"].split("-")[0] for v in summary["versions"]] == ["random", "v1", "v2"]
    assert sum(v["interactions"] for v in summary["versions"]) == 500
    keys = {"version", "status", "traffic_percent", "interactions", "mean_reward", "value", "greedy_value"}
    keys |= {"made", "promoted"}
    assert all(v.keys() == keys for v in summary["versions"])
    page = (tmp_path / "out" / "index.html").read_text()
    assert summary["versions"][-1]["version"] in page
    assert 'src="http' not in page  # works offline


@pytest.mark.slow
def test_serve_answers_logs_retrains_and_stops_its_processes(tmp_path, config):
    values = config.to_dict()
    values["retraining"]["min_new_interactions"] = 50
    config = Config.parse(values)
    (tmp_path / "config.json").write_text(json.dumps(values))
    platform = connect(config)
    make_policy(tmp_path / "policy")
    first = deploy(platform.endpoint, tmp_path / "policy")
    with process(config, "-m", "banditloop.pipelines", "serve", "-c", str(tmp_path / "config.json")) as serving:
        wait_until(lambda: platform.endpoint.serving_versions() == [first])
        simulate(config, platform, Visit(users=50, seed=0))
        wait_until(lambda: len(platform.endpoint.serving_versions()) == 2)
        assert platform.endpoint.release().champion == first
        latest, _ = latest_released(platform.endpoint)
        assert 35 <= latest.interactions <= 50  # without the held-out ones
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(30) == 0
    assert platform.endpoint.serving_versions() == []
    wait_until(lambda: [run.state for run in platform.runner.runs()] == ["succeeded"])  # it serves before its run ends
