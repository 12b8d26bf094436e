"""Datadog's trace payloads, v0.4 and v0.5, as MessagePack.

The two differ in how a text is written (in full, or as its place in a table that comes first) and in the frame of a
span (a map, or an array). Everything else is shared: a `_Format` holds, for one process, the packed form of whatever
repeats, and the encoder joins the pieces. Caches are bounded, as texts of the traced program go into them.
"""

from __future__ import annotations

from struct import Struct

from .._core import ROOT
from .datadog_span import (
    MAX_RESOURCE,
    MAX_TEXT,
    constants,
    events_json,
    events_of,
    flat_text,
    link_flags,
    links_json,
    text,
    trace_facts,
    translated,
)  # fmt: skip
from .datadog_texts import MAX_CACHED, Keys, Table, Written
from .names_datadog import FIXED, STATEMENT, table
from .pack import array_header, map_header, pack_str, pack_uint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

    from .._core.buffer import Batch, Chunk
    from .._core.pure import Event, Link, Span, Trace
    from .info import Process

    Piece = Tuple[bytes, int]  # packed pairs, and their number

__all__ = ["encode_v04", "encode_v05"]

_U64 = 0xFFFFFFFFFFFFFFFF
_I64 = 0x7FFFFFFFFFFFFFFF
_EXACT = 2**53
_LEAST = -_EXACT

_pack64 = Struct(">BQ").pack
_pack_double = Struct(">Bd").pack
_SPAN_V04 = Struct(">10sQ9sQ11sQ7sq10sq12s").pack
_SPAN_V05 = Struct(">BQBQBQBqBqB").pack


_MAPS = [map_header(size) for size in range(256)]


class _Shape:
    """What spans of one name, service, type, kind, integration and role have in common, packed."""

    __slots__ = (
        "head",
        "tail",
        "plain",
        "meta",
        "metas",
        "metrics",
        "metric_count",
        "fixed",
        "keys",
        "statement",
        "status",
    )

    head: bytes
    tail: bytes
    plain: bytes  # all that follows the fixed fields of a span without attributes
    meta: bytes
    metas: int
    metrics: bytes
    metric_count: int
    fixed: Tuple[Dict[str, str], Dict[str, float]]
    keys: Keys
    statement: bytes
    status: bytes


