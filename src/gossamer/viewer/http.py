"""A small HTTP/1.1 server: threads, bounded in every direction, with what ``http.server`` does not have.

Chunked bodies, gzip and deflate with a bound on what they inflate to, keep-alive, a limit on connections where the
longest idle one makes room, and an end to clients that make no progress.
"""

import socket
import threading
import time
import zlib
from email.utils import formatdate
from typing import Callable, Dict, Iterable, List, Optional

from gossamer import _log

MAX_CONNECTIONS = 64
MAX_BODY = 25 << 20
MAX_INFLATED = 100 << 20
MAX_HEADERS = 32 << 10
STALLED = 10.0  # seconds without a byte inside a request
IDLE = 120.0  # seconds between requests
LONGEST = 180.0  # seconds for one request to arrive

_REASONS = {
    200: "OK",
    202: "Accepted",
    204: "No Content",
    302: "Found",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    411: "Length Required",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    421: "Misdirected Request",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}


class HTTPError(Exception):
    """A request that cannot be answered; the connection is closed if ``close``."""

    def __init__(self, status: int, message: str, close: bool = True) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.close = close


class PriorKnowledge(Exception):
    """The client speaks HTTP/2, so most likely gRPC."""


class Request:
    """One request, its body not yet read."""

    __slots__ = ("_connection", "headers", "method", "path", "query", "read", "version", "wire")

    def __init__(
        self, connection: "Connection", method: str, target: str, version: str, headers: Dict[str, str]
    ) -> None:
        self._connection = connection
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.version = version
        self.headers = headers  # names in lower case
        self.read = False
        self.wire = 0  # bytes of the body as it came

    def body(self) -> bytes:
        """The body, decoded. Raises ``HTTPError``."""
        self.read = True
        raw = self._connection.read_body(self)
        self.wire = len(raw)
        return inflate(raw, self.headers.get("content-encoding", ""))

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants to go on with this connection."""
        wanted = self.headers.get("connection", "").lower()
        return "close" not in wanted and (self.version == "HTTP/1.1" or "keep-alive" in wanted)


class Response:
    """An answer: a body, or parts that are sent until they end (and then the connection ends)."""

    __slots__ = ("body", "headers", "parts", "status")

    def __init__(
        self,
        status: int = 200,
        body: bytes = b"",
        headers: Optional[Dict[str, str]] = None,
        parts: Optional[Iterable[bytes]] = None,
    ) -> None:
        self.status = status
        self.body = body
        self.headers = headers or {}
        self.parts = parts


Handler = Callable[[Request], Response]


def inflate(raw: bytes, encoding: str) -> bytes:
    """Undo ``Content-Encoding``, up to ``MAX_INFLATED`` bytes."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return raw
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise HTTPError(415, "content encoding {!r} is not supported".format(encoding[:40]), close=False)
    bits = (
        31
        if "gzip" in encoding
        else (15 if raw[:1] and raw[0] & 15 == 8 and int.from_bytes(raw[:2], "big") % 31 == 0 else -15)
    )
    result: List[bytes] = []
    left = MAX_INFLATED
    try:
        while raw:
            inflater = zlib.decompressobj(bits)
            data = inflater.decompress(raw, left + 1)
            left -= len(data)
            if left < 0:
                raise HTTPError(413, "the body inflates to more than {} MB".format(MAX_INFLATED >> 20))
            result.append(data)
            if not inflater.eof:
                raise HTTPError(400, "the compressed body ends early", close=False)
            raw = inflater.unused_data if bits == 31 else b""
    except zlib.error as error:
        raise HTTPError(400, "the body is not {}: {}".format(encoding, error), close=False) from None
    return b"".join(result)


