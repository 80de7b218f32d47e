"""Floods: requests that cost more than they should, and connections that wait, leave time and memory to others."""

import contextlib
import re
import socket
from pathlib import Path

import pytest
import requests

from banditloop.rl_core.backends import connect
from banditloop.rl_core.promotion.transitions import promote
from tests.conftest import deploy, make_config, make_policy
from tests.support.floods import BODIES, CONNECTIONS
from tests.support.processes import process, served, wait_until

BODY = {"instances": [[0.1] * 20]}
MAX_GROWTH_KIB = 200 << 10
FEW_FILES = """
import resource, runpy
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
runpy.run_module("banditloop.functions.predictor", run_name="__main__")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a predictor and its process id."""
    with served(tmp_path_factory.mktemp("flood")) as platform:
        [file] = Path(platform.scratch.parent).glob("endpoints/*/server.json")
        process_id = int(re.findall(r'"pid": (\d+)', file.read_text())[0])
        yield platform.endpoint.url(), process_id


@contextlib.contextmanager
def growing_little(process_id):
    """Check how far the memory of a process rises above where it was, at its peak."""
    Path(f"/proc/{process_id}/clear_refs").write_text("5")  # the peak starts again from here
    before = peak_kib(process_id)
    yield
    assert peak_kib(process_id) - before < MAX_GROWTH_KIB


def peak_kib(process_id):
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process_id}/status").read_text())[0])


def answers(url):
    return requests.post(f"{url}/predict", json=BODY, timeout=30).ok


@pytest.mark.parametrize("name", BODIES)
def test_an_expensive_body_is_refused_with_one_line(server, name):
    (url, process_id), (path, body) = server, BODIES[name]
    with growing_little(process_id):
        for _ in range(3):
            response = requests.post(url + path, data=body, timeout=60)
            assert response.status_code == 400
            assert len(response.json()["error"]) < 1000
    assert answers(url)


@pytest.mark.parametrize("name", CONNECTIONS)
def test_a_greedy_connection_is_closed(server, name):
    url, process_id = server
    host, port = url.removeprefix("http://").split(":")
    with growing_little(process_id), socket.create_connection((host, int(port)), timeout=60) as client:
        begin, part = CONNECTIONS[name]
        with pytest.raises(OSError):  # closed by the server before it has all
            client.sendall(begin)
            for _ in range(2000):
                client.sendall(part)
    assert answers(url)


@pytest.mark.slow
def test_idle_connections_leave_files_to_others(tmp_path):
    """With 64 file descriptors and 80 connections that wait, requests are answered and the release is followed."""
    config = make_config(tmp_path)
    platform = connect(config)
    make_policy(tmp_path / "policy")
    deploy(platform.endpoint, tmp_path / "policy")
    with process(config, "-c", FEW_FILES), contextlib.ExitStack() as stack:
        wait_until(platform.endpoint.serving_versions)
        url = platform.endpoint.url()
        host, port = url.removeprefix("http://").split(":")
        for number in range(80):
            client = stack.enter_context(socket.create_connection((host, int(port)), timeout=30))
            if number % 2:
                client.sendall(b"POST /predict HTTP/1.1\r\ncontent-length: 9\r\n\r\n")
        assert answers(url)
        make_policy(tmp_path / "next", generation=2, seed=7)
        version = platform.endpoint.add(tmp_path / "next")
        promote(platform.endpoint, version)
        wait_until(lambda: platform.endpoint.serving_versions() == [version])
        assert answers(url)
