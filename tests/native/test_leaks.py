"""Whatever is done with spans, nothing of it is left when they are gone: neither references nor memory."""

from __future__ import annotations

import sys

import pytest

from gossamer._wire.datadog import encode_v04
from tests.native.helpers import PROCESS, SANITIZED, c_bytes, encodings, settled

pytestmark = pytest.mark.skipif(SANITIZED, reason="the checker replaces the allocator")


def take(recorder):
    batch = recorder.buffer.swap()
    assert batch is not None


def plain(native, recorder, number):
    with recorder.start("root", parent=None), recorder.start("child"):
        pass


def described(native, recorder, number):
    attributes = {"text": "value", "own": "value %d" % number, "bytes": b"\x00\xff", "big": 1 << 100, "n": number}
    with recorder.start("root", "r %d" % number, "s", "web", "server", attributes, "flask", "http", None) as root:
        root.set_attribute("items", ["a", 1, 2.5, None, object])
        root.set_attribute("odd", "\udc80")
        root.set_attributes({"a": 1.5, "b": True})
        root.set_baggage("k", "v %d" % number)
        root.add_event("event", {"k": number})
        with recorder.start("child") as child:
            child.add_link(root, {"k": b"v"})
            child.context.trace_id
            child.trace.trace_id_hex


def failing(native, recorder, number):
    try:
        with recorder.start("root", parent=None):
            with recorder.start("child"):
                raise ValueError("failed %d" % number)
    except ValueError:
        pass


def remote(native, recorder, number):
    tags = {"_dd.p.dm": "-%d" % (number % 7)}
    context = native.SpanContext(number + 1, 2, 1, "rum", tags, "a=%d" % number, {"b": "c"})
    with recorder.start("root", parent=context) as span:
        span.trace.keep()
    native.set_active(context)
    with recorder.start("late"):
        pass
    native.set_active(None)


def late(native, recorder, number):
    root = recorder.start("root", parent=None)
    child = recorder.start("child")
    root.finish()
    aside = recorder.start("aside", parent=root, activate=False)
    child.detach()
    child.finish()
    aside.finish()
    with recorder.start("later"):
        pass


def forgotten(native, recorder, number):
    recorder.start("never finished", parent=None)
    recorder.start("nor this one")
    native.Span(recorder, "not even begun")
    with recorder.start("but this", parent=None):
        pass


def scopes(native, recorder, number):
    starter = native.Starter(recorder)
    with starter.trace("block", attributes={"a": 1}):
        starter.start_span("by hand", start_time=5).finish(6)


def processed(native, recorder, number):
    recorder.processors = (lambda spans: spans,)
    plain(native, recorder, number)
    recorder.processors = (lambda spans: 1 / 0,)
    plain(native, recorder, number)
    recorder.processors = (lambda spans: None,)
    plain(native, recorder, number)
    recorder.processors = ()
    plain(native, recorder, number)


def dropped(native, recorder, number):
    small = native.Recorder(native.Buffer(300))
    for _ in range(4):
        plain(native, small, number)
    assert small.buffer.dropped_spans
    small.enabled = False
    plain(native, small, number)
    plain(native, recorder, number)


def wrong(native, recorder, number):
    for call in (
        lambda: recorder.start(), lambda: native.Span(), lambda: native.Span(recorder, "x", attribute=1),
        lambda: recorder.buffer.put(None), lambda: native.Batch([5]), lambda: setattr(recorder, "processors", 5),
    ):  # fmt: skip
        with pytest.raises(TypeError):
            call()
    span = recorder.start("x", parent="no parent")
    span.set_attribute(object(), object())
    span.set_attributes(5)
    span.add_link(5)
    span.add_event(5, 5, "5")
    span.finish("now")


def seen(native, recorder, number):
    plain(native, recorder, number)
    described(native, recorder, number)
    batch = recorder.buffer.swap()
    for part in batch.split(100):
        for chunk in part:
            for span in chunk.spans:
                repr((span, span.parent, span.attributes, span.events, span.links, span.local_root, span.role))
    recorder.buffer.put(native.Chunk(chunk.trace, chunk.spans))


def encoded(native, recorder, number):
    described(native, recorder, number)
    failing(native, recorder, number)
    batch = recorder.buffer.swap()
    encodings(batch)
    plain(native, recorder, number)


WAYS = [plain, described, failing, remote, late, forgotten, scopes, processed, dropped, wrong, seen, encoded]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_memory_does_not_grow(native, recorder, way):
    def rounds(count):
        for number in range(count):
            way(native, recorder, number)
            if number % 50 == 0:
                take(recorder)
        recorder.buffer.clear()
        native.set_active(None)

    rounds(700)  # fills the tables, the freelists and the caches of others
    blocks, size = settled()
    # Two measures of the same: something else (a logger, a cache) may grow once, a leak grows each time.
    grown = []
    for _ in range(3):
        rounds(300)
        new_blocks, new_size = settled()
        grown.append((new_blocks - blocks, new_size - size))
        blocks, size = new_blocks, new_size
    assert min(blocks for blocks, _ in grown) < 60, grown
    assert min(size for _, size in grown) < 12000, grown


def test_references_and_memory_after_a_million_spans(native, recorder):
    shared = ["".join(("n", str(number))) for number in range(10)] + [123456789012, 1234.5, b"12345", (1, "a")]
    name, resource, service, type_, integration, layer, key, value, key2, key3, number, real, raw, items = shared
    context = native.SpanContext(5, 6)
    shared.append(context)

    def spans(count):
        start = recorder.start
        swap = recorder.buffer.swap
        for n in range(count):
            given = {key: value, key2: number}
            with start(name, resource, service, type_, "server", given, integration, layer, context):
                with start(name, resource, parent=context) as span:
                    span.set_attribute(key, value)
                    span.set_attribute(key3, real)
                    span.set_attribute(key2, raw)
                    span.set_attribute(key, items)
            if n % 1000 == 0:
                swap()
        recorder.buffer.clear()

    spans(5000)
    blocks, size = settled()
    counts = list(map(sys.getrefcount, shared))
    spans(500000)
    new_blocks, new_size = settled()
    assert list(map(sys.getrefcount, shared)) == counts
    assert new_blocks - blocks < 200 and new_size - size < 100000


@pytest.mark.parametrize("kind", ["names", "keys", "values", "tracestates"])
def test_what_never_repeats_is_not_kept(native, recorder, kind):
    def spans(begin, end):
        """The most that was in use: tables and caches fill, and begin anew."""
        most = 0
        for n in range(begin, end):
            own = "%s %d" % (kind, n)
            if kind == "names":
                recorder.start(own, own, own, own, parent=None).finish()
            elif kind == "tracestates":
                recorder.start("x", parent=native.SpanContext(5, 6, 1, tracestate="a=%d" % n)).finish()
            else:
                attributes = {own: n} if kind == "keys" else {"k": own, "l": own}
                recorder.start("x", attributes=attributes, parent=None).finish()
            if n % 500 == 0:
                encode_v04(recorder.buffer.swap(), PROCESS())
                most = max(most, c_bytes())
        recorder.buffer.clear()
        settled()
        return most

    count = 65000 if kind == "names" else 25000
    most = spans(0, count)
    assert spans(count, 2 * count) - most < 3000000
