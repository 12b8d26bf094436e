"""An Agent and an OTLP collector that keep what they receive, over TCP or a unix socket.

    agent.url                           for DD_TRACE_AGENT_URL; agent.otlp_url for OTEL_EXPORTER_OTLP_ENDPOINT
    agent.wait_for_spans(3)             Datadog spans (dicts with the v0.4 keys, v0.5 included), within a deadline
    agent.wait_for_otlp_spans(3)        OTLP spans (dicts: name, trace_id, span_id, attributes, resource ...)
    agent.requests                      every request as it arrived
    agent.behave(status=503, times=2)   the next answers; also delay=, cut=True, body=

What cannot be decoded is answered with 400 and fails the test when the fixture ends.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import socket
import tempfile
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import pytest

from tests.services.http_server import Handler, HttpServer, Request, lower
from tests.services.ports import wait_until

ENDPOINTS = ["/v0.4/traces", "/v0.5/traces", "/v0.6/stats"]
V05_FIELDS = ("service", "name", "resource", "trace_id", "span_id", "parent_id", "start", "duration", "error")


class Payload(NamedTuple):
    """One decoded request."""

    path: str
    headers: Dict[str, str]
    traces: List[List[Dict[str, Any]]]


class Behaviour(NamedTuple):
    """How the next requests for traces are answered."""

    status: int = 200
    delay: float = 0.0
    cut: bool = False
    body: Optional[bytes] = None
    times: int = 1


class CaptureHandler(Handler):
    """Speaks the Agent's interface and OTLP/HTTP."""

    server: CaptureAgent  # type: ignore[assignment]

    def handle_any(self) -> None:
        """Record, decode, answer."""
        body = self.read_body()
        request = Request(self.command, self.path, lower(self.headers.items()), body)
        self.server.requests.append(request)
        path = self.path.partition("?")[0]
        if path == "/info":
            self.answer_info()
        elif path in DECODERS:
            self.answer_traces(request, path)
        else:
            self.reply(404 if path.startswith("/v") else 200, b"{}")

    do_GET = do_POST = do_PUT = handle_any

    def answer_info(self) -> None:
        info = self.server.info
        if info is None:
            self.reply(404)
        else:
            self.reply(200, json.dumps(info).encode(), Content_Type="application/json")

    def answer_traces(self, request: Request, path: str) -> None:
        behaviour = self.server.next_behaviour()
        time.sleep(behaviour.delay)
        if behaviour.cut:
            self.answer_close(request)
            return
        if path not in self.server.accepted:
            self.reply(404)
            return
        if behaviour.status < 300:
            try:
                self.server.keep(path, request)
            except Exception as error:
                self.server.errors.append(f"{path}: {error!r}")
                self.reply(400, str(error).encode("utf-8", "replace"))
                return
        content = self.server.rates_body() if path.startswith("/v0.") else b"{}"
        content = content if behaviour.body is None else behaviour.body
        self.reply(behaviour.status, content, Content_Type="application/json")


def decode_v04(request: Request) -> List[List[Dict[str, Any]]]:
    """Traces of a v0.3 or v0.4 payload."""
    import msgpack

    traces = msgpack.unpackb(request.body, raw=False, strict_map_key=False)
    announced = request.headers.get("x-datadog-trace-count")
    if announced is not None and int(announced) != len(traces):
        raise ValueError(f"X-Datadog-Trace-Count is {announced}, the payload has {len(traces)}")
    return traces  # type: ignore[no-any-return]


def decode_v05(request: Request) -> List[List[Dict[str, Any]]]:
    """Traces of a v0.5 payload, with the keys of v0.4."""
    import msgpack

    strings, traces = msgpack.unpackb(request.body, raw=False, strict_map_key=False)
    if strings[0] != "" or len(set(strings)) != len(strings):
        raise ValueError("the string table must start with the empty string and hold no string twice")

    def span(row: List[Any]) -> Dict[str, Any]:
        if len(row) != 12:
            raise ValueError(f"a v0.5 span has 12 fields, not {len(row)}")
        found = dict(zip(V05_FIELDS, [strings[index] for index in row[:3]] + row[3:9]))
        found["meta"] = {strings[key]: strings[value] for key, value in row[9].items()}
        found["metrics"] = {strings[key]: value for key, value in row[10].items()}
        found["type"] = strings[row[11]]
        return found

    return [[span(row) for row in trace] for trace in traces]


