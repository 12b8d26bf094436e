"""Traces to a collector."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from gossamer._export.exporter import ExportError
from gossamer._export.otlp import OTLPExporter
from tests.export.scripted import forever
from tests.services.capture import CaptureAgent
from tests.services.ports import free_port
from tests.wire.build import Maker, one, process


def answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    lines = ["HTTP/1.1 %d X" % status, "Content-Length: %d" % len(body), *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    "protocol, content", [("http/protobuf", "application/x-protobuf"), ("http/json", "application/json")]
)
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_spans_arrive(capture_agent: CaptureAgent, protocol: str, content: str, compression: str) -> None:
    endpoint = capture_agent.otlp_url + "/v1/traces"
    exporter = OTLPExporter(endpoint, protocol, headers={"Api-Key": "secret"}, compression=compression)
    exporter.export(one("a", {"x": 1}), process())
    (span,) = capture_agent.otlp_spans
    assert (span["name"], span["attributes"]["x"], span["resource"]["service.name"]) == ("a", 1, "shop")
    (request,) = capture_agent.requests
    assert request.headers["content-type"] == content and request.headers["api-key"] == "secret"
    assert request.headers.get("content-encoding") == (None if compression == "none" else "gzip")
    if compression == "gzip":
        assert gzip.decompress(request.body)


def test_nothing_is_sent_without_a_sampled_trace(scripted: Any) -> None:
    server = scripted(forever())
    maker = Maker(lambda trace, span: setattr(trace, "priority", 0))
    maker.start().finish()
    OTLPExporter(server.url + "/v1/traces").export(maker.batch(), process())
    assert server.requests == []


@pytest.mark.parametrize(
    "status, retry",
    [(400, False), (401, False), (404, False), (500, False), (429, True), (502, True), (503, True), (504, True)],
)
def test_answers_that_are_failures(scripted: Any, status: int, retry: bool) -> None:
    server = scripted(forever(answer(status, b"no", "Retry-After: 3")))
    with pytest.raises(ExportError) as caught:
        OTLPExporter(server.url + "/v1/traces").export(one(), process())
    assert (caught.value.retry, caught.value.retry_after) == (retry, 3.0)
    assert server.paths() == ["POST /v1/traces"]


def test_nobody_listening() -> None:
    with pytest.raises(ExportError) as caught:
        OTLPExporter(f"http://127.0.0.1:{free_port()}/v1/traces").export(one(), process())
    assert caught.value.retry and caught.value.reason == "unreachable"


def test_a_partial_success_is_counted(scripted: Any) -> None:
    message = ExportTraceServiceResponse()
    message.partial_success.rejected_spans = 300
    message.partial_success.error_message = "too old"
    binary = answer(200, message.SerializeToString(), "Content-Type: application/x-protobuf")
    json = b'{"partialSuccess": {"rejectedSpans": "4", "errorMessage": "no"}}'
    text = answer(200, json, "Content-Type: application/json")
    exporter = OTLPExporter(scripted(forever(binary, text)).url + "/v1/traces")
    exporter.export(one(), process())
    assert exporter.rejected_spans == 300
    exporter.export(one(), process())
    assert exporter.rejected_spans == 304


@pytest.mark.parametrize(
    "body, kind",
    [
        (b"\xff\xff\xff", "x-protobuf"),
        (b"\x0a", "x-protobuf"),
        (b"\x0a\x00", "x-protobuf"),
        (b"[]", "json"),
        (b"{", "json"),
    ],
)
def test_answers_that_make_no_sense_are_successes(scripted: Any, body: bytes, kind: str) -> None:
    exporter = OTLPExporter(scripted(forever(answer(200, body, "Content-Type: application/" + kind))).url)
    exporter.export(one(), process())
    assert exporter.rejected_spans == 0
