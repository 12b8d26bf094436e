"""Threads and forked processes: every finished span comes out exactly once, in the process in which it began."""

from __future__ import annotations

import collections
import os
import pickle
import sys
import threading

import pytest

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


# -- threads ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def switching():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def at_once(count, work):
    errors = []

    def guarded(number):
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


@pytest.mark.parametrize("partial", [300, 7])
def test_eight_threads_in_one_trace(recorder, taken, switching, partial):
    recorder.buffer.max_bytes = 10**9
    recorder.partial_flush_min_spans = partial
    made = []

    def work(number):
        for n in range(1000):
            with recorder.start("a", parent=root) as a:
                with recorder.start("b") as b:
                    assert b.parent is a
            made.extend((a.span_id, b.span_id))

    root = recorder.start("root")
    at_once(8, work)
    root.finish()
    found = collections.Counter(span.span_id for chunk in taken() for span in chunk)
    assert set(found.values()) == {1}
    assert set(found) == set(made) | {root.span_id}


def test_a_trace_that_ends_while_threads_begin(recorder, taken, switching):
    recorder.buffer.max_bytes = 10**9
    made = []

    def work(number):
        for _ in range(300):
            root = recorder.start("root", parent=None)
            ready = threading.Barrier(2)

            def other():
                ready.wait()
                with recorder.start("late", parent=root) as span:
                    made.append(span.span_id)

            thread = threading.Thread(target=other)
            thread.start()
            ready.wait()
            root.finish()
            made.append(root.span_id)
            thread.join()

    at_once(2, work)
    found = collections.Counter(span.span_id for chunk in taken() for span in chunk)
    assert set(found.values()) == {1} and set(found) == set(made) and len(made) == 1200


def test_two_threads_end_the_same_span(recorder, taken, switching):
    spans = [recorder.start("x", parent=None, activate=False) for _ in range(3000)]
    ready = threading.Barrier(4)

    def work(number):
        ready.wait()
        for span in spans:
            span.finish()

    at_once(4, work)
    found = collections.Counter(span.span_id for chunk in taken() for span in chunk)
    assert set(found.values()) == {1} and len(found) == 3000


def test_a_writer_takes_while_threads_put(recorder, switching):
    recorder.buffer.max_bytes = 10**9
    done = threading.Event()
    seen = collections.Counter()

    def take():
        while True:
            last = done.is_set()
            batch = recorder.buffer.swap()
            if batch is not None:
                seen.update(span.span_id for chunk in batch for span in chunk.spans)
            elif last:
                return

    def work(number):
        for _ in range(2000):
            with recorder.start("x", parent=None):
                pass

    writer = threading.Thread(target=take)
    writer.start()
    at_once(4, work)
    done.set()
    writer.join()
    assert len(seen) == 8000 and set(seen.values()) == {1} and recorder.buffer.dropped_spans == 0


def test_the_bound_holds_for_threads(core, switching):
    buffer = core.Buffer(200000)
    recorder = core.Recorder(buffer)

    def work(number):
        for _ in range(3000):
            with recorder.start("x", parent=None):
                pass

    at_once(8, work)
    # Counters that take no lock lose an increment now and then; 24000 spans would be a hundred times the bound.
    assert sum(chunk.size for chunk in buffer.swap()) <= 200000 * 2


# -- fork -------------------------------------------------------------------------------------------------------------


def in_child(function):
    """What `function` answers in a forked child."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(read)
            with os.fdopen(write, "wb") as pipe:
                pickle.dump(function(), pipe)
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return pickle.loads(answer)


def facts(chunks):
    return [
        [(span.name, span.trace_id, span.span_id, span.parent_id, span.parent is None) for span in chunk]
        for chunk in chunks
    ]


@needs_fork
def test_a_fork_in_the_middle_of_a_trace(recorder, taken):
    root = recorder.start("root")
    with recorder.start("before"):
        pass
    middle = recorder.start("middle")

    def child():
        recorder.buffer.clear()
        with recorder.start("in the child"):
            with recorder.start("below"):
                pass
        with recorder.start("second"):
            pass
        middle.finish()
        root.finish()
        return facts(taken())

    chunks = in_child(child)
    # The child sends what began in it, as children of what was active, and nothing that its parent will send.
    assert [[span[0] for span in chunk] for chunk in chunks] == [["below", "in the child"], ["second"]]
    assert {span[1] for chunk in chunks for span in chunk} == {root.trace_id}
    assert chunks[0][1][3] == chunks[1][0][3] == middle.span_id and chunks[0][0][3] == chunks[0][1][2]
    middle.finish()
    root.finish()
    assert [span[0] for span in facts(taken())[0]] == ["before", "middle", "root"]


@needs_fork
def test_a_fork_inside_a_with_block(core, recorder, names):
    def child():
        recorder.buffer.clear()
        with recorder.start("own"):
            pass
        try:
            return names()
        finally:
            root.__exit__(None, None, None)
            assert core.active() is None

    with recorder.start("root") as root:
        assert in_child(child) == [["own"]]
    assert names() == [["root"]]


@needs_fork
def test_new_traces_in_a_child(recorder, names):
    with recorder.start("root"):
        pass

    def child():
        recorder.buffer.clear()
        with recorder.start("a"), recorder.start("b"):
            pass
        return names()

    assert in_child(child) == [["b", "a"]]
    assert names() == [["root"]]


@needs_fork
def test_forks_while_threads_trace(recorder):
    recorder.buffer.max_bytes = 10**8
    stop = threading.Event()

    def work():
        while not stop.is_set():
            with recorder.start("x", parent=None), recorder.start("y"):
                pass
            recorder.buffer.swap()

    def child():
        recorder.buffer.clear()
        for _ in range(50):
            with recorder.start("x", parent=None), recorder.start("y"):
                pass
        return recorder.buffer.swap().span_count

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert [in_child(child) for _ in range(10)] == [100] * 10
    finally:
        stop.set()
        for thread in threads:
            thread.join()
