"""The HTTP protocol: answers arrive whole, whoever pipelines is answered in turn, and who rests too long is left."""

import socket
import threading
import time

import pytest
import uvicorn

from rl_core.backends.one_write import OneWrite
from tests.processes import wait_until

ASK = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%s"
REST_SECONDS, COMING_SECONDS = 1, 2


async def echo(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module", autouse=True)
def less_patience():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rl_core.backends.one_write.COMING_SECONDS", COMING_SECONDS)
        yield


@pytest.fixture(scope="module")
def address():
    settings = uvicorn.Config(
        echo, http=OneWrite, port=0, lifespan="off", log_config=None, timeout_keep_alive=REST_SECONDS
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    yield server.servers[0].sockets[0].getsockname()
    server.should_exit = True
    thread.join()


@pytest.fixture
def client(address):
    with socket.create_connection(address, timeout=10) as client:
        yield client


def ask(client, body):
    client.sendall(ASK % (len(body), body))
    return client.recv(1 << 16)


def test_an_answer_comes_in_one_piece(client):
    assert ask(client, b"one").endswith(b"\r\n\r\none")


def test_what_is_pipelined_is_answered_in_turn(client):
    client.sendall(b"".join(ASK % (1, b"%d" % number) for number in range(9)))
    received = b""
    while received.count(b"HTTP/1.1 200") < 9 or received[-1:] != b"8":
        received += client.recv(1 << 16)
    assert [part[-1:] for part in received.split(b"HTTP/1.1 200")[1:]] == [b"%d" % number for number in range(9)]


def test_a_connection_is_closed_once_it_has_rested_and_not_before(client):
    for _ in range(3):
        assert ask(client, b"again")
        time.sleep(0.7 * REST_SECONDS)
    assert ask(client, b"again")
    asked = time.monotonic()
    assert client.recv(1) == b""
    assert REST_SECONDS * 0.9 < time.monotonic() - asked < REST_SECONDS * 1.5


@pytest.mark.parametrize("part", [b"PO", ASK[:20], ASK % (9, b"part")])
def test_a_request_that_stops_on_its_way_is_not_waited_for(client, part):
    assert ask(client, b"whole")
    client.sendall(part)
    asked = time.monotonic()
    head, body = client.recv(1 << 16).split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert f"content-length: {len(body)}".encode() in head
    assert client.recv(1) == b""
    assert COMING_SECONDS * 0.9 < time.monotonic() - asked < COMING_SECONDS * 1.5


def test_a_request_may_come_slowly(client):
    for part in ASK[:20], ASK[20:] % (2, b""), b"o", b"k":
        client.sendall(part)
        time.sleep(0.3 * COMING_SECONDS)
    assert client.recv(1 << 16).endswith(b"\r\n\r\nok")


def test_who_asks_so_is_left_after_the_answer(client):
    client.sendall((ASK % (2, b"ok")).replace(b"host: a", b"connection: close"))
    assert b"\r\nconnection: close\r\n" in client.recv(1 << 16)
    assert client.recv(1) == b""


def test_the_head_alone_is_answered_without_a_body(client):
    client.sendall((ASK % (2, b"ok")).replace(b"POST", b"HEAD"))
    head = client.recv(1 << 16)
    assert b"\r\ncontent-length: 2\r\n" in head
    assert head.endswith(b"\r\n\r\n")


def test_who_has_not_asked_yet_may_take_time(client):
    time.sleep(2.2 * REST_SECONDS)
    assert ask(client, b"at last").endswith(b"at last")
