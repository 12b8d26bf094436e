"""Traces without measure: deep, wide, without an end; and values of any size."""

from __future__ import annotations

import sys

import pytest

from tests.native.helpers import SANITIZED, c_bytes, encodings, script, settled

pytestmark = pytest.mark.usefixtures("native")

# How a hundred thousand spans come to hang on one another.
CHAINS = {
    "of parents": "span = recorder.start('x')",
    "of what they interrupt": "span = recorder.start('x', parent=None)",
    "of both": "span = recorder.start('x', parent=None if n % 2 else native.ACTIVE)",
    "of interrupting children": "span = recorder.start('x', parent=first)",
    "of scopes": "span = native.Starter(recorder).trace('x').__enter__()",
    "of a subclass": "span = Own(recorder, 'x').begin()",
    "detached": "span = recorder.start('x'); n % 3 or span.detach()",
}
ENDS = {
    "dropped": "",
    "ended from within": "[each.finish() for each in reversed(spans)]",
    "ended from without": "[each.finish() for each in spans]",
    "kept for processors": """
recorder.processors = (lambda spans: spans,)
recorder.partial_flush_min_spans = 10 ** 9
[each.finish() for each in reversed(spans)]
""",
    "as one chunk": """
recorder.partial_flush_min_spans = 10 ** 9
[each.finish() for each in reversed(spans)]
""",
}


def levels(chain, end):
    """A script: a chain is made, and comes to that end."""
    facts = {
        "DEPTH": "20000" if SANITIZED else "100000", "CHAIN": CHAINS[chain], "REST": ENDS[end],
        "KEEP": str(end != "dropped"),
    }  # fmt: skip
    text = """
spans = []
recorder = Recorder(Buffer(1 << 40))
first = recorder.start("first", parent=None)
for n in range(DEPTH):
    CHAIN
    if KEEP:
        spans.append(span)
del span
REST
first.finish()
spans.clear()
del first
set_active(None)
batch = recorder.buffer.swap()
assert not KEEP or batch.span_count == DEPTH + 1, batch.span_count
if KEEP:
    chunks = list(batch)
    assert sum(len(chunk.spans) for chunk in chunks) == batch.span_count
    del chunks
del batch, recorder
"""
    for name, fact in facts.items():
        text = text.replace(name, fact)
    return text


@pytest.mark.parametrize("end", ENDS)
def test_a_hundred_thousand_levels(end):
    """Letting go of a span lets go of what it refers to, and so on; not one within the other, or the C stack ends."""
    chains = CHAINS if end == "dropped" else ("of parents", "of what they interrupt")
    script("class Own(Span):\n    pass\n" + "".join(levels(chain, end) for chain in chains))


def test_a_hundred_thousand_children(native, recorder):
    recorder.partial_flush_min_spans = 10**9
    root = recorder.start("root")
    for number in range(100000):
        recorder.start("child", "resource %d" % number, attributes={"n": number}, activate=False).finish()
    assert recorder.buffer.swap() is None
    root.finish()
    batch = recorder.buffer.swap()
    assert (len(batch), batch.span_count) == (1, 100001)
    (chunk,) = batch
    assert [span.attributes.get("n") for span in chunk.spans] == list(range(100000)) + [None]
    assert {span.parent_id for span in chunk.spans} == {root.span_id, 0} and chunk.spans[5].parent is chunk.spans[-1]
    assert batch.split(100)[0].span_count == 100001
    encodings(batch)


