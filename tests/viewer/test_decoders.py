"""The decoders alone: hostile bytes give ValueError and nothing else."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gossamer._wire import datadog_decode, msgpack, otlp_decode, otlp_json_decode
from gossamer._wire.decoded import OTLP, OTLP_JSON, Payload
from gossamer._wire.protobuf import delimited, encode_varint
from tests.viewer.helpers import child, pack, pack_v05, span

FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def example_spans() -> list[dict[str, Any]]:
    root = span(meta={"a": "b", "span.kind": "server", "_dd.p.tid": "1" * 16}, metrics={"n": 1.5, "i": 3})
    return [root, child(root, name="x" * 40, meta={"long": "y" * 300}, span_links=[{"trace_id": 1, "span_id": 2}])]


SPANS = example_spans()
V04, V05 = pack([SPANS, SPANS]), pack_v05([SPANS])


def fixed64(number: int, value: int) -> bytes:
    return encode_varint(number << 3 | 1) + struct.pack("<Q", value)


def key_value(key: str, value: bytes) -> bytes:
    return delimited(1, key.encode()) + delimited(2, value)


def otlp_span(**fields: bytes) -> bytes:
    event = (
        fixed64(1, 5) + delimited(2, b"exception") + delimited(3, key_value("exception.message", delimited(1, b"boom")))
    )
    link = delimited(1, b"\x01" * 16) + delimited(2, b"\x02" * 8) + delimited(4, key_value("l", b"\x10\x01"))
    return (
        delimited(1, fields.get("trace", b"\x07" * 16))
        + delimited(2, fields.get("own", b"\x08" * 8))
        + delimited(5, b"GET /")
        + b"\x30\x02"
        + fixed64(7, 1_000_000_000)
        + fixed64(8, 1_500_000_000)
        + delimited(9, key_value("s", delimited(1, b"text")))
        + delimited(9, key_value("list", delimited(5, delimited(1, b"\x18\x07"))))
        + delimited(9, key_value("neg", b"\x18" + encode_varint((1 << 64) - 5)))
        + delimited(9, key_value("f", fixed64(4, struct.unpack("<Q", struct.pack("<d", 2.5))[0])))
        + delimited(11, event)
        + delimited(13, link)
        + delimited(15, delimited(2, b"bad") + b"\x18\x02")
        + b"\x85\x01\x01\x00\x00\x00"
    )


RESOURCE = delimited(1, delimited(1, key_value("service.name", delimited(1, b"shop"))))
OTLP_BODY = delimited(
    1,
    RESOURCE
    + delimited(
        2, delimited(1, delimited(1, b"lib")) + delimited(2, otlp_span()) + delimited(2, otlp_span(own=b"\x09" * 8))
    ),
)
OTLP_JSON_BODY = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeSpans": [
                {
                    "scope": {"name": "lib"},
                    "spans": [
                        {
                            "traceId": "07" * 16,
                            "spanId": "08" * 8,
                            "name": "GET /",
                            "kind": "SPAN_KIND_SERVER",
                            "startTimeUnixNano": "1000000000",
                            "endTimeUnixNano": 1500000000,
                            "attributes": [
                                {"key": "n", "value": {"intValue": "9007199254740993"}},
                                {"key": "a", "value": {"arrayValue": {"values": [{"boolValue": True}]}}},
                            ],
                            "events": [
                                {
                                    "name": "exception",
                                    "timeUnixNano": "5",
                                    "attributes": [{"key": "exception.message", "value": {"stringValue": "boom"}}],
                                }
                            ],
                            "status": {"code": 2, "message": "bad"},
                        }
                    ],
                }
            ],
        }
    ]
}


def mutations(original: bytes) -> st.SearchStrategy[bytes]:
    """The original with bytes changed, cut out or put in."""

    def change(edits: list[tuple[int, int, bytes]]) -> bytes:
        data = original
        for at, length, new in edits:
            at %= len(data) + 1
            data = data[:at] + new + data[at + length :]
        return data

    edit = st.tuples(st.integers(0, len(original)), st.integers(0, 4), st.binary(max_size=4))
    return st.lists(edit, min_size=1, max_size=4).map(change)


def survives(decode: Any, data: bytes) -> None:
    """Decodes or raises ValueError, and what was accepted can be read again."""
    try:
        payload: Payload = decode(data)
    except ValueError:
        return
    for chunk in payload.chunks:
        for row in chunk.spans:
            assert all(isinstance(part, str) for part in row[0]) and isinstance(hash(tuple(row[6])), int)
            assert 0 <= row[1] < 1 << 63 and 0 <= row[2] < 1 << 63 and 0 < row[4] < 1 << 64 and 0 <= row[5] < 1 << 64
        module = otlp_decode if chunk.format in (OTLP, OTLP_JSON) else datadog_decode
        again = module.raw_spans(chunk.format, chunk.data, chunk.head, lambda n: True)
        assert len(again) == len(chunk.spans)


@FUZZ
@given(st.binary(max_size=300) | mutations(V04))
@example(b"\x91\x91\xdf\xff\xff\xff\xff")
@example(b"\x91" * 50)
@example(b"\xc1")
def test_fuzz_msgpack(data: bytes) -> None:
    survives(datadog_decode.Decoder().msgpack, data)


@FUZZ
@given(st.binary(max_size=300) | mutations(V05))
def test_fuzz_v05(data: bytes) -> None:
    survives(datadog_decode.Decoder().v05, data)


@FUZZ
@given(st.binary(max_size=300) | mutations(OTLP_BODY))
def test_fuzz_otlp(data: bytes) -> None:
    survives(otlp_decode.OtlpDecoder().protobuf, data)


@FUZZ
@given(st.binary(max_size=200) | mutations(json.dumps([SPANS]).encode()))
def test_fuzz_json(data: bytes) -> None:
    survives(datadog_decode.decode_json, data)


@FUZZ
@given(st.binary(max_size=200) | mutations(json.dumps(OTLP_JSON_BODY).encode()))
def test_fuzz_otlp_json(data: bytes) -> None:
    survives(otlp_json_decode.decode_json, data)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(blacklist_categories=("Cs",)))
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(blacklist_categories=("Cs",)), max_size=5), inner, max_size=5)
    ),
    max_leaves=20,
)


@FUZZ
@given(values, st.binary(max_size=5))
def test_msgpack_values_come_back_and_are_skipped(value: Any, after: bytes) -> None:
    data = pack(value)
    assert msgpack.unpack(data + after) == (value, len(data))
    assert msgpack.skip(data + after, 0) == len(data)
    for cut in {0, len(data) // 2, len(data) - 1}:
        with pytest.raises(ValueError):
            msgpack.skip(data[:cut], 0)
        with pytest.raises(ValueError):
            msgpack.unpack(data[:cut])


def test_msgpack_reads_what_the_reference_writes() -> None:
    reference = pytest.importorskip("msgpack")
    value = {
        "a": [
            1,
            -1,
            255,
            256,
            65536,
            1 << 40,
            -200,
            -40000,
            -(1 << 40),
            1.5,
            "x" * 40,
            "y" * 70000,
            b"z" * 300,
            None,
            True,
            {},
        ]
    }
    data = reference.packb(value)
    assert msgpack.unpack(data) == (value, len(data))
    assert msgpack.skip(data, 0) == len(data)
    extended = reference.packb([reference.ExtType(3, b"12345"), reference.ExtType(4, b"1234")])
    assert msgpack.skip(extended, 0) == len(extended)


def test_a_decoder_reused_does_not_mix_up_payloads() -> None:
    decoder = datadog_decode.Decoder()
    first = decoder.msgpack(V04).chunks[0].spans
    decoder.msgpack(pack([[span(meta={"a": "other", "span.kind": "client"}, metrics={"n": 2.0})]]))
    assert decoder.msgpack(V04).chunks[0].spans == first
    assert first[0][0] == ("shop", "web.request", "GET /", "web", "server")
    assert dict(first[0][6]) == {"a": "b", "span.kind": "server", "_dd.p.tid": "1" * 16, "n": 1.5, "i": 3}


def test_otlp_spans_come_out_whole() -> None:
    payload = otlp_decode.OtlpDecoder().protobuf(OTLP_BODY)
    (chunk,) = payload.chunks
    assert payload.spans == 2 and chunk.low == int("07" * 8, 16) and chunk.high == int("07" * 8, 16)
    op, start, duration, error, own, parent, attributes = chunk.spans[0]
    assert op == ("shop", "GET /", "GET /", "", "server") and (start, duration, error) == (
        1_000_000_000,
        500_000_000,
        1,
    )
    assert {"s": "text", "neg": -5, "f": 2.5, "exception.message": "boom", "service.name": "shop"}.items() <= dict(
        attributes
    ).items()
    raw = otlp_decode.raw_spans(chunk.format, chunk.data, chunk.head, lambda n: n == 0)[0]
    assert raw["attributes"] == {"s": "text", "list": [7], "neg": -5, "f": 2.5}
    assert raw["events"][0]["attributes"] == {"exception.message": "boom"} and raw["links"][0]["spanId"] == "02" * 8
    assert raw["status"] == {"code": 2, "message": "bad"} and raw["scope"]["name"] == "lib"


def test_otlp_bytes_of_a_chunk_are_legal_protobuf() -> None:
    reference = pytest.importorskip("opentelemetry.proto.trace.v1.trace_pb2")
    (chunk,) = otlp_decode.OtlpDecoder().protobuf(OTLP_BODY).chunks
    assert len(reference.ScopeSpans.FromString(chunk.data).spans) == 2
    head = reference.ResourceSpans.FromString(chunk.head)
    assert head.resource.attributes[0].value.string_value == "shop" and head.scope_spans[0].scope.name == "lib"


def test_otlp_json_ids_numbers_and_kinds() -> None:
    (chunk,) = otlp_json_decode.decode_json(json.dumps(OTLP_JSON_BODY).encode()).chunks
    op, start, duration, error, own, _, attributes = chunk.spans[0]
    assert op[4] == "server" and (start, duration, error, own) == (1_000_000_000, 500_000_000, 1, int("08" * 8, 16))
    assert dict(attributes)["n"] == 9007199254740993


def test_too_many_spans_are_refused_before_they_are_made() -> None:
    with pytest.raises(ValueError, match="longer than the bytes left"):
        datadog_decode.Decoder().msgpack(b"\x91\xdd\x00\x0f\xff\xff" + b"\x80" * (1 << 20))
