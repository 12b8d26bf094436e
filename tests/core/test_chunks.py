"""Finished spans on their way out: chunks, partial flush, bounds, processors."""

from __future__ import annotations

import random

import pytest


def test_a_trace_is_one_chunk_in_the_order_of_ends(recorder, names):
    with recorder.start("root"):
        with recorder.start("a"):
            with recorder.start("b"):
                pass
        with recorder.start("c"):
            pass
        assert names() == []
    assert names() == [["b", "a", "c", "root"]]
    assert names() == []


def test_what_a_chunk_says(recorder):
    with recorder.start("root", attributes={"a": "x" * 1000}) as root:
        pass
    batch = recorder.buffer.swap()
    (chunk,) = batch
    assert chunk.trace.trace_id == root.trace_id and [span.span_id for span in chunk.spans] == [root.span_id]
    assert chunk.size > 1000
    assert (batch.size, batch.span_count, len(batch)) == (chunk.size, 1, 1)


def test_late_children_are_a_second_chunk(recorder, names):
    root = recorder.start("root")
    late = recorder.start("late")
    root.finish()
    late.finish()
    assert names() == [["root", "late"]]
    with recorder.start("later", parent=root) as later:
        assert later.trace is root.trace and later.parent_id == root.span_id
    assert names() == [["later"]]


def test_only_the_first_end_counts(recorder, names):
    span = recorder.start("x")
    span.finish()
    duration = span.duration
    span.finish()
    span.finish(span.start_time + 10**9)
    with span:
        pass
    assert span.duration == duration and names() == [["x"]]


def test_an_end_before_the_beginning_is_nothing(core, recorder, names):
    span = core.Span(recorder, "x")
    span.finish()
    assert span.duration is None and names() == []
    with span:
        pass
    assert names() == [["x"]]


def test_partial_flush(recorder, names):
    recorder.partial_flush_min_spans = 10
    with recorder.start("root"):
        for n in range(25):
            with recorder.start("s%d" % n):
                pass
        assert [len(chunk) for chunk in names()] == [10, 10]
    assert names() == [["s20", "s21", "s22", "s23", "s24", "root"]]


def test_a_trace_that_never_ends(recorder):
    recorder.start("root")
    most = count = 0
    for n in range(20000):
        with recorder.start("s"):
            pass
        if n % 1000 == 999:
            count += recorder.buffer.swap().span_count
            most = max(most, n + 1 - count)  # finished, but not yet handed on
    assert most < 300 and count > 20000 - 300


def test_a_hundred_thousand_spans_in_one_trace(recorder, taken):
    recorder.buffer.max_bytes = 10**9
    with recorder.start("root"):
        for _ in range(1000):
            with recorder.start("parent"):
                for _ in range(99):
                    with recorder.start("leaf"):
                        pass
    spans = [span for chunk in taken() for span in chunk]
    assert len(spans) == len({span.span_id for span in spans}) == 100001
    assert len({span.trace_id for span in spans}) == 1 and spans[-1].name == "root"


def test_many_traces_at_once(recorder, taken):
    spans = [recorder.start("root", parent=None, activate=False) for _ in range(2000)]
    random.Random(1).shuffle(spans)
    for span in spans:
        span.finish()
    assert sorted(chunk[0].span_id for chunk in taken()) == sorted(span.span_id for span in spans)


# -- sampling ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("keep", "expected"), [(True, [["b", "a"]]), (False, [])])
def test_traces_that_are_not_kept(recorder, names, keep, expected):
    def drop(trace, span):
        trace.priority, trace.mechanism = 0, 0

    recorder.sampler = drop
    recorder.keep_unsampled = keep
    with recorder.start("a") as span:
        with recorder.start("b") as child:
            assert child.parent is span and child.context.priority == 0
            assert child.recording is keep
    assert names() == expected


def test_by_hand(recorder, names):
    recorder.keep_unsampled = False
    with recorder.start("a") as span:
        with recorder.start("before"):
            pass
        span.set_attribute("manual.drop", True)
        assert (span.trace.priority, span.trace.mechanism) == (-1, 4)
        with recorder.start("after"):
            pass
        assert "manual.drop" not in span.attributes
    assert names() == [["before"]]
    with recorder.start("b") as span:
        span.set_attribute("manual.drop", True)
        span.set_attribute("manual.keep", "false")
        span.set_attribute("manual.keep", False)
        assert span.trace.priority == -1
        span.set_attribute("manual.keep", True)
        assert (span.trace.priority, span.trace.mechanism, span.recording) == (2, 4, True)
    assert names() == [["b"]]


def test_the_sampler_sees_the_first_span_once(core, recorder):
    seen = []

    def sampler(trace, span):
        seen.append((trace, span.name, span.service))
        trace.priority = 1

    recorder.sampler = sampler
    with recorder.start("a", service="shop") as a, recorder.start("b"):
        pass
    with recorder.start("c", parent=core.SpanContext(1, 2, 2)):
        pass
    assert seen == [(a.trace, "a", "shop")]


def test_disabled(recorder, names):
    recorder.enabled = False
    with recorder.start("a") as a:
        with recorder.start("b") as b:
            assert b.parent is a and not b.recording and b.context.trace_id
    assert names() == []


