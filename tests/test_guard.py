"""The guard before the endpoint: who has no token and what is too large is turned away before anything is read."""

import socket

import pytest
import requests

from rl_core.backends.guard import LARGEST_BODY, TOKEN, TOKEN_FILE, token
from rl_core.errors import InvalidInput
from tests.processes import served

SECRET = "a-secret-of-this-test"
BODY = {"instances": [[0.1] * 20]}


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    with served(tmp_path_factory.mktemp("guard"), **{TOKEN: SECRET}) as platform:
        yield platform


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", f"Basic {SECRET}", f"bearer {SECRET}", SECRET])
def test_without_the_token_nothing_is_answered_nor_logged(platform, header):
    headers = {} if header is None else {"Authorization": header}
    response = requests.post(f"{platform.endpoint.url()}/predict", json=BODY, headers=headers, timeout=10)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert SECRET not in response.text
    assert platform.endpoint.vitals()["v1-00000000"].decisions == 0


def test_our_own_client_gives_the_token_and_says_what_is_wrong_without_it(platform, monkeypatch, tmp_path):
    with pytest.raises(InvalidInput, match="Authorization: Bearer TOKEN"):
        platform.endpoint.predict(BODY["instances"])
    (tmp_path / "token").write_text(f"{SECRET}\n")
    monkeypatch.setenv(TOKEN_FILE, str(tmp_path / "token"))
    [answer] = platform.endpoint.predict(BODY["instances"])
    assert answer["policy_version"] == "v1-00000000"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_is_refused_without_being_read(platform, chunked):
    """Whether it says how long it is or not: the server answers while most of it is still to come."""
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {LARGEST_BODY + 1}"
    head = f"POST /predict HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {SECRET}\r\n{length}\r\n\r\n"
    address = platform.endpoint.url().removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=30) as connection:
        connection.sendall(head.encode())
        piece = b" " * (1 << 20)
        for _ in range(LARGEST_BODY // len(piece) + 1 if chunked else 0):
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        assert connection.recv(12) == b"HTTP/1.1 413"


@pytest.mark.parametrize("value", ["", "two\nlines", "ü"])
def test_what_cannot_be_a_token_is_refused(value, monkeypatch, tmp_path):
    monkeypatch.setenv(TOKEN, value)
    with pytest.raises(InvalidInput, match=TOKEN) as error:
        token()
    assert not value or value not in str(error.value)
    monkeypatch.setenv(TOKEN_FILE, str(tmp_path / "none"))
    with pytest.raises(InvalidInput, match=TOKEN_FILE):
        token()


def test_without_a_token_the_endpoint_is_open(monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)
    monkeypatch.delenv(TOKEN_FILE, raising=False)
    assert token() is None


def test_deep_json_is_refused_as_any_other(platform):
    headers = {"Authorization": f"Bearer {SECRET}"}
    deep = b'{"instances": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    response = requests.post(f"{platform.endpoint.url()}/predict", data=deep, headers=headers, timeout=10)
    assert response.status_code == 400
    assert "not JSON" in response.json()["error"]
