"""A server that does exactly what a test says with each connection."""

from __future__ import annotations

import socket
import threading
from typing import Any, Callable, Iterator, List, Optional

import pytest

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Connection:
    """One accepted connection."""

    def __init__(self, connection: socket.socket, server: ScriptedServer) -> None:
        self.socket = connection
        self.server = server
        self.rest = b""

    def request(self) -> bytes:
        """Read one request; the empty string at the end of the connection."""
        data = self.rest
        while b"\r\n\r\n" not in data:
            more = self.socket.recv(65536)
            if not more:
                return b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        size = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                size = int(line.split(b":")[1])
        while len(body) < size:
            more = self.socket.recv(1 << 20)
            if not more:
                break
            body += more
        self.rest = body[size:]
        request = head + b"\r\n\r\n" + body[:size]
        self.server.requests.append(request)
        return request

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)


class ScriptedServer:
    """Listens on a port (or on a unix socket) and gives each connection to the next script; the last one stays."""

    def __init__(self, *scripts: Callable[[Connection], Any], path: Optional[str] = None) -> None:
        self.scripts = list(scripts)
        self.requests: List[bytes] = []
        self.accepted = 0
        self.ended = threading.Event()
        self.open: List[socket.socket] = []
        if path is not None:
            self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.listener.bind(path)
            self.url = "unix://" + path
        else:
            self.listener = socket.socket()
            self.listener.bind(("127.0.0.1", 0))
            self.port = self.listener.getsockname()[1]
            self.url = f"http://127.0.0.1:{self.port}"
        self.listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
            self.open.append(connection)
            self.accepted += 1
            threading.Thread(target=self._serve, args=(connection, script), daemon=True).start()

    def _serve(self, connection: socket.socket, script: Callable[[Connection], Any]) -> None:
        try:
            script(Connection(connection, self))
        except OSError:
            pass
        finally:
            connection.close()

    def stop(self) -> None:
        self.ended.set()
        self.listener.close()
        for connection in self.open:
            connection.close()

    def paths(self) -> List[str]:
        """Method and path of each request."""
        return [request.split(b" HTTP/1.1")[0].decode() for request in self.requests]


def forever(*answers: bytes) -> Callable[[Connection], None]:
    """A script: these answers to the requests of a connection, then 200 to each."""

    def script(connection: Connection) -> None:
        left = list(answers)
        while connection.request():
            connection.send(left.pop(0) if left else OK)

    return script


@pytest.fixture
def scripted() -> Iterator[Callable[..., ScriptedServer]]:
    """`ScriptedServer`, for the length of a test."""
    servers: List[ScriptedServer] = []

    def make(*scripts: Any, **options: Any) -> ScriptedServer:
        server = ScriptedServer(*scripts, **options)
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.stop()
