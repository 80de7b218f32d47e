"""An HTTP proxy in front of an emulator, to inject faults and to add what the emulator lacks."""

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


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


@contextlib.contextmanager
def proxy(address: str, handler: Callable[[Request, Callable[[Request], Response]], Response | None]) -> Iterator[str]:
    """Yields the address of a proxy for `address`.

    `handler` is called with every request and a function that forwards it. It returns the response, or None to close
    the connection without one.
    """
    target = urlsplit(address)

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            response = handler(Request(self.command, self.path, dict(self.headers), body), self.forward)
            if response is None:
                self.close_connection = True
                return self.connection.close()
            self.send_response(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value.replace(target.netloc, self.headers["host"]))
            self.send_header("content-length", str(len(response.body)))
            self.end_headers()
            self.wfile.write(response.body)

        def forward(self, request: Request) -> Response:
            connection = http.client.HTTPConnection(target.hostname, target.port, timeout=60)
            headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "content-length")}
            connection.request(request.method, request.path, request.body, headers | {"Host": target.netloc})
            response = connection.getresponse()
            response_headers = {k: v for k, v in response.getheaders() if k.lower() not in HOP_BY_HOP}
            return Response(response.status, response_headers, response.read())

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = respond

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
