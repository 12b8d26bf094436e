"""A small HTTP/1.1 client: one kept connection, TCP, TLS or a unix socket, every wait bounded.

It uses `socket` alone, so nothing that an integration has patched is touched and our own requests are never traced.
Under gevent the `socket` module may be patched: then its calls yield to other greenlets, which does no harm here.
"""

from __future__ import annotations

import socket
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

    Buffer = Union[bytes, memoryview]

__all__ = ["HttpClient", "HttpError", "Response"]

MAX_HEAD = 65536
MAX_BODY = 1048576
_CHUNK = 65536


class HttpError(Exception):
    """No complete answer: `reason` is "unreachable", "timeout", "cut" or "protocol"."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Response:
    """An answer. `headers` has lower-case names; `body` is cut at 1 MB."""

    __slots__ = ("status", "headers", "body")

    def __init__(self, status: int, headers: Dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


_loaded = False


def _load_name_services() -> None:
    """Have what finds addresses loaded here, in the program's thread, once.

    Python imports a codec for it, and the C library loads shared libraries, at the first name. A fork that falls into
    that, in the writer's thread, leaves a child that waits or aborts when it comes to do the same.
    """
    global _loaded
    if not _loaded:
        _loaded = True
        try:
            socket.getaddrinfo("localhost", None)
        except OSError:  # no such name here: what is needed to look for it is loaded
            pass


class _Stale(Exception):
    """The kept connection had been closed by the other side before it answered anything."""


class HttpClient:
    """Requests to one server, one at a time.

    Args:
        url: "http://host:port/prefix", "https://..." or "unix:///path/of.socket".
        timeout: seconds for a whole request. Default 10.
        connect_timeout: seconds for the connection alone. Default 2.
        tls: makes the TLS context; None: the system's trusted authorities.
    """

    def __init__(
        self, url: str, timeout: float = 10.0, connect_timeout: float = 2.0, tls: Optional[Callable[[], Any]] = None
    ) -> None:
        self.url = url
        self.timeout = timeout
        self.connect_timeout = connect_timeout
        self.scheme, self.host, self.port, self.path = split_url(url)
        self._tls = tls
        self._tls_context: Any = None
        self._socket: Optional[socket.socket] = None
        # What connecting imports is imported here rather than in the writer's thread: a child that another thread forks
        # in the middle of an import would wait for its end for ever.
        if self.scheme != "unix":
            _load_name_services()
        if self.scheme == "https":
            __import__("ssl")

    def request(
        self,
        method: str,
        path: str,
        body: Buffer = b"",
        headers: Optional[Mapping[str, str]] = None,
        timeout: Optional[float] = None,
    ) -> Response:
        """Send a request and read its answer. `body` is whatever has the buffer protocol; it is not copied.

        A kept connection that turns out to be closed, before any byte of an answer, is replaced once.

        Raises:
            HttpError: no complete answer within the timeout.
        """
        deadline = monotonic() + (self.timeout if timeout is None else min(timeout, self.timeout))
        body = memoryview(body)
        head = self._head(method, self.path + path, body.nbytes, headers or {})
        if self._socket is not None:
            try:
                return self._exchange(head, body, method, deadline, True)
            except _Stale:
                self.close()
        self._connect(deadline)
        return self._exchange(head, body, method, deadline, False)

    def close(self) -> None:
        """Close the kept connection."""
        kept, self._socket = self._socket, None
        if kept is not None:
            try:
                kept.close()
            except OSError:
                pass

    # -- sending --------------------------------------------------------------------------------------------------

    def _head(self, method: str, path: str, length: int, headers: Mapping[str, str]) -> bytes:
        host = "localhost" if self.scheme == "unix" else "[%s]" % self.host if ":" in self.host else self.host
        if self.port not in (0, {"http": 80, "https": 443}.get(self.scheme)):
            host += ":%d" % self.port
        lines = ["%s %s HTTP/1.1" % (method, path or "/"), "Host: " + host]
        lines.extend("%s: %s" % (name, _one_line(value)) for name, value in headers.items())
        if method != "GET":
            lines.append("Content-Length: %d" % length)
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace")

    def _connect(self, deadline: float) -> None:
        limit = min(self.connect_timeout, deadline - monotonic())
        if limit <= 0:
            raise HttpError("no time left to connect to %s" % self.url, "timeout")
        connection: Any = None
        try:
            if self.scheme == "unix":
                connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                connection.settimeout(limit)
                connection.connect(self.host)
            else:
                connection = socket.create_connection((self.host, self.port), limit)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self.scheme == "https":
                    connection = self._context().wrap_socket(connection, server_hostname=self.host)
        except socket.timeout:
            _close(connection)
            raise HttpError("no connection to %s within %.1f s" % (self.url, limit), "timeout") from None
        except (OSError, ValueError) as error:
            _close(connection)
            raise HttpError("cannot connect to %s: %s" % (self.url, error), "unreachable") from None
        self._socket = connection

    def _context(self) -> Any:
        if self._tls_context is None:
            if self._tls is not None:
                self._tls_context = self._tls()
            else:
                import ssl

                self._tls_context = ssl.create_default_context()
        return self._tls_context

    def _exchange(self, head: bytes, body: memoryview, method: str, deadline: float, kept: bool) -> Response:
        connection = self._socket
        assert connection is not None
        reader = _Reader(connection, deadline)
        try:
            try:
                reader.limit()
                # One packet for small requests; a large body is not copied for that.
                if body.nbytes <= _CHUNK:
                    connection.sendall(b"".join((head, body)))
                else:
                    connection.sendall(head)
                    reader.limit()
                    connection.sendall(body)
            except socket.timeout:
                raise
            except OSError:
                # The server may have answered without reading everything ("413"): look before giving up.
                if not reader.peek():
                    raise
            response, keep = _read_response(reader, method)
        except socket.timeout:
            self.close()
            raise HttpError("no answer from %s in time" % self.url, "timeout") from None
        except (OSError, EOFError) as error:
            self.close()
            if kept and not reader.received:
                raise _Stale() from None
            what = "closed the connection" if isinstance(error, EOFError) else str(error)
            raise HttpError("%s: %s" % (self.url, what), "cut") from None
        except ValueError as error:
            self.close()
            raise HttpError("%s gave no HTTP answer: %s" % (self.url, error), "protocol") from None
        except BaseException:  # an interrupt in the middle of an answer: its rest must not meet the next request
            self.close()
            raise
        if not keep:
            self.close()
        return response


class _Reader:
    """Buffered reading until a deadline."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self.connection = connection
        self.deadline = deadline
        self.received = False
        self.rest = b""

    def limit(self) -> None:
        """Let the next operation of the socket last as long as there is time."""
        left = self.deadline - monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        self.connection.settimeout(left)

    def more(self) -> None:
        """Read what has arrived."""
        self.limit()
        data = self.connection.recv(_CHUNK)
        if not data:
            raise EOFError
        self.received = True
        self.rest += data

    def peek(self) -> bool:
        """Whether an answer has come although sending failed."""
        try:
            self.more()
        except (OSError, EOFError):
            return False
        return True

    def line(self) -> bytes:
        """A line without its end."""
        while True:
            end = self.rest.find(b"\n")
            if end >= 0:
                line, self.rest = self.rest[:end], self.rest[end + 1 :]
                return line.rstrip(b"\r")
            if len(self.rest) > MAX_HEAD:
                raise ValueError("a line of more than %d bytes" % MAX_HEAD)
            self.more()

    def take(self, size: int) -> bytes:
        """So many bytes."""
        parts = [self.rest]
        have = len(self.rest)
        while have < size:
            self.rest = b""
            self.more()
            parts.append(self.rest)
            have += len(self.rest)
        data = b"".join(parts)
        self.rest = data[size:]
        return data[:size]

    def to_end(self, limit: int) -> bytes:
        """Everything until the connection ends."""
        try:
            while len(self.rest) < limit:
                self.more()
        except EOFError:
            pass
        return self.rest[:limit]


