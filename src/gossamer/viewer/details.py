"""Everything one span carried, whatever protocol it came in."""

import json
import math
from typing import Any, Callable, Dict, List, Optional, Tuple

from gossamer._wire import datadog_decode, otlp_decode
from gossamer._wire.decoded import JSON, MSGPACK, OTLP, OTLP_JSON, V05
from gossamer._wire.otlp_json_decode import attributes_of
from gossamer.viewer.reading import UNKNOWN, Missing, trace_hex
from gossamer.viewer.schema import FORMAT, unsigned
from gossamer.viewer.store import Store

SHOWN = 64 * 1024  # characters of a value
_PROTOCOLS = {MSGPACK: "v0.4", V05: "v0.5", JSON: "v0.4-json", OTLP: "otlp", OTLP_JSON: "otlp-json"}
_IDS = frozenset(("trace_id", "span_id", "parent_id", "trace_id_high"))


def chunk_bytes(store: Store, connection: Any, chunk: int) -> Optional[Tuple[int, bytes, Optional[bytes]]]:
    """Format, bytes and head of a chunk."""
    row = connection.execute(
        "select c.flags, c.page, c.at, c.len, h.page, h.at, h.len from chunk c left join chunk h on h.id = c.head "
        "where c.id = ? and c.trace is not null",
        (chunk,),
    ).fetchone()
    if row is None:
        return None
    data = store.pages.slice(connection, row[1], row[2], row[3])
    head = store.pages.slice(connection, row[4], row[5], row[6]) if row[4] is not None else None
    return None if data is None else (row[0] & FORMAT, data, head)


def spans_of(store: Store, connection: Any, chunk: int, wanted: Callable[[int], bool]) -> Dict[int, Dict[str, Any]]:
    """The wanted spans of a chunk in one form: see ``normal``."""
    found = chunk_bytes(store, connection, chunk)
    if found is None:
        return {}
    format, data, head = found
    return {n: normal(format, raw) for n, raw in raw_spans(format, data, head, wanted).items()}


def raw_spans(
    format: int, data: bytes, head: Optional[bytes], wanted: Callable[[int], bool]
) -> Dict[int, Dict[str, Any]]:
    """The wanted spans of a chunk's bytes in the shape of their protocol."""
    if format in (OTLP, OTLP_JSON):
        return otlp_decode.raw_spans(format, data, head, wanted)
    return datadog_decode.raw_spans(format, data, head, wanted)


def normal(format: int, raw: Dict[str, Any]) -> Dict[str, Any]:
    """A span of any protocol as attributes, events, links, status and its raw form."""
    if format in (OTLP, OTLP_JSON):
        return _normal_otlp(raw)
    attributes: Dict[str, Any] = {}
    attributes.update(_strings(raw.get("meta")))
    attributes.update(_strings(raw.get("metrics")))
    for key, value in _strings(raw.get("meta_struct")).items():
        attributes.setdefault(key, value)
    events = _events(attributes, raw.get("span_events"))
    links = _links(attributes, raw.get("span_links"))
    message = attributes.get("error.message") or attributes.get("error.msg") or ""
    return {
        "attributes": attributes,
        "resource_attributes": {},
        "scope": None,
        "events": events,
        "links": links,
        "raw": raw,
        "status": {
            "code": "error" if raw.get("error") else "unset",
            "message": str(message) if raw.get("error") else "",
        },
        "exact": (raw.get("start") or 0, raw.get("duration") or 0),
    }


def _normal_otlp(raw: Dict[str, Any]) -> Dict[str, Any]:
    status, scope = raw.get("status") or {}, raw.get("scope") or {}
    start, end = int(raw.get("startTimeUnixNano") or 0), int(raw.get("endTimeUnixNano") or 0)
    code = {1: "ok", 2: "error", "STATUS_CODE_OK": "ok", "STATUS_CODE_ERROR": "error"}.get(status.get("code"), "unset")
    return {
        "attributes": attributes_of(raw.get("attributes")),
        "resource_attributes": attributes_of((raw.get("resource") or {}).get("attributes")),
        "scope": {"name": scope.get("name") or "", "version": scope.get("version") or ""}
        if scope.get("name")
        else None,
        "events": [
            {
                "name": event.get("name") or "",
                "time": int(event.get("timeUnixNano") or 0) / 1000,
                "attributes": attributes_of(event.get("attributes")),
            }
            for event in raw.get("events") or ()
        ],
        "links": [
            {
                "trace": str(link.get("traceId") or ""),
                "span": str(link.get("spanId") or ""),
                "attributes": attributes_of(link.get("attributes")),
            }
            for link in raw.get("links") or ()
        ],
        "raw": raw,
        "status": {"code": code, "message": str(status.get("message") or "")},
        "exact": (start, max(0, end - start)),
    }


def searchable(span: Dict[str, Any]) -> Dict[str, Any]:
    """The attributes that a search looks at: the resource's, the span's, and those of exceptions."""
    result = dict(span["resource_attributes"])
    if span["scope"]:
        result["otel.scope.name"] = span["scope"]["name"]
    for event in span["events"]:
        if event["name"] == "exception":
            result.update(event["attributes"])
    result.update(span["attributes"])
    return result