class _Format:
    """The packed forms of one payload format for one process; v0.4 keeps it from payload to payload."""

    def __init__(self, process: Process, texts: Dict[str, bytes]) -> None:
        self.process = process
        self.texts = texts
        self.integers: Dict[int, bytes] = {}
        self.shapes: Dict[Tuple[Any, ...], _Shape] = {}
        self.facts: Dict[Tuple[Any, ...], Tuple[Piece, Piece]] = {}
        self.keys: Dict[Tuple[str, Optional[str]], Keys] = {}
        self.reserved = FIXED.union(process.tags, ("process_id",))

    # -- what repeats ---------------------------------------------------------------------------------------------

    def shape(self, key: Tuple[str, Optional[str], Optional[str], str, Optional[str], int]) -> _Shape:
        """The common part of spans that agree in `key`, made and kept."""
        if len(self.shapes) >= MAX_CACHED:
            self.shapes.clear()
        name, service, type, kind, integration, role = key
        shape = _Shape()
        shape.fixed = constants(service, kind, integration, role, self.process)
        shape.meta, shape.metas = self.pairs(shape.fixed[0])
        shape.metrics, shape.metric_count = self.numbers(shape.fixed[1])
        self.frame(shape, text(name)[:MAX_RESOURCE], text(service or self.process.service), type)
        named = self.keys.get((kind, type))
        if named is None:
            if len(self.keys) >= 256:
                self.keys.clear()
            named = self.keys[kind, type] = Keys(table(kind, type), self.reserved, self.texts)
        shape.keys = named
        shape.statement = self.texts[STATEMENT]
        shape.status = self.texts["http.status_code"]
        shape.plain = b"".join(
            (
                self.header(self.meta_headers, shape.metas),
                shape.meta,
                self.header(self.metrics_headers, shape.metric_count),
                shape.metrics,
                shape.tail,
            )
        )
        self.shapes[key] = shape
        return shape

    def frame(self, shape: _Shape, name: str, service: str, type: Optional[str]) -> None:
        """Set what comes before and after the changing fields."""
        raise NotImplementedError

    def pairs(self, meta: Dict[str, str]) -> Piece:
        """Packed texts of `meta`."""
        texts = self.texts
        return b"".join([texts[key] + texts[value] for key, value in meta.items()]), len(meta)

    def numbers(self, metrics: Dict[str, float]) -> Piece:
        """Packed numbers of `metrics`."""
        texts = self.texts
        return b"".join([texts[key] + _pack_double(0xCB, value) for key, value in metrics.items()]), len(metrics)

    def trace(self, trace: Trace) -> Tuple[Piece, Piece]:
        """The packed facts of a trace; most traces of a second share them."""
        key = (trace.trace_id >> 64, trace.priority, trace.mechanism, trace.rate, trace.origin)
        found = None if trace.tags else self.facts.get(key)
        if found is None:
            meta, metrics = trace_facts(trace)
            found = self.pairs(meta), self.numbers(metrics)
            if not trace.tags:
                if len(self.facts) >= 256:
                    self.facts.clear()
                self.facts[key] = found
        return found

    # -- spans ----------------------------------------------------------------------------------------------------

    def span(self, trace: Trace, span: Span) -> bytes:
        """The fields of a fixed size."""
        raise NotImplementedError

    def extras(self, span: Span, shape: _Shape, meta: Dict[str, str]) -> Tuple[bytes, bytes]:
        """Head and tail of a span with links or events, which go into `meta` where the format has no place for them."""
        raise NotImplementedError

    meta_headers: List[bytes]
    metrics_headers: List[bytes]

    def chunk(self, chunk: Chunk, out: List[bytes]) -> None:
        """Append the packed spans of a chunk: the local root first, as it carries what is said once."""
        spans = chunk.spans
        trace = chunk.trace
        out.append(array_header(len(spans)))
        facts: Optional[Tuple[Piece, Piece]] = self.trace(trace)
        if len(spans) > 1 and spans[-1].role == ROOT:
            spans = spans[-1:] + spans[:-1]
        shapes, texts, pack = self.shapes, self.texts, self.span
        for span in spans:
            role = span.role
            key = (span.name, span.service, span.type, span.kind, span.integration, role)
            shape = shapes.get(key) or self.shape(key)
            resource = span.resource or span.name
            if len(resource) > MAX_RESOURCE:
                resource = resource[:MAX_RESOURCE]
            attributes = span.attributes
            ordinary = not span.error and span.events is None and span.links is None
            if ordinary and facts is None and not attributes:
                out += (shape.head, texts[resource], pack(trace, span), shape.plain)
                continue
            mark = len(out)
            out += (shape.head, texts[resource], pack(trace, span))
            if not ordinary or not self.attributes(attributes, shape, resource, facts, out):
                del out[mark + 1 :]
                self.unusual(trace, span, shape, resource, facts is not None, out)
            facts = None

    def attributes(
        self,
        attributes: Dict[str, Any],
        shape: _Shape,
        resource: str,
        facts: Optional[Tuple[Piece, Piece]],
        out: List[bytes],
    ) -> bool:
        """Append `meta`, `metrics` and what follows for a span with nothing unusual; False where there is."""
        metas, count = shape.metas, shape.metric_count
        place = len(out)
        out += (b"", shape.meta)
        numbers = [shape.metrics]
        if facts is not None:
            (piece, more), (number, more_numbers) = facts
            out.append(piece)
            numbers.append(number)
            metas += more
            count += more_numbers
        before, numbers_before = len(out), len(numbers)
        texts, integers, keys = self.texts, self.integers, shape.keys
        for key, value in attributes.items():
            name = keys[key]
            kind = value.__class__
            if not name:
                if name is None:
                    return False
                if name is not False:
                    if value == resource:
                        continue
                    name = shape.statement
                elif kind is int or kind is str:
                    out += (shape.status, texts[str(value)])
                    continue
                else:
                    return False
            if kind is str:
                out += (name, texts[value])
            elif kind is int and _LEAST <= value <= _EXACT:
                numbers += (name, integers.get(value) or self.integer(value))
            elif kind is bool:
                out += (name, texts["true" if value else "false"])
            elif kind is float and value - value == 0.0:
                numbers += (name, _pack_double(0xCB, value))
            else:
                return False
        metas += (len(out) - before) >> 1
        count += (len(numbers) - numbers_before) >> 1
        if metas > 255 or count > 255:
            return False
        out[place] = self.meta_headers[metas]
        out.append(self.metrics_headers[count])
        out += numbers
        out.append(shape.tail)
        return True

    def integer(self, value: int) -> bytes:
        """A packed number, kept."""
        if len(self.integers) >= MAX_CACHED:
            self.integers.clear()
        packed = self.integers[value] = _pack_double(0xCB, value)
        return packed

    def unusual(self, trace: Trace, span: Span, shape: _Shape, resource: str, first: bool, out: List[bytes]) -> None:
        """Append a span by the full translation; `out` ends with its head."""
        fixed = shape.fixed
        if first:
            meta, metrics = trace_facts(trace)
            fixed = dict(fixed[0], **meta), dict(fixed[1], **metrics)
        meta, metrics = translated(span, resource, shape.keys.names, fixed)
        head, tail = self.extras(span, shape, meta)
        out[-1] = head
        pairs, metas = self.pairs(meta)
        numbers, count = self.numbers(metrics)
        out += (self.texts[resource], self.span(trace, span))
        out += (self.header(self.meta_headers, metas), pairs, self.header(self.metrics_headers, count), numbers, tail)

    @staticmethod
    def header(headers: List[bytes], size: int) -> bytes:
        """The header of a map of any size: large ones are not in the list."""
        return headers[size] if size < len(headers) else headers[0][:-1] + map_header(size)


