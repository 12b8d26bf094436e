"""OTLP trace requests, as protobuf and as JSON.

Attributes go as they are. The span's name is the resource ("GET /users/<id>"), as OpenTelemetry has it; the operation
name ("flask.request") is the attribute `operation.name`, and Datadog's span type `span.type`.

Services: a span that an integration has given a service of its own for Datadog ("redis") stays with the application's
resource, since OpenTelemetry says with attributes who was called. A span that the program itself gave another service,
or that serves requests under another one, goes under a resource with that `service.name`.

Only sampled traces are written.
"""

from __future__ import annotations

from struct import Struct

from .otlp_common import (
    KINDS,
    MAX_TEXT,
    extra_attributes,
    group_of,
    grouped,
    link_flags,
    resource,
    sampled,
    scope,
    span_flags,
    span_name,
    times,
)
from .otlp_json import encode as _json
from .pack import compiled, utf8, varint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple, Union

    from .._core.buffer import Batch
    from .._core.pure import Event, Link, Span
    from .info import Process

    Buffer = Union[bytes, memoryview]
    ShapeKey = Tuple[str, Optional[str], Optional[str], str, Optional[str]]

__all__ = ["encode_json", "encode_protobuf", "sampled"]

_U64 = 0xFFFFFFFFFFFFFFFF
_I64 = 0x7FFFFFFFFFFFFFFF
_MAX_CACHED = 4096
_CACHED_TEXT = 100

_pack_ids = Struct(">2sQQ2sQ").pack
_pack_parent = Struct(">2sQ").pack
_pack_times = Struct("<BBBQBQ").pack
_pack_flags = Struct("<2sI").pack
_pack_link_flags = Struct("<BI").pack
_pack_time = Struct("<BQ").pack
_pack_double = Struct("<Bd").pack


def encode_json(batch: Batch, process: Process) -> bytes:
    """A request in OTLP's JSON encoding: ids in hexadecimal, 64-bit numbers as text."""
    return _json(grouped(batch, process), process)


# -- protobuf -----------------------------------------------------------------------------------------------------

_texts: Dict[Tuple[str, str], bytes] = {}  # (key, text) -> attribute of a span


def _field(tag: bytes, body: bytes) -> bytes:
    """A field with a length."""
    size = len(body)
    return tag + (bytes((size,)) if size < 0x80 else varint(size)) + body


def _string(tag: bytes, value: str) -> bytes:
    return _field(tag, utf8(value[:MAX_TEXT]))


def _any_value(value: Any) -> bytes:
    kind = value.__class__
    if kind is str:
        return _string(b"\x0a", value)
    if kind is bool:
        return b"\x10\x01" if value else b"\x10\x00"
    if kind is int:
        if -_I64 - 1 <= value <= _I64:
            return b"\x18" + varint(value & _U64)
        return _string(b"\x0a", str(value))
    if kind is float:
        return _pack_double(0x21, value)
    if kind is bytes:
        return _field(b"\x3a", value[:MAX_TEXT])
    if kind is tuple or kind is list:
        return _field(b"\x2a", b"".join([_field(b"\x0a", _any_value(item)) for item in value]))
    return _string(b"\x0a", str(value))


def _attribute(tag: bytes, key: str, value: Any) -> bytes:
    """A KeyValue as the field `tag`."""
    return _field(tag, _string(b"\x0a", key) + _field(b"\x12", _any_value(value)))


def _attributes(tag: bytes, attributes: Dict[str, Any]) -> List[bytes]:
    return [_attribute(tag, key, value) for key, value in list(attributes.items())]


def _text_attribute(key: str, value: str) -> bytes:
    """An attribute of a span with a text, from the cache if it is short."""
    packed = _attribute(b"\x4a", key, value)
    if len(value) <= _CACHED_TEXT and len(key) <= _CACHED_TEXT:
        if len(_texts) >= _MAX_CACHED:
            _texts.clear()
        _texts[key, value] = packed
    return packed