class Connection:
    """One client's connection."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()
        self._deadline = 0.0
        self.idle_since: Optional[float] = time.monotonic()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _receive(self, timeout: float) -> bytes:
        self._sock.settimeout(max(0.01, min(timeout, self._deadline - time.monotonic())))
        try:
            data = self._sock.recv(65536)
        except socket.timeout:
            raise HTTPError(408, "no progress") from None
        if not data:
            raise ConnectionResetError("closed by the client")
        return data

    def request(self) -> Optional[Request]:
        """The next request; ``None`` when the client has gone or been idle for long."""
        self._deadline = time.monotonic() + IDLE
        if not self._buffer:
            self.idle_since = time.monotonic()
            try:
                self._buffer += self._receive(IDLE)
            except HTTPError:
                return None
            finally:
                self.idle_since = None
        self._deadline = time.monotonic() + LONGEST
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end >= 0:
                break
            if len(self._buffer) > MAX_HEADERS:
                raise HTTPError(431, "headers over {} KB".format(MAX_HEADERS >> 10))
            self._buffer += self._receive(STALLED)
        head = bytes(self._buffer[:end])
        if head.startswith(b"PRI * HTTP/2"):
            raise PriorKnowledge
        del self._buffer[: end + 4]
        return self._parse(head)

    def _parse(self, head: bytes) -> Request:
        lines = head.decode("latin-1").split("\r\n")
        while lines and not lines[0]:
            del lines[0]
        parts = lines[0].split(" ") if lines else []
        if len(parts) != 3 or not parts[2].startswith("HTTP/1.") or not parts[1]:
            raise HTTPError(400, "not an HTTP/1.1 request")
        headers: Dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise HTTPError(400, "a malformed header")
            name = name.lower()
            if name in headers and name in ("host", "content-length", "transfer-encoding", "origin"):
                raise HTTPError(400, "{} twice".format(name))
            headers[name] = headers[name] + ", " + value.strip() if name in headers else value.strip()
        return Request(self, parts[0], parts[1], parts[2], headers)

    def read_body(self, request: Request) -> bytes:
        """The body as it came on the wire, without its chunks."""
        headers = request.headers
        coding = headers.get("transfer-encoding", "").lower()
        if coding and (coding != "chunked" or "content-length" in headers):
            raise HTTPError(400, "a transfer encoding other than chunked alone")
        size = headers.get("content-length", "0")
        if not coding and (not size.isdigit() or len(size) > 12):
            raise HTTPError(400, "a malformed content length")
        if not coding and int(size) > MAX_BODY:
            raise HTTPError(413, "a body over {} MB".format(MAX_BODY >> 20))
        if headers.get("expect", "").lower() == "100-continue" and not self._buffer:
            self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return self._chunked() if coding else self._exactly(int(size))

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._buffer += self._receive(STALLED)
        result = bytes(self._buffer[:size])
        del self._buffer[:size]
        return result

    def _line(self) -> bytes:
        while True:
            end = self._buffer.find(b"\r\n", 0, 4096)
            if end >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 2]
                return line
            if len(self._buffer) > 4096:
                raise HTTPError(400, "a chunk's line is too long")
            self._buffer += self._receive(STALLED)

    def _chunked(self) -> bytes:
        result: List[bytes] = []
        total = 0
        while True:
            digits = self._line().split(b";")[0].strip()
            try:
                if not digits or len(digits) > 8 or digits.strip(b"0123456789abcdefABCDEF"):
                    raise ValueError
                size = int(digits, 16)
            except ValueError:
                raise HTTPError(400, "a malformed chunk") from None
            total += size
            if total > MAX_BODY or len(result) > 500000:
                raise HTTPError(413, "a body over {} MB".format(MAX_BODY >> 20))
            if not size:
                break
            result.append(self._exactly(size))
            if self._line():
                raise HTTPError(400, "a malformed chunk")
        for _ in range(100):
            if not self._line():
                return b"".join(result)
        raise HTTPError(431, "too many trailers")

    def _send(self, data: bytes) -> None:
        self._sock.settimeout(STALLED)
        view = memoryview(data)
        while view:
            # Progress counts, not the whole: a slow reader of a large answer is no fault.
            view = view[self._sock.send(view[:262144]) :]

    def answer(self, response: Response, keep: bool, head_only: bool = False) -> None:
        """Send a response."""
        lines = ["HTTP/1.1 {} {}".format(response.status, _REASONS.get(response.status, "Status"))]
        headers = dict(response.headers)
        headers.setdefault("Date", formatdate(usegmt=True))
        if response.parts is None and response.status not in (204, 304):
            headers["Content-Length"] = str(len(response.body))
        headers["Connection"] = "keep-alive" if keep and response.parts is None else "close"
        lines += ["{}: {}".format(name, value) for name, value in headers.items()]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        if response.parts is None:
            self._send(head if head_only else head + response.body)
            return
        try:
            self._send(head)
            for part in response.parts:
                self._send(part)
        finally:
            close = getattr(response.parts, "close", None)
            if close is not None:
                close()

    def close(self) -> None:
        """Close at once."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._sock.close()

    def end(self) -> None:
        """Close after an error, with a little patience for a client that still sends: a reset would take our answer
        from it.
        """
        try:
            self._sock.shutdown(socket.SHUT_WR)
            self._sock.settimeout(0.5)
            for _ in range(64):
                if not self._sock.recv(65536):
                    break
        except OSError:
            pass
        self.close()


