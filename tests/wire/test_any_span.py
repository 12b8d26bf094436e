"""Any span through every encoder: what is written can be read, and says the same in all of them."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Tuple

from google.protobuf import json_format
from hypothesis import HealthCheck, example, given, settings
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gossamer._core.pure import Batch
from gossamer._wire import datadog
from gossamer._wire.datadog import encode_v04, encode_v05
from gossamer._wire.datadog_decode import Decoder
from gossamer._wire.otlp import encode_json, encode_protobuf, sampled
from tests.wire.build import Maker, process, v04, v05
from tests.wire.strategies import batches

OF = process()
patient = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def without_links(traces: List[List[Dict[str, Any]]]) -> List[List[Dict[str, Any]]]:
    for trace in traces:
        for span in trace:
            span.pop("span_links", None)
            span["meta"].pop("_dd.span_links", None)
    return traces


@given(batches())
@patient
def test_v04_and_v05_say_the_same(batch: Batch) -> None:
    traces = without_links(v04(batch, OF))
    assert traces == without_links(v05(batch, OF))
    assert [len(trace) for trace in traces] == [len(chunk.spans) for chunk in batch]  # nothing was given up


def odd_number() -> Batch:
    maker = Maker()
    for value in (1.5, float("inf")):
        maker.start(attributes={"n": value, "x": "after %r" % value, "env": "own" if value > 2 else "test"}).finish()
        maker.start(attributes={"n": value, "x": "after it"}).finish()
    return maker.batch()


@given(batches())
@example(odd_number())
@patient
def test_the_three_ways_to_write_a_span_say_the_same(batch: Batch) -> None:
    for make in (lambda: datadog._V04(OF, False), lambda: datadog._V05(OF)):
        layouts, pairs, full = make(), make(), make()
        pairs.layout = full.layout = lambda *_: None  # type: ignore[method-assign]
        full.attributes = lambda *_: False  # type: ignore[method-assign]
        expected = read(full, batch)
        assert read(layouts, batch) == expected
        assert read(pairs, batch) == expected
        assert packed(layouts, batch) == packed(pairs, batch)


def packed(form: Any, batch: Batch) -> bytes:
    return b"".join(datadog._chunks(batch, form))


def read(form: Any, batch: Batch) -> Any:
    import msgpack

    from tests.wire.build import no_repeats

    traces = msgpack.unpackb(packed(form, batch), raw=False, strict_map_key=False, object_pairs_hook=no_repeats)
    if isinstance(form, datadog._V04):
        return traces
    strings = [msgpack.unpackb(packed) for packed in form.table.order]
    for trace in traces:
        for row in trace:
            row[:3] = [strings[place] for place in row[:3]]
            row[9] = {strings[key]: strings[value] for key, value in row[9].items()}
            row[10] = {strings[key]: value for key, value in row[10].items()}
            row[11] = strings[row[11]]
    return traces


@given(batches())
@patient
def test_the_viewer_reads_what_we_write(batch: Batch) -> None:
    expected = sum(len(chunk.spans) for chunk in batch)
    for payload in (Decoder().msgpack(encode_v04(batch, OF)), Decoder().v05(encode_v05(batch, OF))):
        assert sum(len(chunk.spans) for chunk in payload.chunks) == expected


def official(body: bytes) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest.FromString(body)
    request.DiscardUnknownFields()  # the flags, with the classes of CPython 3.7
    return request


def json_official(body: bytes) -> ExportTraceServiceRequest:
    """OTLP's JSON differs from protobuf's in its ids alone: hexadecimal where protobuf has Base64."""
    import base64

    message = json.loads(body.decode())

    def to_base64(item: Any) -> None:
        for name in ("traceId", "spanId", "parentSpanId"):
            if name in item:
                item[name] = base64.b64encode(bytes.fromhex(item[name])).decode()

    for resource in message["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                to_base64(span)
                for link in span.get("links", ()):
                    to_base64(link)
    return json_format.ParseDict(message, ExportTraceServiceRequest(), ignore_unknown_fields=True)


def flat(request: ExportTraceServiceRequest) -> List[Tuple[Any, ...]]:
    return [
        (resource.resource.SerializeToString(deterministic=True), scope.scope.name, span)
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


@given(batches())
@patient
def test_protobuf_and_json_say_the_same(batch: Batch) -> None:
    spans = flat(official(encode_protobuf(batch, OF)))
    assert len(spans) == sampled(batch)[1]
    others = flat(json_official(encode_json(batch, OF)))
    assert [(a, b, str(span)) for a, b, span in spans] == [(a, b, str(span)) for a, b, span in others]
    for _, _, span in spans:
        keys = [attribute.key for attribute in span.attributes]
        assert len(set(keys)) == len(keys)
