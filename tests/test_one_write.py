"""The HTTP protocol: answers arrive whole, whoever pipelines is answered in turn, and who rests too long is left."""

import socket
import threading
import time

import pytest
import uvicorn

from rl_core.backends.one_write import OneWrite
from tests.processes import wait_until

ASK = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%s"
REST_SECONDS = 1


async def echo(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


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


def test_who_has_not_asked_yet_may_take_time(client):
    time.sleep(2.2 * REST_SECONDS)
    assert ask(client, b"at last").endswith(b"at last")
