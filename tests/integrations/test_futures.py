"""concurrent.futures: the active span goes with what is submitted, and nothing else changes."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait

import pytest

import gossamer

variable = contextvars.ContextVar("variable", default="unset")


@pytest.fixture(autouse=True)
def instrumented(patched):
    patched("futures", "threads")


@pytest.fixture
def pool():
    with ThreadPoolExecutor(1) as pool:
        yield pool


def work(*args, **kwargs):
    with gossamer.trace("work"):
        return args, kwargs


def test_parent_goes_along(pool, spans):
    with gossamer.trace("outer") as outer:
        future = pool.submit(work, 1, 2, parent=3, fn=4)
        assert future.result() == ((1, 2), {"parent": 3, "fn": 4})
    inner = spans.one("work")
    assert inner.parent_id == outer.span_id and inner.trace.trace_id == outer.trace.trace_id
    assert len(spans) == 2


def test_the_worker_is_clean_afterwards(pool, spans):
    with gossamer.trace("outer") as outer:
        pool.submit(work).result()
        assert pool.submit(gossamer.current_span).result() is outer
    assert pool.submit(gossamer.current_span).result() is None
    pool.submit(work).result()
    assert [span.parent_id for span in spans.find("work")] == [outer.span_id, 0]


def test_a_span_left_open_does_not_stay_in_the_worker(pool, spans):
    def leave_open():
        return gossamer.start_span("open", activate=True)

    with gossamer.trace("outer") as outer:
        left = pool.submit(leave_open).result()
        assert pool.submit(gossamer.current_span).result() is outer
    assert pool.submit(gossamer.current_span).result() is None
    left.finish()


def test_map(spans):
    with ThreadPoolExecutor(4) as pool:
        with gossamer.trace("outer") as outer:
            assert list(pool.map(lambda a, b: work(a, b)[0], range(20), range(20))) == [(n, n) for n in range(20)]
    assert {span.parent_id for span in spans.find("work")} == {outer.span_id} and len(spans) == 21


def test_many_requests_at_once(spans):
    with ThreadPoolExecutor(8) as pool:

        def request(number):
            with gossamer.trace("request", resource=str(number)) as span:
                futures = [shared.submit(work) for _ in range(3)]
                wait(futures)
                return span.span_id

        with ThreadPoolExecutor(4) as shared:
            ids = list(pool.map(request, range(20)))
    for span_id in ids:
        assert sum(span.parent_id == span_id for span in spans) == 3


def test_exceptions_results_and_cancelling(pool, spans):
    error = ValueError("mine")

    def fail():
        raise error

    with gossamer.trace("outer"):
        future = pool.submit(fail)
        assert future.exception() is error
        with pytest.raises(TypeError):
            pool.submit()
        with pytest.raises(TypeError):
            pool.submit(work, 1).result() and pool.submit(lambda: None, 1).result()
        gate = threading.Event()
        blocked, waiting = pool.submit(gate.wait, 5), pool.submit(work)
        assert waiting.cancel()
        gate.set()
        assert blocked.result() is True
    assert not spans.one("outer").error


def test_context_variables_of_the_program_stay(pool):
    variable.set("set")
    with gossamer.trace("outer"):
        assert pool.submit(variable.get).result() == "unset"
        pool.submit(variable.set, "by the worker").result()
        assert pool.submit(variable.get).result() == "by the worker"  # as without tracing: the thread's own context
    assert variable.get() == "set"
    variable.set("unset")


def test_run_in_executor(spans):
    async def main():
        loop = asyncio.get_running_loop()
        with gossamer.trace("outer"):
            await loop.run_in_executor(None, work)
            if hasattr(asyncio, "to_thread"):
                await asyncio.to_thread(work)

    asyncio.run(main())
    assert {span.parent_id for span in spans.find("work")} == {spans.one("outer").span_id}


def test_processes_are_left_alone(spans):
    with ProcessPoolExecutor(1) as pool, gossamer.trace("outer"):
        assert pool.submit(max, 1, 2).result(timeout=30) == 2


def test_signature_and_unpatch(pool, spans):
    assert "kwargs" in inspect.signature(ThreadPoolExecutor.submit).parameters
    gossamer.unpatch()
    with gossamer.trace("outer"):
        pool.submit(work).result()
    assert spans.one("work").parent_id == 0
