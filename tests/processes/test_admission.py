"""Admission control: requests without a token and oversized bodies are refused before the body is read."""

import asyncio
import socket
from types import SimpleNamespace

import pytest
import requests

from banditloop.rl_core.errors import InvalidInput
from banditloop.rl_core.serving.http.admission import MAX_BODY_BYTES, SLOW_SECONDS, Admission, HttpError
from banditloop.rl_core.settings.secrets import TOKEN, TOKEN_FILE, token
from tests.support.processes import served

SECRET = "a-secret-of-this-test"
BODY = {"instances": [[0.1] * 20]}


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    with served(tmp_path_factory.mktemp("admission"), **{TOKEN: SECRET}) as platform:
        yield platform


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer wrong", f"Basic {SECRET}", f"Bearer {SECRET} {SECRET}", f"Bearer{SECRET}", SECRET],
)
def test_requests_without_the_token_are_refused_and_not_logged(platform, header):
    headers = {} if header is None else {"Authorization": header}
    response = requests.post(f"{platform.endpoint.url()}/predict", json=BODY, headers=headers, timeout=10)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert SECRET not in response.text
    assert platform.endpoint.vitals()["v1-00000000"].decisions == 0


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
def test_the_scheme_of_the_token_may_be_written_in_any_case(platform, scheme):
    headers = {
        "Authorization": f"{scheme} {SECRET}",
        "Origin": "https://elsewhere.example",
        "Content-Type": "text/plain",
    }
    reward = b'{"rewards": [{"event_id": "e", "value": 1}]}'
    assert requests.post(f"{platform.endpoint.url()}/reward", data=reward, headers=headers, timeout=10).ok


@pytest.mark.parametrize(
    ("head", "trailer"),
    [
        ("", f"Authorization: Bearer {SECRET}\r\n"),
        (f"Authorization: Bearer {SECRET}\r\nAuthorization: Bearer {SECRET}\r\n", ""),
        (f"Authorization: Bearer wrong\r\nAuthorization: Bearer {SECRET}\r\n", ""),
        (f"Authorization: Bearer {SECRET}\r\nAuthorization: Basic x\r\n", ""),
    ],
)
def test_a_token_is_in_one_header_and_in_no_trailer(platform, head, trailer):
    request = (
        f"POST /reward HTTP/1.1\r\nHost: h\r\n{head}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n{trailer}\r\n"
    )
    address = platform.endpoint.url().removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=30) as connection:
        connection.sendall(request.encode())
        assert connection.recv(12) == b"HTTP/1.1 401"


def test_slow_bodies_make_room_for_others():
    """A body that has been arriving for too long is refused once others need its bytes; before that, they wait."""
    now = [0.0]

    async def run():
        admission, arrived = Admission(None, max_bytes_in_flight=110, max_requests_in_flight=2), asyncio.Event()
        more = asyncio.Event()

        async def arriving(size):
            if size == 90 and arrived.is_set():
                await more.wait()
            arrived.set()
            return {"type": "http.request", "body": b"x" * size, "more_body": size == 90}

        slow = asyncio.create_task(admission.read_body([], lambda: arriving(90)))
        await arrived.wait()
        await asyncio.sleep(0)
        assert (admission.bytes_in_flight, admission.requests_in_flight) == (90, 0)
        with pytest.raises(HttpError, match="too many bytes are in flight"):
            await admission.read_body([], lambda: arriving(25))
        admission.release(len(await admission.read_body([], lambda: arriving(20))))  # there is room for small ones
        now[0] += SLOW_SECONDS
        assert await admission.read_body([], lambda: arriving(25)) == b"x" * 25
        with pytest.raises(HttpError, match="did not arrive in time") as error:
            await slow
        assert error.value.status == 408
        assert (admission.bytes_in_flight, admission.requests_in_flight) == (25, 1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("banditloop.rl_core.serving.http.admission.time", SimpleNamespace(monotonic=lambda: now[0]))
        asyncio.run(run())


def test_the_client_sends_the_token_and_explains_a_missing_one(platform, monkeypatch, tmp_path):
    with pytest.raises(InvalidInput, match="Authorization: Bearer TOKEN"):
        platform.endpoint.predict(BODY["instances"])
    (tmp_path / "token").write_text(f"{SECRET}\n")
    monkeypatch.setenv(TOKEN_FILE, str(tmp_path / "token"))
    [answer] = platform.endpoint.predict(BODY["instances"])
    assert answer.policy_version == "v1-00000000"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_is_refused_without_being_read(platform, chunked):
    """With a content length or chunked: the server answers before it has received most of the body."""
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {MAX_BODY_BYTES + 1}"
    head = f"POST /predict HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {SECRET}\r\n{length}\r\n\r\n"
    address = platform.endpoint.url().removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=30) as connection:
        connection.sendall(head.encode())
        chunk = b" " * (1 << 20)
        for _ in range(MAX_BODY_BYTES // len(chunk) + 1 if chunked else 0):
            connection.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        assert connection.recv(12) == b"HTTP/1.1 413"


@pytest.mark.parametrize("value", ["", "two\nlines", "ü"])
def test_invalid_tokens_are_refused(value, monkeypatch, tmp_path):
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


def test_deeply_nested_json_is_refused(platform):
    headers = {"Authorization": f"Bearer {SECRET}"}
    deep = b'{"instances": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    response = requests.post(f"{platform.endpoint.url()}/predict", data=deep, headers=headers, timeout=10)
    assert response.status_code == 400
    assert "not JSON" in response.json()["error"]
