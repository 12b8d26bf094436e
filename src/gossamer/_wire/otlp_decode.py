"""OTLP trace export requests, in protobuf and in JSON.

Spans of one trace under one resource and scope become one chunk: its bytes are their ``spans`` fields behind one
another, which is a legal ``ScopeSpans``; the head is a ``ResourceSpans`` that holds the resource and the scope. JSON
is cut in the same way.
"""

import json
from typing import Any, Callable, Dict, List, Optional, Tuple

from gossamer._wire.decoded import (
    MAX_SPANS,
    OTLP,
    OTLP_JSON,
    Chunk,
    Op,
    Pair,
    Payload,
    Row,
    nanoseconds,
    operation,
)
from gossamer._wire.msgpack import MAX_DEPTH, Malformed
from gossamer._wire.otlp_json_decode import KINDS, NO_ID, Group, Plain, attributes_of, dump, hashable
from gossamer._wire.protobuf import (
    BYTES,
    FIXED64,
    VARINT,
    delimited,
    double,
    encode_varint,
    expect,
    fields,
    signed,
)

_CACHE_SIZE = 20000
_LONGEST_CACHED = 300


class OtlpDecoder:
    """Decodes protobuf requests one at a time; keeps bounded tables of attributes and operations between them."""

    def __init__(self) -> None:
        self._pairs: Dict[bytes, Pair] = {}
        self._ops: Dict[Op, Op] = {}

    def protobuf(self, body: bytes) -> Payload:
        """Decode an ``ExportTraceServiceRequest``."""
        payload = Payload("otlp")
        for number, kind, value, at, _ in fields(body, 0, len(body)):
            if number == 1:
                expect(kind, BYTES, at)
                self._resource_spans(body, value, payload)
        return payload

    def _resource_spans(self, body: bytes, bounds: Tuple[int, int], payload: Payload) -> None:
        head = b""
        scopes: List[Tuple[int, int]] = []
        attributes: List[Pair] = []
        for number, kind, value, at, end in fields(body, bounds[0], bounds[1]):
            if number == 2:
                expect(kind, BYTES, at)
                scopes.append(value)
            elif number in (1, 3):
                expect(kind, BYTES, at)
                head += body[at:end]
                if number == 1:
                    for inner, inner_kind, pair, inner_at, _ in fields(body, value[0], value[1]):
                        if inner == 1:
                            expect(inner_kind, BYTES, inner_at)
                            attributes.append(self._pair(body, pair))
        service = next((value for key, value in attributes if key == "service.name" and isinstance(value, str)), "")
        for scope in scopes:
            self._scope_spans(body, scope, head, service, attributes, payload)

    def _scope_spans(
        self, body: bytes, bounds: Tuple[int, int], head: bytes, service: str, shared: List[Pair], payload: Payload
    ) -> None:
        scope = b""
        groups: Dict[bytes, Group] = {}
        total = payload.spans
        for number, kind, value, at, end in fields(body, bounds[0], bounds[1]):
            if number == 2:
                expect(kind, BYTES, at)
                total += 1
                if total > MAX_SPANS:
                    raise Malformed("more than {} spans in one payload".format(MAX_SPANS), at)
                trace, row = self._span(body, value, service)
                if row is None:
                    payload.refuse(NO_ID, 1)
                    continue
                rows, slices = groups.setdefault(trace, ([], []))
                rows.append(row)
                slices.append(body[at:end])
            elif number in (1, 3):
                expect(kind, BYTES, at)
                scope += body[at:end]
        whole = head + delimited(2, scope)
        name = _whole_head(whole)["scope"]["name"]  # which also makes sure that it can be read later
        if name:
            shared = shared + [("otel.scope.name", name)]
        for trace, (rows, slices) in groups.items():
            rows[0][6].extend(shared)
            payload.add(
                Chunk(
                    OTLP,
                    b"".join(slices),
                    whole,
                    int.from_bytes(trace[:8], "big"),
                    int.from_bytes(trace[8:], "big"),
                    rows,
                )
            )

    def _span(self, body: bytes, bounds: Tuple[int, int], service: str) -> Tuple[bytes, Optional[Row]]:
        trace = own = parent = b""
        name = ""
        kind = start = end = error = 0
        attributes: List[Pair] = []
        for number, wire, value, at, _ in fields(body, bounds[0], bounds[1]):
            if number == 9:
                expect(wire, BYTES, at)
                attributes.append(self._pair(body, value))
            elif number in (1, 2, 4):
                expect(wire, BYTES, at)
                data = body[value[0] : value[1]]
                if number == 1:
                    trace = data
                elif number == 2:
                    own = data
                else:
                    parent = data
            elif number == 5:
                expect(wire, BYTES, at)
                name = _text(body, value)
            elif number == 6:
                expect(wire, VARINT, at)
                kind = value
            elif number == 7 or number == 8:
                expect(wire, FIXED64, at)
                if number == 7:
                    start = value
                else:
                    end = value
            elif number == 11:
                expect(wire, BYTES, at)
                attributes += self._exception(body, value)
            elif number == 13:
                expect(wire, BYTES, at)
                _link(body, value)
            elif number == 15:
                expect(wire, BYTES, at)
                error = _status(body, value)
        if (
            len(trace) != 16
            or len(own) != 8
            or not trace.strip(b"\0")
            or not own.strip(b"\0")
            or len(parent) not in (0, 8)
        ):
            return trace, None
        op = (service, name, name, "", KINDS[kind] if kind < len(KINDS) else "")
        known = self._ops.get(op)
        if known is None:
            if len(self._ops) >= _CACHE_SIZE:
                self._ops.clear()
            known = self._ops[op] = operation(*op)
        return trace, (
            known,
            nanoseconds(start),
            nanoseconds(end - start),
            error,
            int.from_bytes(own, "big"),
            int.from_bytes(parent, "big"),
            attributes,
        )

    def _pair(self, body: bytes, bounds: Tuple[int, int]) -> Pair:
        raw = body[bounds[0] : bounds[1]]
        pair = self._pairs.get(raw)
        if pair is None:
            key, value = _key_value(body, bounds, 0)
            pair = (key, hashable(value))
            if len(raw) <= _LONGEST_CACHED:
                if len(self._pairs) >= _CACHE_SIZE:
                    self._pairs.clear()
                self._pairs[raw] = pair
        return pair

    def _exception(self, body: bytes, bounds: Tuple[int, int]) -> List[Pair]:
        # Read for the index, and to know that the bytes are whole.
        event = _event(body, bounds)
        if event["name"] != "exception":
            return []
        return [(key, hashable(value)) for key, value in attributes_of(event["attributes"]).items()]


