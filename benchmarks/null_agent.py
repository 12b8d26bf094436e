"""An agent, collector and ingest of every tracer at once: takes what it is sent, says yes and forgets it.

    python benchmarks/null_agent.py [--port 0] [--stall] [--keep]

Prints the port it listens on (loopback only). It runs in a process of its own, so that what it costs is never counted
with a tracer. `GET /bench/stats` answers what has arrived: {"requests": {path: count}, "bytes": {path: count}};
`GET /bench/spans` counts the spans in it (needs `--keep`); `POST /bench/reset` starts anew. With `--stall` what carries
spans is read and never answered. It ends when its stdin does.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import re
import struct
import sys
import zlib
from typing import Any, Dict, List, Optional, Tuple

INFO = {
    "version": "7.60.0",
    "endpoints": ["/v0.3/traces", "/v0.4/traces", "/v0.5/traces", "/v0.6/stats", "/info"],
    "client_drop_p0s": False,
    "config": {"default_env": "none"},
}
# What answers a path that starts so; the first that fits.
ANSWERS: Tuple[Tuple[bytes, bytes], ...] = (
    (b"/info", json.dumps(INFO).encode()),
    (b"/v0.", b'{"rate_by_service":{"service:,env:":1}}'),
    (b"/v1/", b""),
    (b"/api/", b'{"id":"00000000000000000000000000000000"}'),
    (b"/intake/", b""),
    (b"/config/", b"{}"),
    (b"/", b'{"version":"8.17.0","publish_ready":true}'),
)
SPANS = (b"/v0.3/traces", b"/v0.4/traces", b"/v0.5/traces", b"/v1/traces", b"/api/", b"/intake/", b"scout")


class State:
    """What has arrived, on all connections."""

    def __init__(self, stall: bool, keep: bool) -> None:
        self.stall = stall
        self.keep = keep
        self.reset()

    def reset(self) -> None:
        self.requests: Dict[str, int] = {}
        self.bytes: Dict[str, int] = {}
        self.kept: List[Tuple[bytes, bytes, bytes]] = []

    def received(self, path: bytes, head: bytes, body: bytes, size: Optional[int] = None) -> None:
        name = path.split(b"?")[0].decode("latin-1")
        self.requests[name] = self.requests.get(name, 0) + 1
        self.bytes[name] = self.bytes.get(name, 0) + (len(body) if size is None else size)
        if self.keep:
            self.kept.append((path, head, body))

    def stats(self) -> Dict[str, Any]:
        return {"requests": self.requests, "bytes": self.bytes}


class Connection(asyncio.Protocol):
    """One connection: HTTP/1.1, or Scout's length-prefixed messages."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.data = bytearray()
        self.stalled = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        while self.data and (self.message() if self.data[0] == 0 else self.request()):
            pass

    def message(self) -> bool:
        """Scout's core agent: four bytes of length, then JSON, both ways."""
        if len(self.data) < 4:
            return False
        end = 4 + struct.unpack(">I", self.data[:4])[0]
        if len(self.data) < end:
            return False
        self.state.received(b"scout", b"", bytes(self.data[4:end]))
        del self.data[:end]
        if not self.state.stall:
            self.transport.write(b"\0\0\0\2{}")
        return True

    def request(self) -> bool:
        """Take one whole request off the front of what has come; whether there was one."""
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self.data[:end])
        body = self.body(head.lower(), end + 4)
        if body is None:
            return False
        method, path = head.split(b" ", 2)[:2]
        self.answer(method, path, head, body)
        return True

    def body(self, head: bytes, start: int) -> Optional[bytes]:
        """The body after the head; None while it is not there as a whole."""
        if b"expect: 100-continue" in head and len(self.data) == start:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head)
        if b"transfer-encoding: chunked" in head:
            return self.chunks(start)
        end = start + (int(length.group(1)) if length else 0)
        if len(self.data) < end:
            return None
        body = bytes(self.data[start:end])
        del self.data[:end]
        return body

    def chunks(self, at: int) -> Optional[bytes]:
        if not self.data.endswith(b"0\r\n\r\n"):
            return None
        found = []
        while True:
            line = self.data.find(b"\r\n", at)
            if line < 0:
                return None
            size = int(bytes(self.data[at:line]).split(b";")[0], 16)
            at = line + 2 + size + 2
            if at > len(self.data):
                return None
            found.append(bytes(self.data[line + 2 : at - 2]))
            if not size:
                del self.data[:at]
                return b"".join(found)

    def answer(self, method: bytes, path: bytes, head: bytes, body: bytes) -> None:
        state = self.state
        if path.startswith(b"/bench/"):
            if path == b"/bench/reset":
                state.reset()
            if path == b"/bench/spans":
                found: Dict[str, Any] = {"spans": count_spans(state.kept)}
            elif path == b"/bench/traces":
                found = {"traces": sum(count_traces(*kept) for kept in state.kept)}
            else:
                found = state.stats()
            self.write(json.dumps(found).encode())
            return
        if method != b"GET":
            state.received(path, head, body)
            if state.stall and path.startswith(SPANS):
                return
        self.write(next(answer for start, answer in ANSWERS if path.startswith(start)))

    def write(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.transport.write(head % len(body) + body)


# -- what has arrived -------------------------------------------------------------------------------------------------


def count_spans(kept: List[Tuple[bytes, bytes, bytes]]) -> int:
    """The spans in kept requests; Elastic's agent compresses equal calls into one span that tells their number."""
    return sum(count_in(path, head, body) for path, head, body in kept)


def count_traces(path: bytes, head: bytes, body: bytes) -> int:
    """The traces of Datadog's formats, which a header counts; of the others the spans."""
    found = re.search(rb"x-datadog-trace-count: *(\d+)", head.lower()) if path.startswith(b"/v0.") else None
    return int(found.group(1)) if found else count_in(path, head, body)


def count_in(path: bytes, head: bytes, body: bytes) -> int:
    head = head.lower()
    if b"content-encoding: gzip" in head:
        body = gzip.decompress(body)
    elif b"content-encoding: deflate" in head:
        body = zlib.decompress(body)
    if path.startswith(b"/v0."):
        payload, _ = unpack(body, 0)
        traces = payload[1] if path.startswith(b"/v0.5") else payload
        return sum(len(trace) for trace in traces)
    if path == b"/v1/traces":
        return sum(1 for spans in fields(body, 1) for scope in fields(spans, 2) for _ in fields(scope, 2))
    if path.startswith(b"/intake/"):
        composite = re.findall(rb'"composite": *\{[^}]*"count": *(\d+)', body)
        return len(re.findall(rb'^\{"(?:span|transaction)"', body, re.MULTILINE)) + sum(int(n) - 1 for n in composite)
    if path == b"scout":
        return body.count(b'"StartSpan"')
    return body.count(b'"span_id"')


def unpack(data: bytes, at: int) -> Tuple[Any, int]:
    """A MessagePack value and where the next one begins. Only lists and maps are read, the rest is skipped as None."""
    first = data[at]
    at += 1
    kind = first & 0xF0
    if first < 0x80 or first >= 0xE0 or first in (0xC0, 0xC2, 0xC3):
        return None, at
    if kind in (0x80, 0x90):
        return unpack_items(data, at, first & 0x0F, kind == 0x80)
    if kind in (0xA0, 0xB0):
        return None, at + (first & 0x1F)
    if first in (0xDC, 0xDD, 0xDE, 0xDF):
        width = 2 if first in (0xDC, 0xDE) else 4
        size = int.from_bytes(data[at : at + width], "big")
        return unpack_items(data, at + width, size, first >= 0xDE)
    if first in (0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB):
        width = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}[first]
        return None, at + width + int.from_bytes(data[at : at + width], "big")
    return None, at + {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}[first]


