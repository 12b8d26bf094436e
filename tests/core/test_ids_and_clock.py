"""Ids, and the two clocks: monotonic for durations, wall for moments."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def ids_of(recorder, count):
    found = []
    for _ in range(count):
        with recorder.start("x", parent=None) as span:
            found.append((span.trace_id, span.span_id))
    return found


def in_child(function):
    """What `function` answers in a forked child, as text."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(read)
            with os.fdopen(write, "w") as pipe:
                pipe.write(function())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return text


def test_ids_fill_their_bits(recorder):
    found = ids_of(recorder, 500)
    spans = [span_id for _, span_id in found]
    assert all(0 < span_id < 2**64 for span_id in spans) and max(spans) > 2**62
    lows = [trace_id & 2**64 - 1 for trace_id, _ in found]
    assert all(lows) and max(lows) > 2**62 and len(set(lows)) == len(set(spans)) == 500
    now = time.time()
    for trace_id, _ in found:
        assert abs((trace_id >> 96) - now) < 5  # the upper half begins with the seconds
        assert not trace_id >> 64 & 0xFFFFFFFF


def test_64_bit_trace_ids(recorder):
    recorder.ids_128 = False
    assert all(0 < trace_id < 2**64 for trace_id, _ in ids_of(recorder, 100))


def test_children_share_the_trace_id(recorder):
    with recorder.start("a") as a, recorder.start("b") as b:
        assert b.trace_id == a.trace_id == b.trace.trace_id and b.span_id != a.span_id
        assert (b.parent, b.parent_id, a.parent, a.parent_id) == (a, a.span_id, None, 0)


def test_ids_are_unique_over_threads(recorder):
    found = []

    def work():
        found.extend(ids_of(recorder, 3000))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert len(found) == 24000
    assert len({span_id for _, span_id in found}) == len({trace_id for trace_id, _ in found}) == 24000


@needs_fork
def test_ids_are_unique_over_forks(recorder):
    def ids():
        return " ".join("%d,%d" % pair for pair in ids_of(recorder, 50))

    texts = [in_child(ids) for _ in range(4)] + [ids()]
    found = " ".join(texts).split()
    assert len(found) == len(set(found)) == 250


def test_times(recorder):
    before = time.time_ns()
    with recorder.start("x") as span:
        assert span.duration is None
        time.sleep(0.02)
    after = time.time_ns()
    slack = 3000000  # the two clocks are not read in the same moment
    assert before - slack <= span.start_time <= span.start_time + span.duration <= after + slack
    assert 20000000 <= span.duration <= after - before + slack


def test_given_times(recorder):
    begun = recorder.start("x", parent=None)
    begun.finish(begun.start_time + 5000)
    assert begun.duration == 5000
    early = recorder.start("x", parent=None)
    early.finish(early.start_time - 5000)
    assert early.duration == 0


def test_given_start(core, recorder):
    moment = 1600000000 * 10**9
    span = core.Span(recorder, "x").begin(None, True, moment)
    span.finish(moment + 42)
    assert (span.start_time, span.duration) == (moment, 42)


@pytest.mark.parametrize("wrong", ["x", float("nan"), float("inf"), -5, 2**70, object(), [1], b"1"])
def test_times_that_are_none(core, recorder, wrong):
    span = core.Span(recorder, "x").begin(None, True, wrong)
    assert abs(span.start_time - time.time_ns()) < 10**9
    span.add_event("e", time=wrong)
    assert abs(span.events[0].time - time.time_ns()) < 10**9
    span.finish(wrong)
    assert 0 <= span.duration < 10**9


def test_a_clock_that_is_set_back(core, recorder, monkeypatch, request):
    real = time.time_ns
    shift = [0]
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("gossamer._core") and hasattr(module, "time_ns"):
            monkeypatch.setattr(module, "time_ns", lambda: real() + shift[0])
    if core.NATIVE:
        request.addfinalizer(core.test_hooks)
        core.test_hooks(wall=lambda: real() + shift[0])
    with recorder.start("a") as a:
        shift[0] = -3600 * 10**9
        with recorder.start("b") as b:
            b.add_event("e")
    # Inside a trace everything stays in order ...
    assert 0 <= b.duration <= a.duration
    assert a.start_time <= b.start_time <= b.events[0].time <= b.start_time + b.duration <= a.start_time + a.duration
    # ... and new traces follow the clock, soon.
    deadline = time.monotonic() + 5
    while True:
        with recorder.start("c", parent=None) as c:
            pass
        if abs(c.start_time - (real() + shift[0])) < 10**9:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
