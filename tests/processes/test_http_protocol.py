"""The HTTP protocol: answers in one piece, pipelining in order, and timeouts of connections and requests."""

import asyncio
import contextlib
import functools
import select
import socket
import threading
import time

import pytest
import uvicorn

from banditloop.rl_core.serving.http.protocol import SingleWriteProtocol
from tests.support.processes import wait_until

REQUEST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%s"
KEEP_ALIVE_SECONDS, REQUEST_TIMEOUT_SECONDS, FIRST_REQUEST_SECONDS = 1, 2, 3
MAX_CONNECTIONS = 4
LARGE_BYTES = 8 << 20  # more than what sockets hold


async def echo(scope, receive, send):
    """Return the body; /slow answers late, /early does not wait for the body, and /large has a large answer."""
    body, more, status = b"", scope["path"] != "/early", 200
    while more:
        try:
            message = await receive()
        except TimeoutError:
            body, status = b"too slow", 408
            break
        body, more = body + message.get("body", b""), message.get("more_body", False)
    if scope["path"] == "/slow":
        await asyncio.sleep(1.3 * REQUEST_TIMEOUT_SECONDS)
    if scope["path"] == "/large":
        body = b"x" * LARGE_BYTES
    headers = [(b"content-length", b"%d" % len(body)), *([(b"connection", b"close")] if status == 408 else [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module", autouse=True)
def short_request_timeout():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("banditloop.rl_core.serving.http.protocol.REQUEST_TIMEOUT_SECONDS", REQUEST_TIMEOUT_SECONDS)
        patch.setattr("banditloop.rl_core.serving.http.protocol.FIRST_REQUEST_SECONDS", FIRST_REQUEST_SECONDS)
        yield


@pytest.fixture(scope="module")
def address():
    http = functools.partial(SingleWriteProtocol, max_connections=MAX_CONNECTIONS)
    settings = uvicorn.Config(
        echo, http=http, port=0, lifespan="off", log_config=None, timeout_keep_alive=KEEP_ALIVE_SECONDS
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


def is_closed(client):
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def send(client, body):
    client.sendall(REQUEST % (len(body), body))
    return client.recv(1 << 16)


def test_an_answer_arrives_in_one_piece(client):
    assert send(client, b"one").endswith(b"\r\n\r\none")


def test_pipelined_requests_are_answered_in_order(client):
    client.sendall(b"".join(REQUEST % (1, b"%d" % number) for number in range(9)))
    received = b""
    while received.count(b"HTTP/1.1 200") < 9 or received[-1:] != b"8":
        received += client.recv(1 << 16)
    assert [part[-1:] for part in received.split(b"HTTP/1.1 200")[1:]] == [b"%d" % number for number in range(9)]


def test_an_idle_connection_is_closed_after_the_keep_alive_time(client):
    for _ in range(3):
        assert send(client, b"again")
        time.sleep(0.7 * KEEP_ALIVE_SECONDS)
    assert send(client, b"again")
    start = time.monotonic()
    assert client.recv(1) == b""
    assert KEEP_ALIVE_SECONDS * 0.9 < time.monotonic() - start < KEEP_ALIVE_SECONDS * 1.5


@pytest.mark.parametrize("part", [b"PO", REQUEST[:20], REQUEST % (9, b"part")])
def test_an_incomplete_request_times_out(client, part):
    assert send(client, b"whole")
    client.sendall(part)
    start = time.monotonic()
    if b"part" in part:  # without a complete head there is no request to answer
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 408 ")
    assert is_closed(client)
    assert REQUEST_TIMEOUT_SECONDS * 0.9 < time.monotonic() - start < REQUEST_TIMEOUT_SECONDS * 1.5


def test_a_slow_request_is_answered_and_keeps_the_connection_alive(client):
    for part in REQUEST[:20], REQUEST[20:] % (2, b""), b"o", b"k":
        time.sleep(0.2 * REQUEST_TIMEOUT_SECONDS)
        client.sendall(part)
    assert client.recv(1 << 16).endswith(b"\r\n\r\nok")
    start = time.monotonic()
    assert is_closed(client)
    assert KEEP_ALIVE_SECONDS * 0.9 < time.monotonic() - start < KEEP_ALIVE_SECONDS * 1.5


def test_an_incomplete_pipelined_request_does_not_answer_the_previous_one(client):
    client.sendall(REQUEST.replace(b"/", b"/slow", 1) % (4, b"slow") + REQUEST[:20])
    assert client.recv(1 << 16) == b""


def test_an_early_answer_keeps_the_connection_alive(client):
    client.sendall(REQUEST.replace(b"/", b"/early", 1) % (2, b""))
    assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    client.sendall(b"ok")
    start = time.monotonic()
    assert is_closed(client)
    assert KEEP_ALIVE_SECONDS * 0.9 < time.monotonic() - start < KEEP_ALIVE_SECONDS * 1.5


def test_expect_100_continue_is_answered(client):
    client.sendall((REQUEST % (2, b"")).replace(b"host: a", b"expect: 100-continue"))
    assert client.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.sendall(b"ok")
    assert client.recv(1 << 16).endswith(b"\r\n\r\nok")


def test_connection_close_is_respected(client):
    client.sendall((REQUEST % (2, b"ok")).replace(b"host: a", b"connection: close"))
    assert b"\r\nconnection: close\r\n" in client.recv(1 << 16)
    assert client.recv(1) == b""


def test_a_head_request_is_answered_without_a_body(client):
    client.sendall((REQUEST % (2, b"ok")).replace(b"POST", b"HEAD"))
    head = client.recv(1 << 16)
    assert b"\r\ncontent-length: 2\r\n" in head
    assert head.endswith(b"\r\n\r\n")


def test_a_new_connection_may_wait_before_its_first_request(client):
    time.sleep(2.2 * KEEP_ALIVE_SECONDS)
    assert send(client, b"at last").endswith(b"at last")


def test_a_connection_that_sends_nothing_is_closed(client):
    start = time.monotonic()
    assert is_closed(client)
    assert time.monotonic() - start > FIRST_REQUEST_SECONDS * 0.9


def test_a_client_that_does_not_read_its_answers_is_closed(client):
    for _ in range(3):
        client.sendall(REQUEST.replace(b"/", b"/large", 1) % (0, b""))
    time.sleep(2 * REQUEST_TIMEOUT_SECONDS)
    received = 0
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(1 << 20):
            received += len(part)
    assert received < 3 * LARGE_BYTES


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n",
        b"GET / HTTP/1.1\r\na: " + b"b" * (32 << 10) + b"\r\n\r\n",
        b"GET /" + b"b" * (32 << 10) + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 102,  # the last may be incomplete
        b"GET / HTTP/1.1\r\na: " + b"b" * (33 << 10),
    ],
    ids=["many headers", "large header", "large address", "many headers, unfinished", "large header, unfinished"],
)
def test_a_large_head_is_refused(client, head):
    client.sendall(head)
    answer = client.recv(1 << 16)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"at most 32,768 bytes and 100 headers" in answer


def test_a_head_within_the_limits_may_come_with_a_large_body(client):
    body = b"x" * (100 << 10)
    client.sendall(b"POST / HTTP/1.1\r\n" + b"a: b\r\n" * 99 + b"content-length: %d\r\n\r\n" % len(body) + body)
    received = b""
    while not received.endswith(body):
        received += client.recv(1 << 16)
    assert received.startswith(b"HTTP/1.1 200 ")


def test_what_is_not_http_is_refused_with_json(client):
    client.sendall(b"hello\r\n\r\n")
    answer = client.recv(1 << 16)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b'{"error":"request: is not valid HTTP"}')


def test_what_is_not_http_behind_a_request_in_flight_is_not_its_answer(client):
    client.sendall(REQUEST.replace(b"/", b"/slow", 1) % (4, b"slow") + b"hello\r\n\r\n")
    assert client.recv(1 << 16) == b""


def test_too_many_pipelined_requests_are_refused(client):
    client.sendall((REQUEST.replace(b"/", b"/slow", 1) % (0, b"")) * 20)
    assert is_closed(client)


@pytest.mark.parametrize("begin", [b"", REQUEST[:20], REQUEST % (9, b"part")], ids=["idle", "head", "body"])
def test_the_connection_that_waits_the_longest_makes_room(address, begin):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(address, timeout=10)) for _ in range(MAX_CONNECTIONS)]
        for client in clients:
            client.sendall(REQUEST % (2, b"ok"))
            assert client.recv(1 << 16).endswith(b"ok")
            client.sendall(begin)
            time.sleep(0.05)  # the server has seen it before the next
        newcomer = stack.enter_context(socket.create_connection(address, timeout=10))
        assert send(newcomer, b"new").endswith(b"new")
        if b"part" in begin:
            assert clients[0].recv(1 << 16).startswith(b"HTTP/1.1 408 ")
        assert is_closed(clients[0])
        if begin:  # for longer than an idle one, the last is still open
            clients[-1].settimeout(0.1)
            with pytest.raises(TimeoutError):
                clients[-1].recv(1)


def test_connections_that_were_never_answered_make_room_first(address):
    with contextlib.ExitStack() as stack:
        answered = stack.enter_context(socket.create_connection(address, timeout=10))
        assert send(answered, b"one").endswith(b"one")
        silent = [stack.enter_context(socket.create_connection(address, timeout=10)) for _ in range(MAX_CONNECTIONS)]
        closed, _, _ = select.select(silent, [], [], 10)
        assert closed and all(is_closed(connection) for connection in closed)
        assert send(answered, b"two").endswith(b"two")


def test_a_connection_whose_request_is_answered_does_not_make_room(address):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(address, timeout=10)) for _ in range(MAX_CONNECTIONS)]
        for client in clients:
            client.sendall(REQUEST.replace(b"/", b"/slow", 1) % (4, b"slow"))
        time.sleep(0.2)  # all have been seen
        assert is_closed(stack.enter_context(socket.create_connection(address, timeout=10)))
        assert all(client.recv(1 << 16).endswith(b"slow") for client in clients)
