"""The receiving paths: a Datadog Agent's and an OTLP/HTTP collector's."""

import http.client
import json
import re
import threading
from typing import Callable, Dict, Optional, Tuple
from urllib.parse import urlsplit

from gossamer import _log
from gossamer._version import __version__
from gossamer._wire.datadog_decode import Decoder, decode_json
from gossamer._wire.decoded import Payload
from gossamer._wire.otlp_decode import OtlpDecoder, response
from gossamer._wire.otlp_json_decode import decode_json as decode_otlp_json
from gossamer.viewer.http import HTTPError, Request, Response
from gossamer.viewer.status import Counters
from gossamer.viewer.store import Store

_JSON_TYPES = ("application/json", "text/json")
_JSON = {"Content-Type": "application/json"}
_RATES = json.dumps({"rate_by_service": {"service:,env:": 1}}).encode("ascii")
_ENDPOINTS = ["/v0.3/traces", "/v0.4/traces", "/v0.5/traces", "/v0.6/stats", "/info"]
_AGENT_TRACES = {"/v0.3/traces": "v0.3", "/v0.4/traces": "v0.4", "/v0.5/traces": "v0.5"}
_OTLP_TRACES = "/v1/traces"
_DROPPED = (
    "/telemetry/proxy/",
    "/evp_proxy/",
    "/v0.1/pipeline_stats",
    "/v0.7/config",
    "/v0.2/traces",
    "/v1.0/",
    "/profiling/",
    "/debugger/",
    "/symdb/",
)
_EXPORTER = re.compile(r"OTel[- ]OTLP[- ]Exporter[- ](\w+)/([\w.+-]+)", re.IGNORECASE)
_GRPC_NOTE = "a client tried OTLP/gRPC: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
_FORWARDED = ("content-type", "content-encoding", "user-agent", "x-datadog-", "datadog-", "dd-")


def is_receiving(path: str) -> bool:
    """Whether the path is one that tracers send to."""
    return (
        path in _AGENT_TRACES
        or path in ("/info", "/v0.6/stats", _OTLP_TRACES)
        or path.startswith(_DROPPED)
        or path.startswith("/v0.")
        or path.startswith("/v1/")
    )


