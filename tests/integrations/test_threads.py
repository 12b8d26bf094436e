"""Threads: the active span goes with a thread that is started for somebody."""

from __future__ import annotations

import _thread
import contextvars
import inspect
import logging
import logging.handlers
import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

import pytest

import gossamer

variable = contextvars.ContextVar("variable", default="unset")


@pytest.fixture(autouse=True)
def instrumented(patched):
    patched("threads")


def work(seen=None):
    with gossamer.trace("work") as span:
        if seen is not None:
            seen.append(span.parent)


def start_and_join(thread):
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_parent_goes_along(spans):
    with gossamer.trace("outer") as outer:
        start_and_join(threading.Thread(target=work))
        start_and_join(threading.Thread(target=work, daemon=True))
        with gossamer.trace("after"):
            pass
    assert [span.parent_id for span in spans.find("work")] == [outer.span_id] * 2
    assert spans.one("after").parent_id == outer.span_id
    start_and_join(threading.Thread(target=work))
    assert spans[-1].parent_id == 0


def test_the_parent_is_that_of_the_start(spans):
    with gossamer.trace("made"):
        thread = threading.Thread(target=work)
    with gossamer.trace("started") as started:
        start_and_join(thread)
    assert spans.one("work").parent_id == started.span_id


def test_subclass_that_overrides_run(spans):
    class Worker(threading.Thread):
        def run(self):
            work()

    with gossamer.trace("outer") as outer:
        worker = Worker()
        start_and_join(worker)
    assert spans.one("work").parent_id == outer.span_id
    assert not [name for name in vars(worker) if "gossamer" in name]


def test_timer(spans):
    with gossamer.trace("outer") as outer:
        timer = threading.Timer(0.01, work)
        timer.start()
        timer.join(10)
    assert spans.one("work").parent_id == outer.span_id


def test_thread_that_outlives_its_parent(spans):
    gate = threading.Event()

    def late():
        gate.wait(10)
        work()

    with gossamer.trace("outer") as outer:
        thread = threading.Thread(target=late)
        thread.start()
    gate.set()
    thread.join(10)
    assert spans.one("work").parent_id == outer.span_id
    assert spans.one("work").trace.trace_id == outer.trace.trace_id


def test_nested_threads(spans):
    def outer_thread():
        with gossamer.trace("middle"):
            start_and_join(threading.Thread(target=work))

    with gossamer.trace("outer"):
        start_and_join(threading.Thread(target=outer_thread))
    assert spans.one("work").parent.name == "middle" and spans.one("middle").parent.name == "outer"


def test_context_variables_of_the_program_stay():
    variable.set("set")
    seen = []
    with gossamer.trace("outer"):
        start_and_join(threading.Thread(target=lambda: seen.append(variable.get())))
    plain = []
    gossamer.unpatch()
    start_and_join(threading.Thread(target=lambda: plain.append(variable.get())))
    assert seen == plain
    variable.set("unset")


def test_threads_for_many_start_without(spans):
    with gossamer.trace("outer"):
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(gossamer.current_span).result() is None
        pool = ThreadPool(1)
        assert pool.apply(gossamer.current_span) is None
        pool.terminate()
        records = []
        handler = logging.Handler()
        handler.emit = lambda record: records.append(gossamer.current_span())
        listener = logging.handlers.QueueListener(queue.Queue(), handler)
        listener.start()
        listener.queue.put(logging.makeLogRecord({}))
        listener.stop()
        assert records == [None]


def test_our_own_threads_start_without():
    from gossamer._export.writer import Writer
    from gossamer.integrations.threads import is_shared

    thread = threading.Thread(target=Writer._run)
    assert is_shared(thread) and not is_shared(threading.Thread(target=work))


def test_plain_threads_are_left_alone(spans):
    done = threading.Event()

    def run():
        work()
        done.set()

    with gossamer.trace("outer"):
        _thread.start_new_thread(run, ())
        assert done.wait(10)
    assert spans.one("work").parent_id == 0


def test_errors_as_ever(spans):
    with gossamer.trace("outer"):
        thread = threading.Thread(target=work)
        start_and_join(thread)
        with pytest.raises(RuntimeError):
            thread.start()
    assert list(inspect.signature(threading.Thread.start).parameters) == ["self"]


def test_unpatched(spans):
    gossamer.unpatch()
    with gossamer.trace("outer"):
        start_and_join(threading.Thread(target=work))
    assert spans.one("work").parent_id == 0
