"""OTLP requests, read back with the official classes."""

from __future__ import annotations

import json
from typing import Any, Dict, Tuple

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gossamer._wire.otlp import encode_json, encode_protobuf, sampled
from tests.wire.build import START, TRACE_ID, Maker, one, process, remote


def read(batch: Any, of: Any = None) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest.FromString(encode_protobuf(batch, of or process()))


def value_of(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(value_of(item) for item in value.array_value.values)
    return getattr(value, kind)


def plain(attributes: Any) -> Dict[str, Any]:
    return {attribute.key: value_of(attribute.value) for attribute in attributes}


def spans(request: ExportTraceServiceRequest) -> Dict[str, Tuple[str, str, Any]]:
    """By name: service, scope and span."""
    return {
        span.name: (plain(resource.resource.attributes)["service.name"], scope.scope.name, span)
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }


def the_span(batch: Any) -> Any:
    ((_, _, span),) = spans(read(batch)).values()
    return span


def flags(message: Any) -> int:
    """The flags of a span or a link; the classes of CPython 3.7 are too old to know them."""
    if "flags" not in message.DESCRIPTOR.fields_by_name:
        tag = b"\x85\x01" if message.DESCRIPTOR.name == "Span" else b"\x35"
        return int.from_bytes(message.SerializeToString().rpartition(tag)[2][:4], "little")
    return message.flags  # type: ignore[no-any-return]


def test_a_span() -> None:
    maker = Maker()
    root = maker.start(
        "flask.request", remote(priority=1, tracestate="a=b"), resource="GET /users/<id>", type="web", kind="server",
        integration="flask", attributes={"http.request.method": "GET", "http.response.status_code": 200},
    )  # fmt: skip
    root.finish()
    request = read(maker.batch())
    service, scope, span = spans(request)["GET /users/<id>"]
    assert (service, scope) == ("shop", "gossamer.integrations.flask")
    assert span.trace_id == TRACE_ID.to_bytes(16, "big")
    assert span.span_id == (1).to_bytes(8, "big")
    assert span.parent_span_id == bytes.fromhex("fedcba9876543210")
    assert span.trace_state == "a=b"
    assert span.kind == 2
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (START + 1, START + 1001)
    assert plain(span.attributes) == {
        "operation.name": "flask.request", "span.type": "web",
        "http.request.method": "GET", "http.response.status_code": 200,
    }  # fmt: skip
    assert flags(span) == 0x301  # sampled; it is known that the parent is remote; it is
    assert not span.HasField("status")


def test_the_resource() -> None:
    request = read(one(), process(hostname="box", tags={"team": "blue", "service.name": "not this"}))
    (resource,) = request.resource_spans
    assert plain(resource.resource.attributes) == {
        "service.name": "shop", "service.version": "1.2", "service.instance.id": "ab" * 16, "team": "blue",
        "deployment.environment.name": "test", "host.name": "box", "process.pid": 77,
        "process.runtime.name": "cpython", "process.runtime.version": "3.11.7",
        "telemetry.sdk.name": "gossamer", "telemetry.sdk.language": "python", "telemetry.sdk.version": "0.1.0",
    }  # fmt: skip
    (scope,) = resource.scope_spans
    assert (scope.scope.name, scope.scope.version) == ("gossamer", "0.1.0")


@pytest.mark.parametrize(
    "kind, number", [("internal", 1), ("server", 2), ("client", 3), ("producer", 4), ("consumer", 5)]
)
def test_kinds(kind: str, number: int) -> None:
    assert the_span(one(kind=kind)).kind == number


def test_a_root_has_no_parent_and_no_remote_parent() -> None:
    span = the_span(one())
    assert (span.parent_span_id, flags(span), span.trace_state) == (b"", 0x101, "")


def test_services() -> None:
    maker = Maker()
    root = maker.start("root")
    facts = [
        ("redis", {"service": "redis", "integration": "redis", "kind": "client"}),
        ("by hand", {"service": "billing"}),
        ("same", {"service": "shop"}),
        ("consumer", {"service": "worker", "integration": "celery", "kind": "consumer"}),
    ]
    for name, fact in facts:
        maker.start(name, root, **fact).finish()
    root.finish()
    found = spans(read(maker.batch()))
    assert {name: service for name, (service, _, _) in found.items()} == {
        "root": "shop", "redis": "shop", "by hand": "billing", "same": "shop", "consumer": "worker",
    }  # fmt: skip
    assert found["redis"][1] == "gossamer.integrations.redis"


def test_only_sampled_traces() -> None:
    decisions = iter([1, 0, -1, None, 2])
    maker = Maker(lambda trace, span: setattr(trace, "priority", next(decisions)))
    for name in ("one", "zero", "minus", "none", "two"):
        maker.start(name).finish()
    batch = maker.batch()
    assert set(spans(read(batch))) == {"one", "none", "two"}
    assert sampled(batch) == (3, 3)
    assert len(json.loads(encode_json(batch, process()))["resourceSpans"][0]["scopeSpans"][0]["spans"]) == 3


VALUES = [
    "text", "", "é" * 200, True, False, 0, 1, -1, 2**63 - 1, -(2**63), 127, 128, 0.5, float("inf"), -0.0,
    b"", b"\x00\xff", ("a", 1, True, 0.5, b"x"), (),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values(value: Any) -> None:
    found = plain(the_span(one(attributes={"x": value})).attributes)["x"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("value, text", [(2**63, str(2**63)), ("\ud800!", "\\ud800!"), ("x" * 30000, "x" * 25000)])
def test_values_that_do_not_fit(value: Any, text: str) -> None:
    for _ in range(2):  # the second one from the cache
        assert plain(the_span(one(attributes={"x": value})).attributes)["x"] == text


def test_equal_values_of_different_types_are_not_mixed_up_by_the_cache() -> None:
    for value in ("1", 1, True, 1.0):
        found = plain(the_span(one(attributes={"x": value})).attributes)["x"]
        assert type(found) is type(value)


def test_an_error() -> None:
    maker = Maker()
    span = maker.start()
    span.fail(ValueError("bad"))
    span.finish()
    span = the_span(maker.batch())
    assert (span.status.code, span.status.message) == (2, "bad")
    (event,) = span.events
    attributes = plain(event.attributes)
    assert (event.name, attributes["exception.type"], attributes["exception.message"]) == (
        "exception",
        "ValueError",
        "bad",
    )
    assert "ValueError: bad" in attributes["exception.stacktrace"]


def test_events_and_links() -> None:
    maker = Maker()
    span = maker.start()
    span.add_event("retry", {"n": 1}, START)
    span.add_link(remote(priority=1, tracestate="x=y"), {"why": "batch"})
    span.add_link(remote(priority=0))
    span.finish()
    span = the_span(maker.batch())
    (event,) = span.events
    assert (event.time_unix_nano, event.name, plain(event.attributes)) == (START, "retry", {"n": 1})
    first, second = span.links
    assert first.trace_id == TRACE_ID.to_bytes(16, "big") and first.span_id.hex() == "fedcba9876543210"
    assert (first.trace_state, flags(first), plain(first.attributes)) == ("x=y", 0x301, {"why": "batch"})
    assert (second.trace_state, flags(second), plain(second.attributes)) == ("", 0x300, {})


def test_names_that_the_program_took_are_its_own() -> None:
    attributes = plain(the_span(one(type="web", attributes={"operation.name": "mine", "span.type": "x"})).attributes)
    assert attributes == {"operation.name": "mine", "span.type": "x"}


def test_json() -> None:
    maker = Maker()
    span = maker.start("a", remote(priority=1), kind="client", attributes={"b": b"\x00\xff", "n": float("nan"), "i": 5})
    span.finish()
    message = json.loads(encode_json(maker.batch(), process()), parse_constant=pytest.fail)
    ((scope,),) = [resource["scopeSpans"] for resource in message["resourceSpans"]]
    assert scope["spans"] == [
        {
            "traceId": "%032x" % TRACE_ID, "spanId": "%016x" % 1, "parentSpanId": "fedcba9876543210", "name": "a",
            "kind": 3, "startTimeUnixNano": str(START + 1), "endTimeUnixNano": str(START + 1001), "flags": 0x301,
            "attributes": [
                {"key": "operation.name", "value": {"stringValue": "a"}},
                {"key": "b", "value": {"bytesValue": "AP8="}},
                {"key": "n", "value": {"doubleValue": "NaN"}},
                {"key": "i", "value": {"intValue": "5"}},
            ],
        }
    ]  # fmt: skip


def test_a_broken_span_does_not_take_its_neighbours_along() -> None:
    maker = Maker()
    for name in ("a", "b", "c"):
        maker.start(name).finish()
    batch = maker.batch()
    batch.chunks[1].spans[0].attributes = None  # type: ignore[assignment]
    assert set(spans(read(batch))) == {"a", "c"}
    assert len(json.loads(encode_json(batch, process()))["resourceSpans"][0]["scopeSpans"][0]["spans"]) == 2
