"""Datadog's trace payloads, v0.4 and v0.5, as MessagePack.

The two differ in how a text is written (in full, or as its place in a table that comes first) and in the frame of a
span (a map, or an array). Everything else is shared: a `Format` holds, for one process, the packed form of whatever
repeats, and joins the pieces. Caches are bounded, as texts of the traced program go into them.

Chunks of the compiled core are written by the compiled encoder, which asks a `Format` for what it does not know yet.
"""

from __future__ import annotations

from struct import Struct

from .datadog_format import MAPS, Format, Shape
from .datadog_span import MAX_TEXT, events_json, events_of, flat_text, link_flags, links_json, text
from .datadog_texts import MAX_CACHED, Places, Table, Written
from .pack import array_header, compiled, map_header, pack_double, pack_str, pack_uint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Tuple, Union

    from .._core.buffer import Batch
    from .._core.pure import Event, Link, Span, Trace
    from .info import Process

    Buffer = Union[bytes, memoryview]

__all__ = ["MAX_CACHED", "encode_v04", "encode_v05"]

_U64 = 0xFFFFFFFFFFFFFFFF
_I64 = 0x7FFFFFFFFFFFFFFF

_pack64 = Struct(">BQ").pack
_SPAN_V04 = Struct(">10sQ9sQ11sQ7sq10sq12s").pack
_SPAN_V05 = Struct(">BQBQBQBqBqB").pack


class _V04(Format):
    """Spans are maps; texts are written in full."""

    meta_headers = MAPS
    metrics_headers = [b"\xa7metrics" + header for header in MAPS]

    def __init__(self, process: Process, native_events: bool) -> None:
        super().__init__(process, Written())
        self.native_events = native_events

    def writer(self, index: Callable[[bytes], int]) -> Format:
        return self

    def frame(self, shape: Shape, name: str, service: str, type: str) -> None:
        head = b"\xa7service" + self.texts[service] + b"\xa4name" + self.texts[name]
        if type:
            head += b"\xa4type" + self.texts[type]
        shape.head = MAPS[12 if type else 11] + head + b"\xa8resource"
        shape.tail = b""

    def numbers(self, trace: Trace, span: Span) -> bytes:
        error = b"\xa5error\x01\xa4meta" if span.error else b"\xa5error\x00\xa4meta"
        try:
            return _SPAN_V04(
                b"\xa8trace_id\xcf", trace.trace_id & _U64, b"\xa7span_id\xcf", span.span_id,
                b"\xa9parent_id\xcf", span.parent_id, b"\xa5start\xd3", span._start + trace.offset,
                b"\xa8duration\xd3", span.duration, error,
            )  # fmt: skip
        except Exception:
            start, duration = _times(span)
            return _SPAN_V04(
                b"\xa8trace_id\xcf", trace.trace_id & _U64, b"\xa7span_id\xcf", span.span_id & _U64,
                b"\xa9parent_id\xcf", span.parent_id & _U64, b"\xa5start\xd3", start,
                b"\xa8duration\xd3", duration, error,
            )  # fmt: skip

    def extras(self, span: Span, shape: Shape, meta: Dict[str, str]) -> Tuple[bytes, bytes]:
        tail = b""
        more = 0
        if span.links:
            tail = b"\xaaspan_links" + array_header(len(span.links)) + b"".join(map(self.link, span.links))
            more = 1
        events = events_of(span)
        if events and self.native_events:
            tail += b"\xabspan_events" + array_header(len(events)) + b"".join(map(self.event, events))
            more += 1
        elif events:
            meta["events"] = events_json(events)
        return bytes((shape.head[0] + more,)) + shape.head[1:], tail

    def link(self, link: Link) -> bytes:
        """A link in the Agent's own form."""
        context = link.context
        fields = [
            b"\xa8trace_id" + _pack64(0xCF, context.trace_id & _U64),
            b"\xadtrace_id_high" + _pack64(0xCF, context.trace_id >> 64 & _U64),
            b"\xa7span_id" + _pack64(0xCF, context.span_id & _U64),
        ]
        if link.attributes:
            pairs = self.pairs(flat_text(link.attributes), {})
            fields.append(b"\xaaattributes" + map_header(pairs.metas) + pairs.meta)
        if context.tracestate:
            fields.append(b"\xaatracestate" + pack_str(context.tracestate))
        flags = link_flags(context)
        if flags:
            fields.append(b"\xa5flags" + pack_uint(flags))
        return map_header(len(fields)) + b"".join(fields)

    def event(self, event: Event) -> bytes:
        """An event in the Agent's own form."""
        fields = b"\xaetime_unix_nano" + _pack64(0xCF, event.time & _U64) + b"\xa4name" + self.texts[event.name]
        if not event.attributes:
            return b"\x82" + fields
        pairs = [self.texts[key] + _any_value(value) for key, value in event.attributes.items()]
        return b"\x83" + fields + b"\xaaattributes" + map_header(len(pairs)) + b"".join(pairs)


