"""Without a token, web pages cannot use the endpoint through a browser on its machine."""

import socket

import pytest
import requests

from banditloop.rl_core.backends import connect
from banditloop.rl_core.serving.http.admission import HttpError
from banditloop.rl_core.serving.http.web_guard import WebGuard
from tests.conftest import deploy, make_config, make_policy
from tests.support.processes import process, wait_until

REWARD = b'{"rewards": [{"event_id": "e", "value": 1}]}'
ORIGIN = "https://shop.example"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guard")
    config = make_config(folder, serving={"cors_origins": [ORIGIN]})
    make_policy(folder / "policy")
    endpoint = connect(config).endpoint
    deploy(endpoint, folder / "policy")
    with process(config, "-m", "banditloop.functions.predictor"):
        wait_until(endpoint.serving_versions)
        yield endpoint.url()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 202),
        ({"Content-Type": "application/json"}, 202),
        ({"Content-Type": "Application/JSON; charset=utf-8"}, 202),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=application/json"}, 415),
        ({"Origin": ORIGIN}, 202),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:8080"}, 202),
        ({"Host": "127.0.0.2"}, 202),
        ({"Host": "[::1]:8080"}, 202),
        ({"Host": "shop.example"}, 202),
        ({"Host": "evil.example:8080"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "localhost@evil.example"}, 403),
    ],
)
def test_only_known_origins_and_hosts_may_send_json(url, headers, status):
    response = requests.post(f"{url}/reward", data=REWARD, headers=headers, timeout=10)
    assert response.status_code == status, response.text


@pytest.mark.parametrize("path", ["/metrics", "/openapi.json"])
def test_what_a_page_could_read_is_guarded_too(url, path):
    assert requests.get(url + path, timeout=10).ok
    assert requests.get(url + path, headers={"Host": "evil.example"}, timeout=10).status_code == 403


def guard(origins=(), address="127.0.0.1"):
    with socket.create_server((address, 0)) as listener:
        return WebGuard(origins, listener)


def test_on_other_addresses_the_host_is_a_proxys():
    headers = [(b"host", b"predictor.internal:8080")]
    guard(address="0.0.0.0").check(headers)
    with pytest.raises(HttpError, match=r"Host: predictor.internal:8080: use a loopback one"):
        guard().check(headers)
    with pytest.raises(HttpError, match="Origin"):
        guard(address="0.0.0.0").check([*headers, (b"origin", b"http://predictor.internal:8080")])


def test_one_foreign_host_of_several_is_enough():
    with pytest.raises(HttpError, match=r"evil\.example"):
        guard().check([(b"host", b"localhost"), (b"host", b"evil.example")])


def test_any_origin_may_be_allowed_but_only_with_json():
    headers = [(b"origin", b"https://evil.example"), (b"host", b"evil.example")]
    guard(["*"]).check(headers)
    with pytest.raises(HttpError) as error:
        guard(["*"]).check([*headers, (b"content-type", b"text/plain")])
    assert error.value.status == 415
