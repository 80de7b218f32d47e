"""An HTTP proxy in front of an emulator, for what that leaves out or does too well."""

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

HOP_BY_HOP = ("content-length", "transfer-encoding", "connection")


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


@contextlib.contextmanager
def proxy(address: str, around: Callable[[Request, Callable[[Request], Answer]], Answer | None]) -> Iterator[str]:
    """Its address, at which `around` answers every request, forwarding it or not; where it gives None, nobody does."""
    there = urlsplit(address)

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            answer = around(Request(self.command, self.path, dict(self.headers), body), self.forward)
            if answer is None:
                self.close_connection = True
                return self.connection.close()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value.replace(there.netloc, self.headers["host"]))
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def forward(self, request: Request) -> Answer:
            connection = http.client.HTTPConnection(there.hostname, there.port, timeout=60)
            headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "content-length")}
            connection.request(request.method, request.path, request.body, headers | {"Host": there.netloc})
            answer = connection.getresponse()
            kept = {k: v for k, v in answer.getheaders() if k.lower() not in HOP_BY_HOP}
            return Answer(answer.status, kept, answer.read())

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