@pytest.mark.skipif(SANITIZED, reason="the checker replaces the allocator")
@pytest.mark.parametrize("consumed", [True, False], ids=["with a writer", "without"])
def test_a_trace_that_never_ends(native, consumed):
    recorder = native.Recorder(native.Buffer(2000000))
    root = recorder.start("root", parent=None)
    late = recorder.start("late", parent=native.SpanContext(5, 6))
    late.finish()

    def spans(count):
        for number in range(count):
            with recorder.start("child", attributes={"k": "v %d" % number}, parent=root):
                pass
            native.set_active(late)
            recorder.start("late child").finish()
            if consumed and number % 10000 == 0:
                recorder.buffer.swap()

    spans(60000)
    blocks, size = settled()
    spans(150000)
    new_blocks, new_size = settled()
    assert new_blocks - blocks < 1000 and new_size - size < 2500000
    dropped = recorder.buffer.dropped_spans
    assert recorder.buffer.pending_bytes <= 2000000 and (dropped == 0 if consumed else dropped > 100000)
    root.finish()


HUGE = {
    "a text": "x" * 10**7,
    "a text beyond ASCII": "\xe9\u20ac\U0001f600" * 10**6,
    "surrogates": "\udc80\ud800" * 10**6,
    "bytes": b"\xff" * 10**7,
    "an integer": 10**6000,
    "a small integer": -(10**4000),
    "a sequence": list(range(10**5)),
    "texts": ["x" * 30000] * 200,
    "nested": [[[[[[1, "a"]] * 50] * 50]]],
    "deeply nested": None,
    "a float": 1e308 * 10,
}


@pytest.mark.parametrize("kind", HUGE)
def test_values_of_any_size(native, recorder, kind):
    value = HUGE[kind]
    if value is None:
        value = []
        for _ in range(100000):
            value = [value]
    before = c_bytes()
    for key in ("k", "k" * 10**6, "\udc80" * 1000):
        for name in ("x", "x" * 10**6):
            with recorder.start(name, resource=name, attributes={key: value}, parent=None) as span:
                span.set_attribute(key[::-1] + "2", value)
                span.set_attributes({key + "3": value, key: [value, value]})
                span.add_event("e", {key: value})
                span.add_link(native.SpanContext(5, 6), {key: value})
                span.set_error(value)
                span.set_baggage("k", value)
            with recorder.start("plain", parent=None):
                pass
    while isinstance(value, list) and value and isinstance(value[0], list):
        value = value[0]  # the interpreter's own way of letting go is not the subject
    encodings(recorder.buffer.swap())
    assert SANITIZED or c_bytes() - before < 10**8


def test_many_attributes(native, recorder):
    given = {"k%d" % number: "value %d" % number for number in range(20000)}
    for _ in range(3):
        with recorder.start("x", attributes=dict(given), parent=None):
            pass
        with recorder.start("y", parent=None) as span:
            span.set_attributes(given)
            for number in range(200):
                span.add_event("e%d" % number, {"n": number})
                span.add_link(native.SpanContext(5, number + 1), {"n": number})
    batch = recorder.buffer.swap()
    assert batch.span_count == 6
    for chunk in batch:
        (span,) = chunk.spans
        assert span.attributes == given
        assert span.name == "x" or (len(span.events), len(span.links)) == (128, 128)
    encodings(batch)


@pytest.mark.skipif(sys.maxsize < 2**32, reason="needs the room of 64 bits")
def test_many_traces_in_one_batch(native, recorder):
    for number in range(100000):
        recorder.start("x", "r%d" % (number % 7), parent=None).finish()
    batch = recorder.buffer.swap()
    parts = batch.split(batch.size // 10)
    assert sum(len(part) for part in parts) == len(batch) == 100000
    del batch
    ids = {span.span_id for part in parts for chunk in part for span in chunk.spans}
    assert len(ids) == 100000
    encodings(parts[3])


def test_integers_of_any_size(native, recorder):
    numbers = [sign * (1 << bits) + more for bits in range(1, 900, 3) for sign in (1, -1) for more in (-1, 0, 1)]
    numbers += [sign * 10**digits + more for digits in range(1, 250) for sign in (1, -1) for more in (-1, 0, 1)]
    for number in numbers:
        recorder.start("x", attributes={"n": number, "items": (number, 5)}, parent=None).finish()
    found = [chunk.spans[0].attributes for chunk in recorder.buffer.swap()]
    assert found == [{"n": number, "items": (number, 5)} for number in numbers]
