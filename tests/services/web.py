"""Real WSGI and ASGI servers in a thread of the tests, and a plain client for them."""

from __future__ import annotations

import http.client
import socket
import socketserver
import threading
import time
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Dict[str, str]
    body: bytes


def request(
    address: Tuple[str, int],
    path: str = "/",
    method: str = "GET",
    headers: Optional[Dict[str, str]] = None,
    body: Optional[bytes] = None,
) -> Answer:
    """One request on a connection of its own. A body that is cut short is as it came."""
    connection = http.client.HTTPConnection(*address, timeout=10)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        try:
            content = response.read()
        except http.client.IncompleteRead as cut:
            content = cut.partial
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)
    finally:
        connection.close()


class _Handler(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Not into the tests' output."""

    def handle(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.parse_request():
            return
        handler = ServerHandler(self.rfile, self.wfile, self.get_stderr(), self.get_environ(), multithread=True)
        handler.log_exception = self.server.problems.append  # type: ignore[attr-defined]
        handler.request_handler = self  # type: ignore[attr-defined]
        handler.run(self.server.get_app())  # type: ignore[attr-defined]


class ThreadedServer(socketserver.ThreadingMixIn, WSGIServer):
    """The standard library's WSGI server. `problems`: what applications raised, as `sys.exc_info()`."""

    daemon_threads = True

    def __init__(self) -> None:
        self.problems: List[Any] = []
        super().__init__(("127.0.0.1", 0), _Handler)


@contextmanager
def serve_wsgi(application: Any) -> Iterator[Any]:
    """`application` on wsgiref; answers the server, whose `server_address` is for `request`."""
    server = ThreadedServer()
    server.set_app(application)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextmanager
def serve_werkzeug(application: Any) -> Iterator[Tuple[str, int]]:
    """`application` on Werkzeug's own server, which `app.run()` uses; answers the address."""
    from werkzeug.serving import WSGIRequestHandler as Quiet
    from werkzeug.serving import make_server

    class Handler(Quiet):
        def log(self, *args: Any, **kwargs: Any) -> None:
            """Not into the tests' output."""

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.socket.getsockname()[:2]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextmanager
def serve_asgi(application: Any, **options: Any) -> Iterator[Tuple[str, int]]:
    """`application` on uvicorn; answers the address."""
    import uvicorn

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    options.setdefault("lifespan", "off")
    config = uvicorn.Config(application, log_level="critical", loop="asyncio", http="h11", **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline, "uvicorn did not start"
        time.sleep(0.005)
    try:
        yield listening.getsockname()[:2]
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


def eventually(check: Any, timeout: float = 5.0) -> Any:
    """The first true answer of `check`; a span may end a moment after the client has its answer."""
    deadline = time.monotonic() + timeout
    while True:
        found = check()
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.005)
