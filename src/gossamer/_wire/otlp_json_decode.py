"""OTLP trace export requests in JSON, cut into chunks as those in protobuf are."""

import json
from typing import Any, Dict, List, Optional, Tuple

from gossamer._wire.datadog_decode import parse_json
from gossamer._wire.decoded import MAX_SPANS, OTLP_JSON, Chunk, Payload, Row, clean, nanoseconds, operation
from gossamer._wire.msgpack import Malformed

KINDS = ("", "internal", "server", "client", "producer", "consumer")
_KIND_NAMES = {"SPAN_KIND_" + name.upper(): index for index, name in enumerate(KINDS) if name}
NO_ID = "a span without a valid trace or span id"

Group = Tuple[List[Row], List[Any]]


class Plain(Dict[str, Any]):
    """Attributes that are a plain mapping already, not OTLP's list of keys and values."""


def hashable(value: Any) -> Any:
    """A value that can be in a set: what is not plain as JSON."""
    return value if isinstance(value, (str, int, float)) else json.dumps(value, default=str)


def decode_json(body: bytes) -> Payload:
    """Decode an ``ExportTraceServiceRequest`` in JSON."""
    payload = Payload("otlp-json")
    value = parse_json(body)
    if not isinstance(value, dict):
        raise Malformed("expected an object, found {}".format(type(value).__name__), 0)
    for resource_spans in _list(value, "resourceSpans"):
        resource = _object(resource_spans, "resource")
        shared = [
            (clean(key), hashable(_cleaned(inner))) for key, inner in attributes_of(resource.get("attributes")).items()
        ]
        service = next((inner for key, inner in shared if key == "service.name" and isinstance(inner, str)), "")
        for scope_spans in _list(resource_spans, "scopeSpans"):
            scope = _object(scope_spans, "scope")
            head = dump({"resource": resource, "schemaUrl": resource_spans.get("schemaUrl") or "", "scope": scope})
            more = [("otel.scope.name", clean(scope["name"]))] if isinstance(scope.get("name"), str) else []
            groups: Dict[Tuple[int, int], Group] = {}
            for each in _list(scope_spans, "spans"):
                trace, row = _json_row(each, service)
                if row is None:
                    payload.refuse(NO_ID, 1)
                    continue
                rows, spans = groups.setdefault(trace, ([], []))
                rows.append(row)
                spans.append(each)
            for trace, (rows, spans) in groups.items():
                rows[0][6].extend(shared + more)
                payload.add(Chunk(OTLP_JSON, dump(spans), head, trace[0], trace[1], rows))
            if payload.spans > MAX_SPANS:
                raise Malformed("more than {} spans in one payload".format(MAX_SPANS), 0)
    return payload


def dump(value: Any) -> bytes:
    """Compact JSON, in ASCII."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def _list(value: Dict[str, Any], key: str) -> List[Dict[str, Any]]:
    found = value.get(key) or []
    if not isinstance(found, list) or not all([isinstance(item, dict) for item in found]):
        raise Malformed("{} is not an array of objects".format(key), 0)
    return found


def _object(value: Dict[str, Any], key: str) -> Dict[str, Any]:
    found = value.get(key) or {}
    if not isinstance(found, dict):
        raise Malformed("{} is not an object".format(key), 0)
    return found


def _integer(value: Any, key: str) -> int:
    # 64-bit numbers come as text, but not from everybody.
    try:
        return int(value or 0)
    except (TypeError, ValueError, OverflowError):
        raise Malformed("{} is not a number".format(key), 0) from None


def _identity(value: Any, digits: int) -> int:
    if value is None or value == "":
        return 0
    if not isinstance(value, str) or len(value) != digits or value.strip("0123456789abcdefABCDEF"):
        return -1
    return int(value, 16)


def _json_row(each: Dict[str, Any], service: str) -> Tuple[Tuple[int, int], Optional[Row]]:
    trace, own, parent = (
        _identity(each.get("traceId"), 32),
        _identity(each.get("spanId"), 16),
        _identity(each.get("parentSpanId"), 16),
    )
    if trace <= 0 or own <= 0 or parent < 0:
        return (0, 0), None
    start, end = (
        _integer(each.get("startTimeUnixNano"), "startTimeUnixNano"),
        _integer(each.get("endTimeUnixNano"), "endTimeUnixNano"),
    )
    name = each.get("name") or ""
    if not isinstance(name, str):
        raise Malformed("name is not text", 0)
    attributes = [
        (clean(key), hashable(_cleaned(value))) for key, value in attributes_of(each.get("attributes")).items()
    ]
    for event in _list(each, "events"):
        inner = attributes_of(event.get("attributes"))
        if event.get("name") == "exception":
            attributes += [(clean(key), hashable(_cleaned(value))) for key, value in inner.items()]
    for link in _list(each, "links"):
        attributes_of(link.get("attributes"))
    status = _object(each, "status").get("code")
    name = clean(name)
    op = operation(service, name, name, "", kind_of(each.get("kind")))
    error = 1 if status in (2, "2", "STATUS_CODE_ERROR") else 0
    return (trace >> 64, trace & ((1 << 64) - 1)), (
        op,
        nanoseconds(start),
        nanoseconds(end - start),
        error,
        own,
        parent,
        attributes,
    )


def _cleaned(value: Any) -> Any:
    return clean(value) if isinstance(value, str) else value


def kind_of(value: Any) -> str:
    """A span kind, given as a number or by its name in the protocol."""
    if isinstance(value, str):
        value = _KIND_NAMES.get(value, int(value) if value.isdigit() and len(value) < 3 else 0)
    return KINDS[value] if isinstance(value, int) and 0 <= value < len(KINDS) else ""


def attributes_of(value: Any) -> Dict[str, Any]:
    """Attributes, from OTLP's list of keys and values or from a mapping. Raises ``ValueError`` for anything else."""
    if isinstance(value, Plain):
        return value
    result: Dict[str, Any] = {}
    if value is not None and not isinstance(value, list):
        raise Malformed("attributes are not an array", 0)
    for pair in value or ():
        if not isinstance(pair, dict) or not isinstance(pair.get("key"), str):
            raise Malformed("an attribute without a key", 0)
        result[pair["key"]] = _json_value(pair.get("value"))
    return result


def _json_value(value: Any) -> Any:
    if not isinstance(value, dict):
        return None
    for key, inner in value.items():
        if key == "intValue":
            return _integer(inner, "intValue")
        if key == "doubleValue":
            return _double(inner)
        if key in ("stringValue", "boolValue", "bytesValue"):
            return inner if isinstance(inner, (str, bool)) else str(inner)
        if key == "arrayValue":
            return [_json_value(item) for item in _list(_object(value, key), "values")]
        if key == "kvlistValue":
            return attributes_of(_object(value, key).get("values"))
    return None


def _double(value: Any) -> float:
    # NaN and infinities come as text.
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise Malformed("doubleValue is not a number", 0) from None