# -- the buffer -------------------------------------------------------------------------------------------------------


def test_the_buffer_is_bounded_and_counts(core):
    buffer = core.Buffer(100000)
    recorder = core.Recorder(buffer)
    for _ in range(2000):
        with recorder.start("a", parent=None):
            with recorder.start("b", attributes={"k": "v" * 100}):
                pass
    assert buffer.pending_bytes <= 100000
    batch = buffer.swap()
    assert batch.size <= 100000 and batch.span_count > 50
    assert batch.span_count + buffer.dropped_spans == 4000
    assert len(batch) + buffer.dropped_traces == 2000
    with recorder.start("room again"):
        pass
    assert buffer.swap().span_count == 1 and buffer.pending_bytes == 0


@pytest.mark.parametrize("value", ["x" * 20000, b"x" * 20000, ["x" * 200] * 100])
def test_sizes_follow_the_values(core, recorder, value):
    with recorder.start("x") as span:
        span.set_attribute("k", value)
        span.add_event("e", {"k": value})
    size = recorder.buffer.swap().size
    assert size > 20000
    with recorder.start("x") as span:
        span.add_event("e", {"k": value})
    assert recorder.buffer.swap().size > 15000


def test_callbacks_of_the_buffer(core):
    buffer = core.Buffer(20000)
    calls = []
    buffer.on_first = lambda: calls.append("first")
    buffer.on_half_full = lambda: calls.append("half")
    recorder = core.Recorder(buffer)

    def one():
        with recorder.start("x", parent=None):
            pass

    one()
    one()
    assert calls == ["first"] and buffer.pending_bytes * 2 < buffer.max_bytes
    while buffer.pending_bytes * 2 <= buffer.max_bytes:
        assert calls == ["first"]
        one()
    assert calls == ["first", "half"]
    buffer.swap()
    buffer.asleep = True
    one()
    assert calls[-1] == "first"


def test_a_callback_that_raises_does_not_reach_the_program(core, recorder):
    def broken():
        raise RuntimeError("can't start new thread")

    recorder.buffer.on_first = broken
    with recorder.start("x"):
        pass


def test_batches_are_split_by_size(recorder):
    for _ in range(20):
        with recorder.start("x", parent=None):
            pass
    batch = recorder.buffer.swap()
    quarter = batch.payload_bytes // 4
    parts = batch.split(quarter)
    assert 4 <= len(parts) <= 6 and all(part.payload_bytes <= quarter for part in parts)
    assert ids_of(*parts) == ids_of(batch) == ids_of(*batch.split(1))
    assert len(batch.split(1)) == 20
    assert [len(part) for part in batch.split(batch.payload_bytes)] == [20]
    halves = batch.halves()
    assert 2 <= len(halves) <= 3 and ids_of(*halves) == ids_of(batch)
    assert [len(part) for part in batch.split(1)[0].halves()] == [1]


def ids_of(*batches):
    return [(chunk.trace.trace_id, span.span_id) for batch in batches for chunk in batch for span in chunk.spans]


# -- processors -------------------------------------------------------------------------------------------------------


def test_processors_drop_and_rewrite(recorder, names):
    def without_health(spans):
        return None if spans[-1].name == "health" else spans

    def rename(spans):
        for span in spans:
            span.name = span.name.upper()
        return [span for span in spans if span.name != "NOISE"]

    recorder.processors = (without_health, rename)
    with recorder.start("health"):
        pass
    with recorder.start("root"), recorder.start("noise"):
        pass
    assert names() == [["ROOT"]]
    recorder.processors = (lambda spans: [],)
    with recorder.start("root"):
        pass
    assert names() == []


def clear_and_raise(spans):
    spans.clear()
    raise ValueError("broken")


@pytest.mark.parametrize(
    "broken",
    [clear_and_raise, lambda: None, lambda spans: 5, lambda spans: spans[7], lambda spans: iter(lambda: spans.x, 1)],
)
def test_processors_that_fail_are_passed_over(recorder, names, broken, capsys):
    recorder.processors = (broken, lambda spans: spans)
    for _ in range(3):
        with recorder.start("root"), recorder.start("child"):
            pass
    assert names() == [["child", "root"]] * 3 and recorder.processor_errors == 3
    assert capsys.readouterr().err.count("processor failed") == 1


def test_a_processor_may_answer_strange_things(recorder, names):
    recorder.processors = (lambda spans: [None, 5, *spans, "x"],)
    with recorder.start("root"):
        pass
    assert names() == [["root"]]


def test_a_processor_may_break_the_spans(recorder, names):
    def broken(spans):
        for span in spans:
            span.attributes = None
        return spans

    recorder.processors = (broken,)
    with recorder.start("root"):
        pass
    recorder.processors = ()
    with recorder.start("next"):
        pass
    # What is broken is sent without attributes, or is dropped and counted; what follows is whole.
    found = names()
    assert found[-1] == ["next"] and len(found) + recorder.buffer.dropped_spans == 2


def test_a_processor_that_traces(recorder, names):
    def tracing(spans):
        if spans[0].name != "inner":
            with recorder.start("inner", parent=None):
                pass
        return spans

    recorder.processors = (tracing,)
    with recorder.start("root"):
        pass
    assert names() == [["inner"], ["root"]]