def _any_value(value: Any) -> bytes:
    """A typed value of an event: 0 text, 1 bool, 2 integer, 3 double, 4 array."""
    if isinstance(value, (tuple, list)):
        items = b"".join(map(_any_value, value))
        return b"\x82\xa4type\x04\xabarray_value\x81\xa6values" + array_header(len(value)) + items
    kind = value.__class__
    if kind is bool:
        return b"\x82\xa4type\x01\xaabool_value" + (b"\xc3" if value else b"\xc2")
    if kind is int and -_I64 <= value <= _I64:
        return b"\x82\xa4type\x02\xa9int_value" + Struct(">Bq").pack(0xD3, value)
    if kind is float and value - value == 0.0:
        return b"\x82\xa4type\x03\xacdouble_value" + pack_double(0xCB, value)
    return b"\x82\xa4type\x00\xacstring_value" + pack_str(text(value)[:MAX_TEXT])


class _V05(Format):
    """Spans are arrays; texts are places in a table. Good for one payload."""

    meta_headers = MAPS
    metrics_headers = MAPS

    def __init__(self, process: Process, places: Optional[Dict[str, bytes]] = None) -> None:
        self.table = Table()
        super().__init__(process, self.table if places is None else places)

    def writer(self, index: Callable[[bytes], int]) -> Format:
        return _V05(self.process, Places(index))

    def frame(self, shape: Shape, name: str, service: str, type: str) -> None:
        shape.head = b"\x9c" + self.texts[service] + self.texts[name]
        shape.tail = self.texts[type]

    def numbers(self, trace: Trace, span: Span) -> bytes:
        try:
            return _SPAN_V05(
                0xCF, trace.trace_id & _U64, 0xCF, span.span_id, 0xCF, span.parent_id,
                0xD3, span._start + trace.offset, 0xD3, span.duration, 1 if span.error else 0,
            )  # fmt: skip
        except Exception:
            start, duration = _times(span)
            return _SPAN_V05(
                0xCF, trace.trace_id & _U64, 0xCF, span.span_id & _U64, 0xCF, span.parent_id & _U64,
                0xD3, start, 0xD3, duration, 1 if span.error else 0,
            )  # fmt: skip

    def extras(self, span: Span, shape: Shape, meta: Dict[str, str]) -> Tuple[bytes, bytes]:
        if span.links:
            meta["_dd.span_links"] = links_json(span.links)
        events = events_of(span)
        if events:
            meta["events"] = events_json(events)
        return shape.head, shape.tail


def _times(span: Span) -> Tuple[int, int]:
    """Start and duration within 64 bits; an open span has lasted 0."""
    start = min(max(span.start_time, 0), _I64)
    return start, min(max(span.duration or 0, 0), _I64)


_kept: Optional[_V04] = None
_kept_v05: Optional[_V05] = None


def encode_v04(batch: Batch, process: Process, native_events: bool = False) -> Buffer:
    """A v0.4 payload (v0.3 is the same): an array of traces, each an array of spans, each a map.

    Args:
        batch: the chunks to write.
        process: whose they are.
        native_events: the Agent takes `span_events`; without it they go into `meta` as JSON.
    """
    global _kept
    form = _kept
    if form is None or form.process is not process or form.native_events is not native_events:
        form = _kept = _V04(process, native_events)
    if batch.native:
        return compiled().encode_v04(batch, form)  # type: ignore[no-any-return]
    return b"".join(_chunks(batch, form))


def encode_v05(batch: Batch, process: Process) -> Buffer:
    """A v0.5 payload: the table of texts, then the traces, whose spans are arrays of twelve."""
    global _kept_v05
    if batch.native:
        known = _kept_v05
        if known is None or known.process is not process:
            known = _kept_v05 = _V05(process)
        return compiled().encode_v05(batch, known)  # type: ignore[no-any-return]
    form = _V05(process)
    traces = _chunks(batch, form)
    order = form.table.order
    return b"".join([b"\x92", array_header(len(order))] + order + traces)


def _chunks(batch: Batch, form: Format) -> List[bytes]:
    out = [array_header(len(batch))]
    restored = batch.native
    groups: Any = batch if restored else batch.groups
    for group in groups:
        mark = len(out)
        try:
            spans = group.spans if restored else group if group.__class__ is list else [group]
            form.chunk(spans[0].trace, spans, out, restored)
        except Exception:  # broken by a processor of the user: an empty trace in its place, its neighbours are sent
            out[mark:] = [b"\x90"]
    return out
