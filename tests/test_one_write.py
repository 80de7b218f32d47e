"""The HTTP protocol: answers arrive whole, whoever pipelines is answered in turn, and who rests too long is left."""

import asyncio
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
    """What was asked; /slow takes its time, and /early does not wait for the body."""
    body, more, status = b"", scope["path"] != "/early", 200
    while more:
        try:
            message = await receive()
        except TimeoutError:
            body, status = b"too slow", 408
            break
        body, more = body + message.get("body", b""), message.get("more_body", False)
    if scope["path"] == "/slow":
        await asyncio.sleep(1.3 * COMING_SECONDS)
    headers = [(b"content-length", b"%d" % len(body)), *([(b"connection", b"close")] if status == 408 else [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
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


def gone(client):
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


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
    if b"part" in part:  # before its head is there, nobody waits for it
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 408 ")
    assert gone(client)
    assert COMING_SECONDS * 0.9 < time.monotonic() - asked < COMING_SECONDS * 1.5


def test_a_request_may_come_slowly_and_is_then_waited_for_as_any_other(client):
    for part in ASK[:20], ASK[20:] % (2, b""), b"o", b"k":
        time.sleep(0.2 * COMING_SECONDS)
        client.sendall(part)
    assert client.recv(1 << 16).endswith(b"\r\n\r\nok")
    asked = time.monotonic()
    assert gone(client)
    assert REST_SECONDS * 0.9 < time.monotonic() - asked < REST_SECONDS * 1.5


def test_what_stops_on_its_way_does_not_answer_what_came_before(client):
    client.sendall(ASK.replace(b"/", b"/slow", 1) % (4, b"slow") + ASK[:20])
    assert client.recv(1 << 16) == b""


def test_who_is_answered_early_may_rest_as_long_as_any_other(client):
    client.sendall(ASK.replace(b"/", b"/early", 1) % (2, b""))
    assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    client.sendall(b"ok")
    asked = time.monotonic()
    assert gone(client)
    assert REST_SECONDS * 0.9 < time.monotonic() - asked < REST_SECONDS * 1.5


def test_who_waits_to_be_told_to_go_on_is_told(client):
    client.sendall((ASK % (2, b"")).replace(b"host: a", b"expect: 100-continue"))
    assert client.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.sendall(b"ok")
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
