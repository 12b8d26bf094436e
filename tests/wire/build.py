"""Spans for the encoders, made by the real core, with times and ids that a test can write down."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Optional, Tuple

import msgpack

from gossamer._core import pure
from gossamer._core.pure import Batch, Span, SpanContext, Trace
from gossamer._wire.datadog import encode_v04, encode_v05
from gossamer._wire.info import Process

START = 1700000000000000000
TRACE_ID = 0x6543B2A1000000000123456789ABCDEF
V05_FIELDS = ("service", "name", "resource", "trace_id", "span_id", "parent_id", "start", "duration", "error")


def process(**facts: Any) -> Process:
    """A process that is the same on every machine."""
    given: Dict[str, Any] = {"service": "shop", "env": "test", "version": "1.2", "tags": {"team": "blue"}}
    given.update(runtime_id="ab" * 16, pid=77, language_version="3.11.7", tracer_version="0.1.0")
    given.update(facts)
    return Process(**given)


class Maker:
    """Starts and ends spans; the first one has id 1, the next 2; each lasts 1000 ns per id."""

    def __init__(self, sampler: Any = None, core: Any = pure) -> None:
        self.buffer = core.Buffer(1 << 40)
        self.recorder = core.Recorder(self.buffer, sampler)
        self.recorder.service = "shop"
        self.made: List[Span] = []

    def start(self, name: str = "work", parent: Any = None, **facts: Any) -> Span:
        span = self.recorder.start(name, parent=parent, activate=False, **facts)
        self.made.append(span)
        return span

    def batch(self) -> Batch:
        """What has ended; from the pure core with plain ids and times."""
        found = self.buffer.swap()
        assert found is not None
        if found.native:
            return found  # type: ignore[no-any-return]
        for number, span in enumerate(self.made, 1):
            span.span_id = number
            span.trace.trace_id = TRACE_ID
            span._start = START - span.trace.offset + number
            span.duration = number * 1000
            if span.parent is not None:
                span.parent_id = span.parent.span_id
        return found


def one(name: str = "work", attributes: Optional[Dict[str, Any]] = None, **facts: Any) -> Batch:
    """A batch of one span."""
    maker = Maker()
    span = maker.start(name, attributes=dict(attributes or {}), **facts)
    span.finish()
    return maker.batch()


def no_repeats(pairs: List[Tuple[Any, Any]]) -> Dict[Any, Any]:
    """A map of MessagePack; twice the same key fails the test."""
    found = dict(pairs)
    assert len(found) == len(pairs), [key for key, _ in pairs]
    return found


def v04(batch: Batch, of: Optional[Process] = None, **options: Any) -> List[List[Dict[str, Any]]]:
    """A v0.4 payload, read back and checked."""
    payload = encode_v04(batch, of or process(), **options)
    traces = msgpack.unpackb(payload, raw=False, strict_map_key=True, object_pairs_hook=no_repeats)
    check(traces)
    return traces  # type: ignore[no-any-return]


def v05(batch: Batch, of: Optional[Process] = None) -> List[List[Dict[str, Any]]]:
    """A v0.5 payload, read back with the keys of v0.4 and checked."""
    payload = encode_v05(batch, of or process())
    strings, rows = msgpack.unpackb(payload, raw=False, strict_map_key=False, object_pairs_hook=no_repeats)
    assert strings[0] == "" and len(set(strings)) == len(strings)

    def span(row: List[Any]) -> Dict[str, Any]:
        assert len(row) == 12
        found = dict(zip(V05_FIELDS, [strings[place] for place in row[:3]] + row[3:9]))
        found["meta"] = {strings[key]: strings[value] for key, value in row[9].items()}
        found["metrics"] = {strings[key]: value for key, value in row[10].items()}
        if row[11]:
            found["type"] = strings[row[11]]
        return found

    traces = [[span(row) for row in trace] for trace in rows]
    check(traces)
    return traces


def check(traces: Any) -> None:
    """Every type and bound that the Agent relies on; it does not forgive."""
    assert type(traces) is list
    for trace in traces:
        assert type(trace) is list
        for span in trace:
            check_span(span)


def check_span(span: Dict[str, Any]) -> None:
    assert set(span) - {"type", "span_links", "span_events"} == set(V05_FIELDS) | {"meta", "metrics"}
    for name, limit in (("service", 25000), ("name", 5000), ("resource", 5000), ("type", 25000)):
        assert type(span.get(name, "")) is str and len(span.get(name, "")) <= limit
    for name in ("trace_id", "span_id", "parent_id"):
        assert type(span[name]) is int and 0 <= span[name] < 1 << 64
    assert span["trace_id"] and span["span_id"]
    for name in ("start", "duration"):
        assert type(span[name]) is int and 0 <= span[name] < 1 << 63
    assert type(span["error"]) is int and span["error"] in (0, 1)
    for key, value in span["meta"].items():
        assert type(key) is str and len(key) <= 300 and type(value) is str
        assert len(value) <= 25000 or key in ("events", "_dd.span_links")
    for key, value in span["metrics"].items():
        assert type(key) is str and len(key) <= 300
        assert type(value) is float and value - value == 0.0
    assert not set(span["meta"]) & set(span["metrics"])


def only(batch: Batch, of: Optional[Process] = None) -> Dict[str, Any]:
    """The one span of a batch, as both formats have it."""
    (((span,),), ((other,),)) = v04(batch, of), v05(batch, of)
    assert span == other
    return span


def spans_of(batch: Batch) -> Iterator[Tuple[Trace, Span]]:
    for chunk in batch:
        for span in chunk.spans:
            yield chunk.trace, span


def remote(**facts: Any) -> SpanContext:
    """The context of a caller in another process."""
    return SpanContext(TRACE_ID, 0xFEDCBA9876543210, is_remote=True, **facts)