class _V04(_Format):
    """Spans are maps; texts are written in full."""

    meta_headers = _MAPS
    metrics_headers = [b"\xa7metrics" + header for header in _MAPS]

    def __init__(self, process: Process, native_events: bool) -> None:
        super().__init__(process, Written())
        self.native_events = native_events

    def frame(self, shape: _Shape, name: str, service: str, type: Optional[str]) -> None:
        head = b"\xa7service" + self.texts[service] + b"\xa4name" + self.texts[name]
        if type:
            head += b"\xa4type" + self.texts[text(type)]
        shape.head = _MAPS[12 if type else 11] + head + b"\xa8resource"
        shape.tail = b""

    def span(self, trace: Trace, span: Span) -> bytes:
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

    def extras(self, span: Span, shape: _Shape, meta: Dict[str, str]) -> Tuple[bytes, bytes]:
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
            pairs, count = self.pairs(flat_text(link.attributes))
            fields.append(b"\xaaattributes" + map_header(count) + pairs)
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
        return b"\x82\xa4type\x03\xacdouble_value" + _pack_double(0xCB, value)
    return b"\x82\xa4type\x00\xacstring_value" + pack_str(text(value)[:MAX_TEXT])


class _V05(_Format):
    """Spans are arrays; texts are places in a table. Good for one payload."""

    meta_headers = _MAPS
    metrics_headers = _MAPS

    def __init__(self, process: Process) -> None:
        self.table = Table()
        super().__init__(process, self.table)

    def frame(self, shape: _Shape, name: str, service: str, type: Optional[str]) -> None:
        shape.head = b"\x9c" + self.texts[service] + self.texts[name]
        shape.tail = self.texts[text(type) if type else ""]

    def span(self, trace: Trace, span: Span) -> bytes:
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

    def extras(self, span: Span, shape: _Shape, meta: Dict[str, str]) -> Tuple[bytes, bytes]:
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


def encode_v04(batch: Batch, process: Process, native_events: bool = False) -> bytes:
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
    return b"".join(_chunks(batch, form))


def encode_v05(batch: Batch, process: Process) -> bytes:
    """A v0.5 payload: the table of texts, then the traces, whose spans are arrays of twelve."""
    form = _V05(process)
    traces = _chunks(batch, form)
    order = form.table.order
    return b"".join([b"\x92", array_header(len(order))] + order + traces)


def _chunks(batch: Batch, form: _Format) -> List[bytes]:
    out = [array_header(len(batch))]
    for chunk in batch:
        mark = len(out)
        try:
            form.chunk(chunk, out)
        except Exception:  # broken by a processor of the user: an empty trace in its place, its neighbours are sent
            out[mark:] = [b"\x90"]
    return out