class Server:
    """Listens and runs ``handler`` for each request, a thread for each connection."""

    def __init__(self, host: str, port: int, handler: Handler, on_http2: Callable[[], None] = lambda: None) -> None:
        self._handler = handler
        self._on_http2 = on_http2
        self._connections: Dict[Connection, threading.Thread] = {}
        self._lock = threading.Lock()
        self._stopping = False
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind((host, port))
            self._listener.listen(128)
        except BaseException:
            self._listener.close()
            raise
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="gossamer-viewer-accept", daemon=True)

    def start(self) -> None:
        """Begin to accept."""
        self._thread.start()

    def stop(self) -> None:
        """Close the listener and every connection."""
        self._stopping = True
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        with self._lock:
            connections = list(self._connections.items())
        for connection, _ in connections:
            connection.close()
        for _, thread in connections:
            if thread is not threading.current_thread():
                thread.join(2)

    def _accept(self) -> None:
        while not self._stopping:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                if self._stopping:
                    return
                time.sleep(0.05)  # out of file descriptors, most likely
                continue
            try:
                connection = Connection(sock)
            except OSError:
                sock.close()
                continue
            self._admit(connection)

    def _admit(self, connection: Connection) -> None:
        with self._lock:
            if len(self._connections) >= MAX_CONNECTIONS:
                idle = [(other.idle_since, other) for other in self._connections if other.idle_since is not None]
                if idle:
                    oldest = min(idle, key=lambda pair: pair[0])[1]
                    oldest.close()
                    self._connections.pop(oldest, None)
            full = len(self._connections) >= MAX_CONNECTIONS
            if not full:
                thread = threading.Thread(
                    target=self._serve, args=(connection,), name="gossamer-viewer-client", daemon=True
                )
                self._connections[connection] = thread
        if full:
            self._refuse(connection, HTTPError(503, "{} connections are open".format(MAX_CONNECTIONS)))
            connection.close()
        else:
            thread.start()

    def _serve(self, connection: Connection) -> None:
        try:
            while not self._stopping:
                request = connection.request()
                if request is None:
                    return
                if not self._one(connection, request):
                    return
        except PriorKnowledge:
            self._on_http2()
        except HTTPError as error:
            self._refuse(connection, error)
            connection.end()
        except OSError:
            pass
        except Exception:
            _log.get("viewer").exception("viewer: a connection failed")
        finally:
            connection.close()
            with self._lock:
                self._connections.pop(connection, None)

    def _one(self, connection: Connection, request: Request) -> bool:
        keep = request.keep_alive
        try:
            response = self._handler(request)
        except HTTPError as error:
            if error.close:
                raise
            response = _plain(error)
        except OSError:
            raise
        except Exception:
            _log.get("viewer").exception("viewer: %s %s failed", request.method, request.path)
            response = _plain(HTTPError(500, "the viewer failed; its log says why"))
        if not request.read and (
            request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
        ):
            # A body that nobody wanted is read, within bounds, so that the next request can be found.
            connection.read_body(request)
        connection.answer(response, keep, request.method == "HEAD")
        return keep and response.parts is None

    def _refuse(self, connection: Connection, error: HTTPError) -> None:
        try:
            connection.answer(_plain(error), keep=False)
        except OSError:
            pass


def _plain(error: HTTPError) -> Response:
    return Response(error.status, (error.message + "\n").encode("utf-8"), {"Content-Type": "text/plain; charset=utf-8"})