def decode_otlp(request: Request) -> List[List[Dict[str, Any]]]:
    """Spans of an OTLP request, JSON or protobuf: one list for each scope of each resource."""
    body = gzip.decompress(request.body) if request.headers.get("content-encoding") == "gzip" else request.body
    if request.headers.get("content-type", "").startswith("application/json"):
        message = json.loads(body.decode("utf-8"))
    else:
        message = otlp_message(body)
    found = []
    for resource_spans in message.get("resourceSpans", []):
        resource = otlp_attributes(resource_spans.get("resource", {}).get("attributes", []))
        for scope_spans in resource_spans.get("scopeSpans", []):
            scope = scope_spans.get("scope", {}).get("name", "")
            found.append([otlp_span(span, resource, scope) for span in scope_spans.get("spans", [])])
    return found


def otlp_message(body: bytes) -> Dict[str, Any]:
    """A protobuf request in the form of its JSON encoding, by the official classes."""
    import base64

    from google.protobuf.json_format import MessageToDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    message = MessageToDict(ExportTraceServiceRequest.FromString(body))

    def to_hex(span: Dict[str, Any]) -> None:
        for name in ("traceId", "spanId", "parentSpanId"):
            if name in span:
                span[name] = base64.b64decode(span[name]).hex()
        for link in span.get("links", []):
            to_hex(link)

    for resource_spans in message.get("resourceSpans", []):
        for scope_spans in resource_spans.get("scopeSpans", []):
            for span in scope_spans.get("spans", []):
                to_hex(span)
    return message  # type: ignore[no-any-return]


def otlp_value(value: Dict[str, Any]) -> Any:
    """A plain value of an AnyValue."""
    for kind, content in value.items():
        if kind == "intValue":
            return int(content)
        if kind == "arrayValue":
            return [otlp_value(item) for item in content.get("values", [])]
        if kind == "kvlistValue":
            return otlp_attributes(content.get("values", []))
        return content
    return None


def otlp_attributes(pairs: List[Dict[str, Any]]) -> Dict[str, Any]:
    """Attributes as a dict; twice the same key is an error of the sender."""
    found = {pair["key"]: otlp_value(pair.get("value", {})) for pair in pairs}
    if len(found) != len(pairs):
        raise ValueError("an attribute key occurs twice: {}".format([pair["key"] for pair in pairs]))
    return found


def otlp_span(span: Dict[str, Any], resource: Dict[str, Any], scope: str) -> Dict[str, Any]:
    """A span as a flat dict with plain values."""
    events = [
        {
            "name": event.get("name", ""),
            "time": int(event.get("timeUnixNano", 0)),
            "attributes": otlp_attributes(event.get("attributes", [])),
        }
        for event in span.get("events", [])
    ]
    kind = span.get("kind", 0)
    status = span.get("status", {})
    return {
        "trace_id": span.get("traceId", ""),
        "span_id": span.get("spanId", ""),
        "parent_id": span.get("parentSpanId", ""),
        "trace_state": span.get("traceState", ""),
        "name": span.get("name", ""),
        "kind": kind if isinstance(kind, int) else OTLP_KINDS.index(kind),
        "start": int(span.get("startTimeUnixNano", 0)),
        "end": int(span.get("endTimeUnixNano", 0)),
        "attributes": otlp_attributes(span.get("attributes", [])),
        "events": events,
        "links": span.get("links", []),
        "error": status.get("code") in (2, "STATUS_CODE_ERROR"),
        "status_message": status.get("message", ""),
        "resource": resource,
        "scope": scope,
    }