def _span(span: Span) -> bytes:
    trace = span.trace
    trace_id = trace.trace_id
    start, end = times(span)
    out = [_pack_ids(b"\x0a\x10", trace_id >> 64, trace_id & _U64, b"\x12\x08", span.span_id)]
    if trace.tracestate:
        out.append(_string(b"\x1a", trace.tracestate))
    if span.parent_id:
        out.append(_pack_parent(b"\x22\x08", span.parent_id))
    out.append(_string(b"\x2a", span_name(span)))
    out.append(_pack_times(0x30, KINDS.get(span.kind, 1), 0x39, start, 0x41, end))
    get = _texts.get
    for key, text in extra_attributes(span):
        out.append(get((key, text)) or _text_attribute(key, text))
    for key, value in span.attributes.items():
        if value.__class__ is str:
            out.append(get((key, value)) or _text_attribute(key, value))
        else:
            out.append(_attribute(b"\x4a", key, value))
    for event in span.events or ():
        out.append(_event(event))
    for link in span.links or ():
        out.append(_link(link))
    if span.error:
        message = _string(b"\x12", span.status_message) if span.status_message else b""
        out.append(_field(b"\x7a", message + b"\x18\x02"))
    out.append(_pack_flags(b"\x85\x01", span_flags(span, trace)))
    return b"".join(out)


def _event(event: Event) -> bytes:
    parts = [_pack_time(0x09, event.time & _U64), _string(b"\x12", event.name)]
    return _field(b"\x5a", b"".join(parts + _attributes(b"\x1a", event.attributes)))


def _link(link: Link) -> bytes:
    context = link.context
    high, low = context.trace_id >> 64 & _U64, context.trace_id & _U64
    parts = [_pack_ids(b"\x0a\x10", high, low, b"\x12\x08", context.span_id & _U64)]
    if context.tracestate:
        parts.append(_string(b"\x1a", context.tracestate))
    parts += _attributes(b"\x22", link.attributes)
    parts.append(_pack_link_flags(0x35, link_flags(link)))
    return _field(b"\x6a", b"".join(parts))


class _Form:
    """What the compiled encoder asks: how spans are grouped, and what is said once in a group."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.native: Any = None
        self.services: Dict[Optional[str], int] = {}
        self.scopes: Dict[Tuple[Optional[str], Optional[str]], int] = {}

    def describe(self, key: ShapeKey) -> Tuple[int, int, bool, bytes, bytes, bytes]:
        """Scope, kind, whether the method is the name, the name, and attributes for what OpenTelemetry has no field."""
        name, service, type, kind, integration = key
        group = group_of(service, integration, kind, self.process), integration
        place = self.scopes.setdefault(group, len(self.scopes))
        return (
            place,
            KINDS.get(kind, 1),
            kind == "client" and type == "http",
            utf8(name[:MAX_TEXT]),
            _attribute(b"\x4a", "operation.name", name),
            _attribute(b"\x4a", "span.type", type) if type else b"",
        )

    def scope(self, place: int) -> Tuple[int, bytes, bytes]:
        """The service of a scope (by its number), the head of the scope, and that of the service."""
        service, integration = list(self.scopes)[place]
        number = self.services.setdefault(service, len(self.services))
        return number, _scope_head(self.process, integration), _resource_head(self.process, service)

    def tracestate(self, value: str) -> bytes:
        """The field, or nothing."""
        return _string(b"\x1a", value) if value else b""

    def span(self, span: Span) -> bytes:
        """One span."""
        return _span(span)


_kept: Optional[_Form] = None


def _resource_head(process: Process, service: Optional[str]) -> bytes:
    return _field(b"\x0a", b"".join(_attributes(b"\x0a", resource(process, service))))


def _scope_head(process: Process, integration: Optional[str]) -> bytes:
    return _field(b"\x0a", _string(b"\x0a", scope(integration)) + _string(b"\x12", process.tracer_version))


def encode_protobuf(batch: Batch, process: Process) -> Buffer:
    """An ExportTraceServiceRequest in protobuf's binary encoding."""
    global _kept
    if batch.native:
        form = _kept
        if form is None or form.process is not process or len(form.scopes) > _MAX_CACHED:
            form = _kept = _Form(process)
        return compiled().encode_protobuf(batch, form)  # type: ignore[no-any-return]
    return _encode(batch, process)


def _encode(batch: Batch, process: Process) -> bytes:
    out: List[bytes] = []
    for service, scopes in grouped(batch, process).items():
        parts = [_resource_head(process, service)]
        for integration, spans in scopes.items():
            packed = [_scope_head(process, integration)]
            for span in spans:
                try:
                    packed.append(_field(b"\x12", _span(span)))
                except Exception:  # broken by a processor of the user: its neighbours are sent
                    pass
            parts.append(_field(b"\x12", b"".join(packed)))
        out.append(_field(b"\x0a", b"".join(parts)))
    return b"".join(out)
