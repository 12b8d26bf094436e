"""OTLP's JSON encoding: ids in hexadecimal, 64-bit numbers as text, enumerations as numbers."""

from __future__ import annotations

import json
from base64 import b64encode

from .otlp_common import KINDS, MAX_TEXT, extra_attributes, link_flags, resource, scope, span_flags, span_name, times
from .pack import utf8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List

    from .._core.pure import Event, Link, Span
    from .info import Process
    from .otlp_common import Groups

__all__ = ["encode"]

_I64 = 0x7FFFFFFFFFFFFFFF


def encode(groups: Groups, process: Process) -> bytes:
    """A request with the spans of `groups`."""
    resources = []
    for service, scopes in groups.items():
        scope_spans = []
        for integration, spans in scopes.items():
            found = []
            for span in spans:
                try:
                    found.append(_span(span))
                except Exception:  # broken by a processor of the user: its neighbours are sent
                    pass
            scope_spans.append(
                {"scope": {"name": scope(integration), "version": process.tracer_version}, "spans": found}
            )
        resources.append(
            {"resource": {"attributes": _attributes(resource(process, service))}, "scopeSpans": scope_spans}
        )
    return json.dumps({"resourceSpans": resources}, separators=(",", ":")).encode()


def _text(value: str) -> str:
    value = value[:MAX_TEXT]
    return value if value.isascii() else utf8(value).decode()


def _value(value: Any) -> Dict[str, Any]:
    kind = value.__class__
    if kind is str:
        return {"stringValue": _text(value)}
    if kind is bool:
        return {"boolValue": value}
    if kind is int and -_I64 - 1 <= value <= _I64:
        return {"intValue": str(value)}
    if kind is float:
        return {"doubleValue": value if value - value == 0.0 else _not_a_number(value)}
    if kind is bytes:
        return {"bytesValue": b64encode(value[:MAX_TEXT]).decode()}
    if kind is tuple or kind is list:
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {"stringValue": _text(str(value))}


def _not_a_number(value: float) -> str:
    if value != value:
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _attributes(attributes: Dict[str, Any]) -> List[Dict[str, Any]]:
    return [{"key": _text(key), "value": _value(value)} for key, value in list(attributes.items())]


def _span(span: Span) -> Dict[str, Any]:
    trace = span.trace
    start, end = times(span)
    attributes = dict(extra_attributes(span))
    attributes.update(span.attributes)  # type: ignore[arg-type]
    found: Dict[str, Any] = {
        "traceId": "%032x" % trace.trace_id,
        "spanId": "%016x" % span.span_id,
        "name": _text(span_name(span)),
        "kind": KINDS.get(span.kind, 1),
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(end),
        "attributes": _attributes(attributes),
        "flags": span_flags(span, trace),
    }
    if span.parent_id:
        found["parentSpanId"] = "%016x" % span.parent_id
    if trace.tracestate:
        found["traceState"] = _text(trace.tracestate)
    if span.events:
        found["events"] = [_event(event) for event in span.events]
    if span.links:
        found["links"] = [_link(link) for link in span.links]
    if span.error:
        found["status"] = {"code": 2}
        if span.status_message:
            found["status"]["message"] = _text(span.status_message)
    return found


def _event(event: Event) -> Dict[str, Any]:
    return {
        "timeUnixNano": str(max(event.time, 0)),
        "name": _text(event.name),
        "attributes": _attributes(event.attributes),
    }


def _link(link: Link) -> Dict[str, Any]:
    context = link.context
    found = {
        "traceId": "%032x" % context.trace_id,
        "spanId": "%016x" % context.span_id,
        "attributes": _attributes(link.attributes),
        "flags": link_flags(link),
    }
    if context.tracestate:
        found["traceState"] = _text(context.tracestate)
    return found