OTLP_KINDS = ["SPAN_KIND_" + name for name in ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")]
DECODERS: Dict[str, Callable[[Request], List[List[Dict[str, Any]]]]] = {
    "/v0.3/traces": decode_v04,
    "/v0.4/traces": decode_v04,
    "/v0.5/traces": decode_v05,
    "/v1/traces": decode_otlp,
}


class CaptureAgent(HttpServer):
    """The server. `path` makes it listen on a unix socket there instead of a TCP port."""

    def __init__(self, path: Optional[str] = None, port: int = 0) -> None:
        self.path = path
        if path is not None:
            self.address_family = socket.AF_UNIX
        self.accepted = set(DECODERS)
        self.info: Optional[Dict[str, Any]] = {"version": "7.60.0", "endpoints": ENDPOINTS, "client_drop_p0s": False}
        self.rates: Dict[str, float] = {}
        self.payloads: List[Payload] = []
        self.errors: List[str] = []
        self._behaviours: List[Behaviour] = []
        self._lock = threading.Lock()
        super().__init__(CaptureHandler, port)
        if path is not None:
            self.url = "unix://" + path

    def server_bind(self) -> None:
        """Bind the socket; the HTTP server of the standard library knows TCP only."""
        if self.path is None:
            super().server_bind()
        else:
            self.socket.bind(self.path)
            self.server_address: Tuple[Any, ...] = (self.path, 0)
            self.server_name, self.server_port = "localhost", 0

    @property
    def otlp_url(self) -> str:
        """The base address for OTLP/HTTP."""
        return self.url

    def behave(self, times: int = 1, **how: Any) -> None:
        """Answer the next `times` requests for traces otherwise: status=, delay=, cut=True, body=."""
        with self._lock:
            self._behaviours.append(Behaviour(times=times, **how))

    def next_behaviour(self) -> Behaviour:
        """How this request is answered."""
        with self._lock:
            if not self._behaviours:
                return Behaviour()
            first = self._behaviours[0]
            if first.times <= 1:
                self._behaviours.pop(0)
            else:
                self._behaviours[0] = first._replace(times=first.times - 1)
            return first

    def rates_body(self) -> bytes:
        """The Agent's answer: sampling rates by service."""
        return json.dumps({"rate_by_service": self.rates or {"service:,env:": 1}}).encode()

    def keep(self, path: str, request: Request) -> None:
        """Decode a request and keep what it holds."""
        payload = Payload(path, request.headers, DECODERS[path](request))
        with self._lock:
            self.payloads.append(payload)

    @property
    def traces(self) -> List[List[Dict[str, Any]]]:
        """Datadog chunks, in order of arrival."""
        return [trace for payload in list(self.payloads) if payload.path != "/v1/traces" for trace in payload.traces]

    @property
    def spans(self) -> List[Dict[str, Any]]:
        """Datadog spans, in order of arrival."""
        return [span for trace in self.traces for span in trace]

    @property
    def otlp_spans(self) -> List[Dict[str, Any]]:
        """OTLP spans, in order of arrival."""
        found = [payload for payload in list(self.payloads) if payload.path == "/v1/traces"]
        return [span for payload in found for trace in payload.traces for span in trace]

    def wait_for_spans(self, count: int = 1, timeout: float = 10.0) -> List[Dict[str, Any]]:
        """Wait for so many Datadog spans; all that have arrived."""
        wait_until(lambda: len(self.spans) >= count, timeout, f"{count} spans")
        return self.spans

    def wait_for_otlp_spans(self, count: int = 1, timeout: float = 10.0) -> List[Dict[str, Any]]:
        """Wait for so many OTLP spans; all that have arrived."""
        wait_until(lambda: len(self.otlp_spans) >= count, timeout, f"{count} OTLP spans")
        return self.otlp_spans

    def clear(self) -> None:
        """Forget what has arrived."""
        with self._lock:
            del self.payloads[:]
            del self.requests[:]


@pytest.fixture
def capture_agent() -> Iterator[CaptureAgent]:
    """An Agent on a free port, for one test."""
    agent = CaptureAgent()
    yield agent
    agent.stop()
    assert not agent.errors


@pytest.fixture
def capture_agent_socket() -> Iterator[CaptureAgent]:
    """An Agent on a unix socket, for one test."""
    folder = tempfile.mkdtemp(prefix="agent-")  # tmp_path may be too long for a socket address
    agent = CaptureAgent(path=os.path.join(folder, "apm.socket"))
    yield agent
    agent.stop()
    shutil.rmtree(folder, ignore_errors=True)
    assert not agent.errors