def _strings(value: Any) -> Dict[str, Any]:
    if not isinstance(value, dict):
        return {}
    return {key if isinstance(key, str) else str(key): inner for key, inner in value.items() if inner is not None}


def _json_list(text: Any) -> List[Any]:
    try:
        value = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return []
    return value if isinstance(value, list) else []


def _micros(value: Any) -> float:
    return value / 1000 if isinstance(value, (int, float)) else 0.0


def _events(attributes: Dict[str, Any], native: Any) -> List[Dict[str, Any]]:
    source = native if isinstance(native, list) else _json_list(attributes.get("events"))
    result = []
    for event in source:
        if isinstance(event, dict):
            inner = {key: _native(value) for key, value in _strings(event.get("attributes")).items()}
            result.append(
                {"name": str(event.get("name", "")), "time": _micros(event.get("time_unix_nano")), "attributes": inner}
            )
    return result


def _native(value: Any) -> Any:
    # Datadog's native events wrap each value: {"type": 0, "string_value": "x"}.
    if isinstance(value, dict) and "type" in value:
        for key, inner in value.items():
            if key.endswith("_value"):
                if key == "array_value" and isinstance(inner, dict):
                    return [_native(item) for item in inner.get("values") or ()]
                return inner
    return value


def _links(attributes: Dict[str, Any], native: Any) -> List[Dict[str, Any]]:
    result = []
    for link in native if isinstance(native, list) else _json_list(attributes.get("_dd.span_links")):
        if isinstance(link, dict):
            result.append(
                {
                    "trace": _hex(link.get("trace_id"), 32, link.get("trace_id_high")),
                    "span": _hex(link.get("span_id"), 16, None),
                    "attributes": _strings(link.get("attributes")),
                }
            )
    return result


def _hex(value: Any, digits: int, high: Any) -> str:
    if isinstance(value, int):
        number = (value & ((1 << 64) - 1)) | ((high if isinstance(high, int) else 0) << 64)
        return "{:0{}x}".format(number & ((1 << 4 * digits) - 1), digits)
    text = str(value or "").lower()
    return text.rjust(digits, "0") if text and not text.strip("0123456789abcdef") else ""


def details(store: Store, chunk: int, n: int, full: bool = False) -> Dict[str, Any]:
    """The answer of ``/api/spans/{chunk}/{n}``."""
    with store.database.read() as connection:
        row = connection.execute(
            "select s.op, s.start, s.dur, s.err, s.id, s.parent, t.hi, t.lo, c.flags from span s "
            "join chunk c on c.id = s.chunk join trace t on t.id = c.trace where s.chunk = ? and s.n = ?",
            (chunk, n),
        ).fetchone()
        found = chunk_bytes(store, connection, chunk) if row else None
    if row is None or found is None:
        raise Missing("this span is not here")
    format, data, head = found
    span = normal(format, raw_spans(format, data, head, n.__eq__)[n])
    op = store.operations.get(row[0], UNKNOWN)
    truncated: List[str] = []
    start, duration = span.pop("exact")
    shown: Dict[str, Any] = _shown(span, "", truncated, full)
    shown.update(
        {
            "chunk": chunk,
            "n": n,
            "trace": trace_hex(row[6], row[7]),
            "span": "{:016x}".format(unsigned(row[4])),
            "parent": "{:016x}".format(unsigned(row[5])) if row[5] else None,
            "service": op[0],
            "name": op[1],
            "resource": op[2],
            "type": op[3],
            "kind": op[4],
            "start": start / 1000 if start else row[1],
            "dur": duration / 1000 if start else row[2],
            "error": bool(row[3]),
            "protocol": _PROTOCOLS.get(format, "?"),
            "exception": _exception(shown),
            "truncated": truncated,
            "size": len(json.dumps(span["raw"], default=repr)),
        }
    )
    return shown


def _exception(span: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    for event in reversed(span["events"]):
        if event["name"] == "exception":
            found = event["attributes"]
            return {
                part: found.get("exception." + name, "")
                for part, name in (("type", "type"), ("message", "message"), ("stack", "stacktrace"))
            }
    found = span["attributes"]
    result = {
        "type": found.get("error.type", ""),
        "message": found.get("error.message", found.get("error.msg", "")),
        "stack": found.get("error.stack", ""),
    }
    return result if any(result.values()) else None


def _shown(value: Any, path: str, truncated: List[str], full: bool) -> Any:
    # What JSON and JavaScript can hold: no NaN, ids and large integers as text, long text cut unless all of it is
    # asked for.
    if isinstance(value, str):
        if len(value) > SHOWN and not full:
            truncated.append(path)
            return value[:SHOWN]
        return value
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return str(value) if not -(1 << 53) < value < 1 << 53 else value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return _shown(value.hex(), path, truncated, full)
    if isinstance(value, dict):
        result = {}
        for key, inner in value.items():
            inside = "{}.{}".format(path, key) if path else str(key)
            if key in _IDS and isinstance(inner, int):
                inner = str(inner)
            result[str(key)] = _shown(inner, inside, truncated, full)
        return result
    return [_shown(inner, "{}.{}".format(path, index), truncated, full) for index, inner in enumerate(value)]