def unpack_items(data: bytes, at: int, count: int, pairs: bool) -> Tuple[List[Any], int]:
    found = []
    for _ in range(2 * count if pairs else count):
        item, at = unpack(data, at)
        found.append(item)
    return found, at


def fields(message: bytes, wanted: int) -> List[bytes]:
    """The length-delimited fields of that number in a protobuf message."""
    found, at = [], 0
    while at < len(message):
        key, at = varint(message, at)
        kind = key & 7
        if kind == 2:
            size, at = varint(message, at)
            if key >> 3 == wanted:
                found.append(message[at : at + size])
            at += size
        elif kind == 0:
            _, at = varint(message, at)
        else:
            at += 8 if kind == 1 else 4
    return found


def varint(message: bytes, at: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


async def serve(port: int, state: State) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(state), "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    try:
        loop.add_reader(sys.stdin.fileno(), lambda: sys.stdin.buffer.read1(1) or ended.set())
    except (OSError, ValueError):  # no pipe: started by hand
        pass
    await ended.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--stall", action="store_true", help="never answer what carries spans")
    parser.add_argument("--keep", action="store_true", help="keep what arrives, to count the spans in it")
    options = parser.parse_args()
    try:
        asyncio.run(serve(options.port, State(options.stall, options.keep)))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
