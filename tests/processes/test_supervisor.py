"""The supervisor: what exits or hangs is started again, a crash loop is told, and logs stay small."""

import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from banditloop.pipelines.cli import health
from banditloop.pipelines.cli.supervisor import PREDICTOR, services
from banditloop.rl_core.backends import connect
from tests.conftest import deploy, make_config, make_policy
from tests.support.processes import wait_until


@pytest.fixture
def config(tmp_path):
    config = make_config(tmp_path, retention={"log_megabytes": 0.001})
    make_policy(tmp_path / "policy")
    deploy(connect(config).endpoint, tmp_path / "policy")
    return config


@pytest.mark.slow
def test_a_hung_predictor_is_restarted_once_its_patience_is_over(config, monkeypatch):
    endpoint, told = connect(config).endpoint, []

    def tell(event):
        told.append((event.what, event.text))
        monkeypatch.setattr(health, "PATIENCE_SECONDS", 600.0)  # for the new process, however slowly it starts

    with services(config, tell) as processes:
        wait_until(endpoint.serving_versions)
        first = processes[PREDICTOR]
        first.send_signal(signal.SIGSTOP)  # it accepts connections, and answers none
        monkeypatch.setattr(health, "PROBE_SECONDS", 0.2)
        monkeypatch.setattr(health, "PATIENCE_SECONDS", 1.0)
        wait_until(lambda: processes[PREDICTOR] is not first)
        wait_until(endpoint.serving_versions)
        assert endpoint.predict([[0.0] * 20])[0].policy_version == "v1-00000000"
    assert told == [
        ("failed", "the predictor has not answered for 60 s: it is killed and restarted"),
        ("restarted", "the predictor, which ended with status -9"),
    ]
    assert first.returncode == -signal.SIGKILL


def test_a_predictor_that_answers_is_left_alone(config, monkeypatch):
    with services(config) as processes:
        wait_until(connect(config).endpoint.serving_versions)
        probe, running = health.HealthProbe(connect(config).endpoint), processes[PREDICTOR]
        monkeypatch.setattr(health, "PROBE_SECONDS", 0.0)
        assert not any(probe.is_hung() for _ in range(5))
        assert processes[PREDICTOR] is running


def test_a_crash_loop_is_told_with_the_last_line_of_the_log(config):
    told = []
    with services(config, told.append) as processes:
        log = connect(config).runner.root.parent / "logs" / "predictor.txt"
        for _ in range(3):
            running = processes[PREDICTOR]
            running.kill()
            log.write_text("why it fails\n")
            wait_until(lambda last=running: processes[PREDICTOR] is not last)
        assert [event.what for event in told].count("restarted") == 3
        assert [event.text for event in told if event.what == "failed"] == [
            "predictor ended 3 times within 60 s and is restarted again and again; its last status: -9; "
            f"its last line, in {log}: why it fails"
        ]
        wait_until(connect(config).endpoint.serving_versions)


def test_a_log_that_cannot_be_read_ends_neither_the_watch_nor_the_restart_of_others(config):
    logs = connect(config).runner.root.parent / "logs"
    with services(config) as processes:
        (logs / "logger.txt").unlink()
        (logs / "logger.txt").mkdir()  # a folder where its log should be
        for _ in range(2):
            running = processes[PREDICTOR]
            running.kill()
            wait_until(lambda last=running: processes[PREDICTOR] is not last)


def test_logs_are_rotated_while_they_are_written(config):
    logs = connect(config).runner.root.parent / "logs"
    with services(config):
        wait_until(connect(config).endpoint.serving_versions)
        for number in range(3):
            with (logs / "logger.txt").open("ab") as log:
                log.write(b"%d" % number * 1001)
            wait_until(lambda: not (logs / "logger.txt").stat().st_size)
            assert (logs / "logger.1.txt").read_bytes() == b"%d" % number * 1001


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"versions": {"v1": 1}}', b'{"versions": {"v1": [1]}}'])
def test_another_program_at_the_servers_port_is_not_taken_for_the_server(config, answer):
    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

    endpoint = connect(config).endpoint
    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        Thread(target=server.serve_forever).start()
        endpoint.register_server(f"http://127.0.0.1:{server.server_port}")
        assert endpoint.vitals() == {}
        assert endpoint.health(5.0) == answer.decode()
        server.shutdown()
    assert endpoint.health(5.0) is None