def _read_response(reader: _Reader, method: str) -> Tuple[Response, bool]:
    """An answer, and whether the connection can be used again."""
    while True:
        status, version = _status(reader.line())
        headers = _headers(reader)
        if status >= 200 or status == 101:
            break
    keep = headers.get("connection", "").lower() != "close" and version != "HTTP/1.0"
    if method == "HEAD" or status in (204, 304):
        return Response(status, headers, b""), keep
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body, whole = _chunked(reader)
    elif "content-length" in headers:
        length = int(headers["content-length"])
        if length < 0:
            raise ValueError("Content-Length %d" % length)
        whole = length <= MAX_BODY
        body = reader.take(min(length, MAX_BODY))
    else:
        body, whole = reader.to_end(MAX_BODY), False
    return Response(status, headers, body), keep and whole and not reader.rest


def _status(line: bytes) -> Tuple[int, str]:
    parts = line.decode("latin-1").split(None, 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/") or not parts[1].isdigit():
        raise ValueError("%r" % line[:80])
    return int(parts[1]), parts[0]


def _headers(reader: _Reader) -> Dict[str, str]:
    headers: Dict[str, str] = {}
    size = 0
    while True:
        line = reader.line()
        if not line:
            return headers
        size += len(line)
        if size > MAX_HEAD:
            raise ValueError("headers of more than %d bytes" % MAX_HEAD)
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()


def _chunked(reader: _Reader) -> Tuple[bytes, bool]:
    parts: List[bytes] = []
    total = 0
    while True:
        size = int(reader.line().split(b";")[0], 16)
        if size < 0:
            raise ValueError("a chunk of %d bytes" % size)
        if not size:
            while reader.line():
                pass
            return b"".join(parts), True
        if total + size > MAX_BODY:
            return b"".join(parts), False
        parts.append(reader.take(size))
        total += size
        reader.line()


def _one_line(value: str) -> str:
    return str(value).replace("\r", " ").replace("\n", " ")


def _close(connection: Any) -> None:
    if connection is not None:
        try:
            connection.close()
        except OSError:
            pass


def split_url(url: str) -> Tuple[str, str, int, str]:
    """Scheme, host (or path of the socket), port and path of a URL.

    Raises:
        ValueError: it cannot be used; the message says why.
    """
    scheme, mark, rest = url.partition("://")
    scheme = scheme.lower()
    if not mark or scheme not in ("http", "https", "unix"):
        raise ValueError("%r is no address: http://host:port, https://host:port or unix:///path expected" % url)
    if scheme == "unix":
        if not rest.startswith("/"):
            raise ValueError("%r names no socket: unix:///path expected" % url)
        return scheme, rest, 0, ""
    place, _, path = rest.partition("/")
    place = place.rpartition("@")[2]
    host, port = place, ""
    if place.startswith("["):
        host, _, port = place[1:].partition("]")
        port = port.lstrip(":")
    elif ":" in place:
        host, _, port = place.rpartition(":")
    if not host:
        raise ValueError("%r names no host" % url)
    if port and not (port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("%r has a port that is none" % url)
    path = "/" + path.partition("?")[0].rstrip("/") if path else ""
    return scheme, host, int(port) if port else (443 if scheme == "https" else 80), path
