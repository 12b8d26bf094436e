"""A plain HTTP server that records what it is sent and answers what it is told.

The path says what is answered, so that a test needs no set-up:

    /status/418            that status
    /delay/0.2             after so many seconds
    /stream/5              five chunks, chunked transfer coding
    /cut                   the connection ends in the middle of the body
    /close                 the connection ends without an answer
    /redirect/2            redirects, that many times
    /echo                  the request as JSON: method, path, headers, body
    anything else          200, "ok"
"""

from __future__ import annotations

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import Any, Dict, Iterator, List, Optional

import pytest

from tests.services.ports import wait_until


class Request:
    """A request as it arrived. Header names are in lower case; of a repeated header the last is kept."""

    def __init__(self, method: str, path: str, headers: Dict[str, str], body: bytes) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body

    def __repr__(self) -> str:
        return f"<{self.method} {self.path}>"


class Handler(BaseHTTPRequestHandler):
    """Answers by path."""

    protocol_version = "HTTP/1.1"
    server: HttpServer  # type: ignore[assignment]

    def handle_any(self) -> None:
        """Record the request, then answer."""
        request = Request(self.command, self.path, lower(self.headers.items()), self.read_body())
        self.server.requests.append(request)
        parts = self.path.partition("?")[0].strip("/").split("/")
        answer = getattr(self, "answer_" + parts[0], None)
        if answer is None:
            self.reply(200, b"ok")
        else:
            answer(request, *parts[1:2])

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = handle_any

    def read_body(self) -> bytes:
        """The body, of known length or chunked."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                body += self.rfile.read(size)
                self.rfile.readline()
                if not size:
                    return body
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole answer of known length."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_status(self, request: Request, status: str = "200") -> None:
        self.reply(int(status), b"" if status in ("204", "304") else b"status " + status.encode())

    def answer_delay(self, request: Request, seconds: str = "0.1") -> None:
        time.sleep(min(float(seconds), 10.0))
        self.reply(200, b"late")

    def answer_stream(self, request: Request, count: str = "3") -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(int(count)):
            chunk = f"chunk {number}\n".encode()
            self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def answer_cut(self, request: Request, *_: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"only this")
        self.answer_close(request)

    def answer_close(self, request: Request, *_: str) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def answer_redirect(self, request: Request, count: str = "1") -> None:
        left = int(count) - 1
        self.reply(302, b"", Location=f"/redirect/{left}" if left > 0 else "/")

    def answer_echo(self, request: Request, *_: str) -> None:
        seen = {"method": request.method, "path": request.path, "headers": request.headers}
        seen["body"] = request.body.decode("utf-8", "replace")
        self.reply(200, json.dumps(seen).encode(), Content_Type="application/json")

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what arrived is in `requests`."""


def lower(headers: Any) -> Dict[str, str]:
    """Headers with their names in lower case."""
    return {name.lower(): value for name, value in headers}


class HttpServer(ThreadingMixIn, HTTPServer):
    """The server; `requests` holds what arrived."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, handler: Any = Handler, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self.host = "127.0.0.1"
        self.port = self.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.requests: List[Request] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def last(self) -> Request:
        """The request that arrived last."""
        return self.requests[-1]

    def wait(self, count: int = 1, timeout: float = 10.0) -> List[Request]:
        """Wait until so many requests have arrived."""
        wait_until(lambda: len(self.requests) >= count, timeout, f"{count} requests")
        return list(self.requests)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""

    def stop(self) -> None:
        """Stop listening."""
        self.shutdown()
        self._thread.join(5)
        self.server_close()


def start_http_server(handler: Optional[Any] = None) -> HttpServer:
    """A server on a free port; whoever starts it stops it."""
    return HttpServer(handler or Handler)


@pytest.fixture
def http_server() -> Iterator[HttpServer]:
    """An HTTP server for one test."""
    server = start_http_server()
    yield server
    server.stop()