class Receiver:
    """Decodes payloads, one at a time, and hands them to the store."""

    def __init__(self, store: Store, counters: Counters, forward: Optional[str] = None) -> None:
        self._store = store
        self._counters = counters
        self._forward = Forward(forward) if forward else None
        self._decoder = Decoder()
        self._otlp = OtlpDecoder()
        self._decoding = threading.Lock()

    def http2(self) -> None:
        """Note a client that spoke HTTP/2."""
        self._counters.note(_GRPC_NOTE)
        self._counters.refused("otlp-grpc", "gRPC is not supported")

    def handle(self, request: Request) -> Response:
        """Answer a request to a receiving path."""
        path = request.path
        if path in _AGENT_TRACES or path == _OTLP_TRACES:
            if request.method not in ("PUT", "POST"):
                raise HTTPError(405, "PUT or POST", close=False)
            protocol = _AGENT_TRACES.get(path, "otlp")
            try:
                return self._traces(request, protocol)
            except HTTPError as error:
                self._counters.refused(protocol, error.message)
                raise
        if path == "/info":
            return self._info(request)
        if path == "/v0.6/stats":
            body = request.body()
            self._counters.received("v0.6/stats", 0, len(body), client(request))
            return self._passed_on(request, body) or Response(200, b"{}", _JSON)
        if path.startswith("/telemetry/proxy/"):
            body = request.body()
            return self._passed_on(request, body) or Response(200, b"{}", _JSON)
        if self._forward:
            return self._forward.send(request, request.body())
        _log.once(("viewer path", path), _log.INFO, "viewer: %s is not one of its paths", path)
        raise HTTPError(404, "not one of this viewer's paths", close=False)

    def _traces(self, request: Request, protocol: str) -> Response:
        body = request.body()
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            with self._decoding:
                payload = self._decode(protocol, kind, body)
        except ValueError as error:
            raise HTTPError(400, str(error), close=False) from None
        if payload.chunks and not self._store.put(payload):
            self._counters.refused(payload.protocol, "the queue is full", payload.spans)
            return Response(429, b"the viewer is busy\n", {"Content-Type": "text/plain", "Retry-After": "1"})
        for reason, spans in payload.refused.items():
            self._counters.refused(payload.protocol, reason, max(1, spans))
        self._counters.received(payload.protocol, payload.spans, request.wire, client(request))
        if protocol == "otlp":
            return self._otlp_answer(payload, kind)
        return self._passed_on(request, body) or Response(200, _RATES, _JSON)

    def _decode(self, protocol: str, kind: str, body: bytes) -> Payload:
        if protocol == "otlp":
            if kind in _JSON_TYPES:
                return decode_otlp_json(body)
            if kind != "application/x-protobuf":
                raise HTTPError(415, "expected application/x-protobuf or application/json", close=False)
            return self._otlp.protobuf(body)
        if not body:
            return Payload(protocol)
        if protocol == "v0.5":
            return self._decoder.v05(body)
        if kind in _JSON_TYPES:
            return decode_json(body, protocol)
        return self._decoder.msgpack(body, protocol)

    def _otlp_answer(self, payload: Payload, kind: str) -> Response:
        return Response(200, response(payload, kind in _JSON_TYPES), {"Content-Type": kind})

    def _passed_on(self, request: Request, body: bytes) -> Optional[Response]:
        return self._forward.send(request, body) if self._forward else None

    def _info(self, request: Request) -> Response:
        info = {
            "version": "gossamer {}".format(__version__),
            "endpoints": _ENDPOINTS,
            "client_drop_p0s": False,
            "span_events": True,
            "config": {"statsd_port": 0},
            "peer_tags": [],
            "span_kinds_stats_computed": [],
        }
        return Response(200, json.dumps(info).encode("ascii"), _JSON)


def client(request: Request) -> Tuple[str, str, str]:
    """Language, version and user agent of the tracer that sent a request."""
    headers = request.headers
    agent = headers.get("user-agent", "")[:200]
    exporter = _EXPORTER.match(agent)
    if exporter:
        return exporter.group(1).lower(), exporter.group(2), agent
    return headers.get("datadog-meta-lang", "")[:50], headers.get("datadog-meta-tracer-version", "")[:50], agent


class Forward:
    """Passes requests on to a real Agent."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url if "://" in url else "http://" + url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("{!r} is not the address of an Agent (http://host:8126)".format(url))
        self._make: Callable[..., http.client.HTTPConnection] = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 8126)
        self._prefix = parts.path.rstrip("/")

    def send(self, request: Request, body: bytes) -> Response:
        """The Agent's answer; 502 where there is none."""
        headers: Dict[str, str] = {
            name: value
            for name, value in request.headers.items()
            if name.startswith(_FORWARDED) and name != "content-encoding"
        }
        connection = self._make(self._host, self._port, timeout=10)
        try:
            target = self._prefix + request.path + ("?" + request.query if request.query else "")
            connection.request(request.method, target, body, headers)
            answer = connection.getresponse()
            data = answer.read(1 << 20)
            kind = answer.getheader("Content-Type") or "application/octet-stream"
            kept = {name: value for name, value in answer.getheaders() if name.lower().startswith("datadog-")}
            kept["Content-Type"] = kind
            return Response(answer.status, data, kept)
        except (OSError, http.client.HTTPException) as error:
            _log.limited(
                ("viewer forward",),
                _log.WARNING,
                "viewer: the Agent at %s:%d did not answer: %s",
                self._host,
                self._port,
                error,
            )
            raise HTTPError(
                502, "the Agent at {}:{} did not answer".format(self._host, self._port), close=False
            ) from None
        finally:
            connection.close()
