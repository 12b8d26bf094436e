"""What the viewer's tests send and how they ask."""

from __future__ import annotations

import http.client
import json
import random
import socket
import struct
import time
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from gossamer.viewer import Viewer

CHANGE = {"X-Gossamer": "1", "Content-Type": "application/json"}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One request per connection, unless a test wants otherwise."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.port = viewer.port

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, **more: Any
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {}, **more)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def send(self, traces: list[list[dict[str, Any]]], **headers: str) -> Answer:
        """Send traces as v0.4 and wait until they are stored."""
        answer = self.ask("PUT", "/v0.4/traces", pack(traces), {"Content-Type": "application/msgpack", **headers})
        assert self.viewer.store.flush()
        return answer

    def get(self, path: str, **parameters: Any) -> Any:
        answer = self.ask("GET", path + ("?" + urlencode(parameters) if parameters else ""))
        assert answer.status == 200, (path, answer)
        return answer.json

    def search(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        """All rows for a query, through every page of the answer."""
        rows: list[dict[str, Any]] = []
        cursor = ""
        for _ in range(1000):
            answer = self.get("/api/traces", q=query, cursor=cursor, **parameters)
            rows += answer["rows"]
            cursor = answer["next"]
            if not cursor:
                return rows
        raise AssertionError("the list does not end")

    def names(self, query: str, **parameters: Any) -> list[str]:
        """Resources of the roots of what is found."""
        return sorted(row["root"]["resource"] for row in self.search(query, **parameters))

    def error(self, query: str) -> dict[str, Any]:
        answer = self.ask("GET", "/api/traces?q=" + quote(query))
        assert answer.status == 400, answer
        return answer.json["error"]

    def raw(self, data: bytes, wait: float = 3) -> bytes:
        """Bytes as they are, and everything that comes back until the viewer closes or is silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as sock:
            sock.sendall(data)
            result = b""
            try:
                while True:
                    more = sock.recv(65536)
                    if not more:
                        return result
                    result += more
            except (socket.timeout, ConnectionResetError):
                return result


_random = random.Random()


def new_id() -> int:
    return _random.getrandbits(63) | 1


def span(trace: int = 0, parent: int = 0, **fields: Any) -> dict[str, Any]:
    """A span of Datadog's protocol."""
    result: dict[str, Any] = {
        "trace_id": trace or new_id(),
        "span_id": new_id(),
        "parent_id": parent,
        "service": "shop",
        "name": "web.request",
        "resource": "GET /",
        "type": "web",
        "start": time.time_ns(),
        "duration": 5_000_000,
        "error": 0,
        "meta": {},
        "metrics": {},
    }
    result.update(fields)
    return result


def child(parent: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return span(parent["trace_id"], parent["span_id"], **fields)


def pack(value: Any) -> bytes:
    """MessagePack, written anew so that the decoder is not tested with its own encoder."""
    if value is None:
        return b"\xc0"
    if value is True or value is False:
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        if 0 <= value < 128:
            return bytes([value])
        return b"\xcf" + struct.pack(">Q", value) if value >= 0 else b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        raw = value.encode("utf-8", "surrogatepass")
        if len(raw) < 32:
            return bytes([0xA0 | len(raw)]) + raw
        return (b"\xd9" + bytes([len(raw)]) if len(raw) < 256 else b"\xdb" + struct.pack(">I", len(raw))) + raw
    if isinstance(value, bytes):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    if isinstance(value, dict):
        return b"\xdf" + struct.pack(">I", len(value)) + b"".join(pack(k) + pack(v) for k, v in value.items())
    return b"\xdd" + struct.pack(">I", len(value)) + b"".join(pack(inner) for inner in value)


def pack_v05(traces: list[list[dict[str, Any]]]) -> bytes:
    """The same spans as v0.5."""
    strings: dict[str, int] = {"": 0}

    def index(text: str) -> int:
        return strings.setdefault(text, len(strings))

    encoded = [
        [
            [
                index(s["service"]),
                index(s["name"]),
                index(s["resource"]),
                s["trace_id"],
                s["span_id"],
                s["parent_id"],
                s["start"],
                s["duration"],
                s["error"],
                {index(k): index(v) for k, v in s["meta"].items()},
                {index(k): v for k, v in s["metrics"].items()},
                index(s["type"]),
            ]
            for s in trace
        ]
        for trace in traces
    ]
    return pack([list(strings), encoded])


def hex32(low: int, high: int = 0) -> str:
    return f"{high:016x}{low:016x}"