def _text(body: bytes, bounds: Tuple[int, int]) -> str:
    return str(body[bounds[0] : bounds[1]], "utf-8", "replace")


def _status(body: bytes, bounds: Tuple[int, int]) -> int:
    code = 0
    for number, kind, value, at, _ in fields(body, bounds[0], bounds[1]):
        if number == 3:
            expect(kind, VARINT, at)
            code = value
    return 1 if code == 2 else 0


# -- protobuf to the shape of OTLP's JSON


def _key_value(body: bytes, bounds: Tuple[int, int], depth: int) -> Tuple[str, Any]:
    key, value = "", None
    for number, kind, inner, at, _ in fields(body, bounds[0], bounds[1]):
        if number == 1:
            expect(kind, BYTES, at)
            key = _text(body, inner)
        elif number == 2:
            expect(kind, BYTES, at)
            value = _any_value(body, inner, depth + 1)
    return key, value


def _any_value(body: bytes, bounds: Tuple[int, int], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise Malformed("nested too deeply", bounds[0])
    result: Any = None
    for number, kind, value, at, _ in fields(body, bounds[0], bounds[1]):
        if number in (1, 5, 6, 7):
            expect(kind, BYTES, at)
            if number == 1:
                result = _text(body, value)
            elif number == 7:
                result = body[value[0] : value[1]].hex()
            else:
                result = _several(body, value, depth, number == 6)
        elif number in (2, 3):
            expect(kind, VARINT, at)
            result = bool(value) if number == 2 else signed(value)
        elif number == 4:
            expect(kind, FIXED64, at)
            result = double(value)
    return result


def _several(body: bytes, bounds: Tuple[int, int], depth: int, keyed: bool) -> Any:
    pairs: Dict[str, Any] = {}
    values: List[Any] = []
    for number, kind, value, at, _ in fields(body, bounds[0], bounds[1]):
        if number == 1:
            expect(kind, BYTES, at)
            if keyed:
                key, inner = _key_value(body, value, depth + 1)
                pairs[key] = inner
            else:
                values.append(_any_value(body, value, depth + 1))
    return pairs if keyed else values


def _event(body: bytes, bounds: Tuple[int, int]) -> Dict[str, Any]:
    event: Dict[str, Any] = {"timeUnixNano": 0, "name": "", "attributes": Plain()}
    for number, kind, value, at, _ in fields(body, bounds[0], bounds[1]):
        if number == 1:
            expect(kind, FIXED64, at)
            event["timeUnixNano"] = value
        elif number in (2, 3):
            expect(kind, BYTES, at)
            if number == 2:
                event["name"] = _text(body, value)
            else:
                key, inner = _key_value(body, value, 0)
                event["attributes"][key] = inner
    return event


def _link(body: bytes, bounds: Tuple[int, int]) -> Dict[str, Any]:
    link: Dict[str, Any] = {"traceId": "", "spanId": "", "attributes": Plain()}
    for number, kind, value, _, _ in fields(body, bounds[0], bounds[1]):
        if kind == BYTES and number in (1, 2):
            link["traceId" if number == 1 else "spanId"] = body[value[0] : value[1]].hex()
        elif kind == BYTES and number == 3:
            link["traceState"] = _text(body, value)
        elif kind == BYTES and number == 4:
            key, inner = _key_value(body, value, 0)
            link["attributes"][key] = inner
    return link


def _whole_span(body: bytes, bounds: Tuple[int, int]) -> Dict[str, Any]:
    result: Dict[str, Any] = {"attributes": Plain(), "events": [], "links": []}
    numbers = {
        6: "kind",
        7: "startTimeUnixNano",
        8: "endTimeUnixNano",
        10: "droppedAttributesCount",
        12: "droppedEventsCount",
        14: "droppedLinksCount",
        16: "flags",
    }
    ids = {1: "traceId", 2: "spanId", 4: "parentSpanId"}
    for number, kind, value, _, _ in fields(body, bounds[0], bounds[1]):
        if kind != BYTES:
            if number in numbers:
                result[numbers[number]] = value
        elif number == 9:
            key, inner = _key_value(body, value, 0)
            result["attributes"][key] = inner
        elif number in ids:
            result[ids[number]] = body[value[0] : value[1]].hex()
        elif number in (3, 5):
            result["traceState" if number == 3 else "name"] = _text(body, value)
        elif number == 11:
            result["events"].append(_event(body, value))
        elif number == 13:
            result["links"].append(_link(body, value))
        elif number == 15:
            result["status"] = _whole_status(body, value)
    return result


def _whole_status(body: bytes, bounds: Tuple[int, int]) -> Dict[str, Any]:
    status: Dict[str, Any] = {"code": 0, "message": ""}
    for number, kind, value, _, _ in fields(body, bounds[0], bounds[1]):
        if number == 3 and kind == VARINT:
            status["code"] = value
        elif number == 2 and kind == BYTES:
            status["message"] = _text(body, value)
    return status


def _whole_head(head: bytes) -> Dict[str, Any]:
    result: Dict[str, Any] = {
        "resource": {"attributes": Plain()},
        "scope": {"name": "", "version": "", "attributes": Plain()},
    }
    for number, kind, value, _, _ in fields(head, 0, len(head)):
        if number == 1 and kind == BYTES:
            for inner, inner_kind, pair, _, _ in fields(head, value[0], value[1]):
                if inner == 1 and inner_kind == BYTES:
                    key, plain = _key_value(head, pair, 0)
                    result["resource"]["attributes"][key] = plain
        elif number == 3 and kind == BYTES:
            result["schemaUrl"] = _text(head, value)
        elif number == 2 and kind == BYTES:
            for inner, inner_kind, scope, _, _ in fields(head, value[0], value[1]):
                if inner == 1 and inner_kind == BYTES:
                    _whole_scope(head, scope, result["scope"])
    return result


def _whole_scope(head: bytes, bounds: Tuple[int, int], scope: Dict[str, Any]) -> None:
    for number, kind, value, _, _ in fields(head, bounds[0], bounds[1]):
        if kind == BYTES and number in (1, 2):
            scope["name" if number == 1 else "version"] = _text(head, value)
        elif kind == BYTES and number == 3:
            key, plain = _key_value(head, value, 0)
            scope["attributes"][key] = plain


def raw_spans(
    format: int, data: bytes, head: Optional[bytes], wanted: Callable[[int], bool]
) -> Dict[int, Dict[str, Any]]:
    """The wanted spans of a chunk's bytes, by number, in the shape of OTLP's JSON, with ``resource`` and ``scope``
    added.
    """
    result: Dict[int, Dict[str, Any]] = {}
    if format == OTLP_JSON:
        shared = json.loads((head or b"{}").decode("ascii"))
        for n, value in enumerate(json.loads(data.decode("ascii"))):
            if wanted(n):
                result[n] = dict(value, **shared)
        return result
    shared = _whole_head(head or b"")
    for n, (_, _, bounds, _, _) in enumerate(fields(data, 0, len(data))):
        if wanted(n):
            result[n] = dict(_whole_span(data, bounds), **shared)
    return result


# -- answers


def response(payload: Payload, as_json: bool) -> bytes:
    """The ``ExportTraceServiceResponse``: empty, or with the number of spans that were refused and why."""
    refused = sum(payload.refused.values())
    message = ", ".join(payload.refused)
    if as_json:
        return dump({"partialSuccess": {"rejectedSpans": str(refused), "errorMessage": message}} if refused else {})
    if not refused:
        return b""
    return delimited(1, b"\x08" + encode_varint(refused) + delimited(2, message.encode("utf-8")))
