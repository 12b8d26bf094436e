"""Which span is active: the parent of what starts next, in whatever order and context things end."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from concurrent.futures import ThreadPoolExecutor


def run(coroutine):
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


def test_nested_and_siblings(core, recorder):
    assert core.active() is None and core.current_span() is None
    with recorder.start("a") as a:
        assert core.current_span() is core.active() is a
        with recorder.start("b") as b:
            with recorder.start("c") as c:
                assert core.active() is c
            assert core.active() is b
        with recorder.start("d") as d:
            assert (d.parent, c.parent, b.parent) == (a, b, a)
        assert core.active() is a
    assert core.active() is None
    with recorder.start("e") as e:
        assert e.parent is None and e.trace is not a.trace


def test_a_local_root_that_ends_leaves_nothing(core, recorder):
    root = recorder.start("root")
    child = recorder.start("child")
    root.finish()
    assert core.active() is None
    assert recorder.start("next").parent is None
    child.finish()


def test_out_of_order(core, recorder):
    with recorder.start("root") as root:
        a = recorder.start("a")
        b = recorder.start("b")
        a.finish()
        assert core.active() is b  # still open
        b.finish()
        assert core.active() is root


def test_a_span_can_be_begun_without_being_active(core, recorder):
    with recorder.start("root") as root:
        aside = recorder.start("aside", activate=False)
        assert aside.parent is root and core.active() is root
        with aside:
            assert core.active() is aside
        assert core.active() is root
    lone = recorder.start("lone", activate=False)
    with recorder.start("other") as other:
        assert other.parent is None
        lone.finish()
        assert core.active() is other


def test_an_explicit_parent(core, recorder):
    with recorder.start("a") as a:
        pass
    with recorder.start("b") as b:
        with recorder.start("under a", parent=a) as late:
            assert (late.parent, late.trace) == (a, a.trace)
            with recorder.start("below") as below:
                assert below.parent is late
        assert core.active() is b  # what it interrupted, not its parent
        with recorder.start("new", parent=None) as new:
            assert new.parent is None and new.trace is not b.trace
            with recorder.start("in new") as inner:
                assert inner.parent is new
        assert core.active() is b
        with recorder.start("next") as following:
            assert following.parent is b
    assert core.active() is None


def test_messages_processed_inside_a_span(core, recorder):
    with recorder.start("poll") as poll:
        for number in (5, 6):
            with recorder.start("process", parent=core.SpanContext(number, 7)) as span:
                assert (span.trace_id, span.parent_id) == (number, 7)
                with recorder.start("child") as child:
                    assert child.trace is span.trace
            assert core.active() is poll
        with recorder.start("ack") as ack:
            assert ack.parent is poll


# -- foreign contexts -------------------------------------------------------------------------------------------------


def test_an_active_context_is_the_parent(core, recorder):
    context = core.SpanContext(2**100 + 1, 7, 2, "rum", {"_dd.p.dm": "-4"}, "foo=1", {"k": "v"}, True)
    core.set_active(context)
    assert core.active() is context and core.current_span() is None
    for _ in range(2):
        with recorder.start("server") as span:
            trace = span.trace
            assert (span.trace_id, span.parent_id, span.parent, span.baggage) == (2**100 + 1, 7, None, {"k": "v"})
            assert (trace.priority, trace.origin, trace.tags, trace.tracestate) == (
                2,
                "rum",
                {"_dd.p.dm": "-4"},
                "foo=1",
            )
            with recorder.start("child") as child:
                assert child.parent is span
        assert core.active() is context  # and not the ended root
    core.set_active(None)
    assert core.active() is None


def test_a_context_without_a_trace_gives_its_baggage(core, recorder):
    with recorder.start("x", parent=core.SpanContext(0, 0, baggage={"k": "v"})) as span:
        assert span.trace_id and span.parent_id == 0 and span.baggage == {"k": "v"}
        with recorder.start("y") as child:
            assert child.baggage == {"k": "v"} and child.context.baggage == {"k": "v"}


def test_a_trace_whose_id_was_chosen_elsewhere(core, recorder):
    with recorder.start("x", parent=core.SpanContext(99, 0, 1)) as span:
        assert (span.trace_id, span.parent_id, span.trace.priority) == (99, 0, 1)


def test_the_context_of_a_span(core, recorder):
    with recorder.start(
        "x", parent=core.SpanContext(99, 7, 2, "rum", {"_dd.p.a": "1"}, "foo=1", is_remote=True)
    ) as span:
        context = span.context
        assert (context.trace_id, context.span_id, context.is_remote) == (99, span.span_id, False)
        assert (context.priority, context.origin, context.tags, context.tracestate) == (
            2,
            "rum",
            {"_dd.p.a": "1"},
            "foo=1",
        )
    assert core.Span(recorder, "not begun").context.trace_id == 0


def test_baggage_reaches_later_children_only(recorder):
    with recorder.start("a") as a:
        early = recorder.start("early", activate=False)
        a.set_baggage("k", "v")
        a.set_baggage(5, object)
        with recorder.start("b") as b:
            b.set_baggage("k", "w")
            assert b.baggage["k"] == "w"
        assert a.baggage["k"] == "v" and not early.baggage and a.baggage["5"]


# -- generators -------------------------------------------------------------------------------------------------------


def test_a_generator_closed_in_another_context(core, recorder):
    def stream():
        with recorder.start("stream"):
            yield 1
            yield 2

    with recorder.start("root") as root:
        generator = stream()
        next(generator)
        contextvars.Context().run(generator.close)
        assert core.active() is root
        with recorder.start("next") as following:
            assert following.parent is root


def test_a_generator_closed_by_the_collector(core, recorder):
    def stream():
        with recorder.start("stream"):
            yield 1

    with recorder.start("root") as root:
        next(stream())
        gc.collect()
        assert core.active() is root


def test_interleaved_generators(core, recorder):
    def stream(name):
        with recorder.start(name) as span:
            yield span
            yield span

    with recorder.start("root") as root:
        first, second = stream("first"), stream("second")
        one = next(first)
        two = next(second)
        assert one.parent is root
        first.close()
        assert core.active() is two
        second.close()
        assert core.active() is root


# -- asyncio ----------------------------------------------------------------------------------------------------------


def test_tasks_are_children_and_do_not_mix(core, recorder):
    async def work(name):
        with recorder.start(name) as span:
            await asyncio.sleep(0.001)
            with recorder.start(name + " inner") as inner:
                await asyncio.sleep(0.001)
                assert inner.parent is span
            return span

    async def main():
        with recorder.start("root") as root:
            spans = await asyncio.gather(*(work("task %d" % n) for n in range(20)))
            assert all(span.parent is root for span in spans)
            assert core.active() is root

    run(main())
    assert core.active() is None


def test_a_task_that_outlives_its_parent(core, recorder, names):
    async def late(event, parents):
        await event.wait()
        for _ in range(3):
            with recorder.start("late") as span:
                parents.append(span.parent)
                with recorder.start("below") as below:
                    assert below.parent is span

    async def main():
        event, parents = asyncio.Event(), []
        with recorder.start("root"):
            with recorder.start("handler") as handler:
                task = asyncio.ensure_future(late(event, parents))
                await asyncio.sleep(0)
        assert names() == [["handler", "root"]]
        event.set()
        await task
        assert parents == [handler] * 3  # side by side, not each under the last
        with recorder.start("next") as following:
            assert following.parent is None
        return handler

    run(main())
    assert names() == [["below", "late"]] * 3 + [["next"]]


def test_a_task_whose_parent_ended_before_its_root(core, recorder):
    async def work(event):
        with recorder.start("early"):
            pass
        await event.wait()
        with recorder.start("work") as span:
            return span

    async def main():
        event = asyncio.Event()
        with recorder.start("root") as root:
            with recorder.start("handler"):
                task = asyncio.ensure_future(work(event))
                await asyncio.sleep(0)
            event.set()
            assert (await task).parent is root  # the nearest that is open
        return root

    run(main())


def test_late_work_does_not_grow_a_chain(core, recorder):
    with recorder.start("root") as root:
        context = contextvars.copy_context()

    def depth(span):
        count = 0
        while span is not None:
            span, count = span.parent, count + 1
        return count

    def loop():
        for _ in range(200):
            with recorder.start("late") as span:
                pass
        return span

    last = context.run(loop)
    assert last.parent is root and depth(last) == 2
    recorder.buffer.clear()

    def nested():
        with recorder.start("outer"):
            with recorder.start("inner"):
                pass

    for _ in range(50):
        context.run(nested)
    assert depth(context.run(core.active)) <= 3


def test_two_event_loops_in_two_threads(core, recorder):
    results = []

    async def work(name):
        with recorder.start(name) as root:
            await asyncio.sleep(0.001)
            with recorder.start("child") as child:
                await asyncio.sleep(0.001)
            results.append((root, child))

    def thread(number):
        async def all_of_them():
            await asyncio.gather(*(work("%d.%d" % (number, n)) for n in range(10)))

        run(all_of_them())

    threads = [threading.Thread(target=thread, args=(n,)) for n in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(results) == 20
    assert all(child.parent is root and root.parent is None for root, child in results)
    assert len({root.trace_id for root, _ in results}) == 20


def test_cancellation_restores_the_parent(core, recorder):
    async def work():
        with recorder.start("work"):
            await asyncio.sleep(60)

    async def main():
        with recorder.start("root") as root:
            task = asyncio.ensure_future(work())
            await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass
            assert core.active() is root

    run(main())


# -- contexts and threads ---------------------------------------------------------------------------------------------


def test_copied_contexts(core, recorder):
    with recorder.start("root") as root:
        context = contextvars.copy_context()
        with recorder.start("inside"):
            assert context.run(core.active) is root
        inside = context.run(recorder.start, "in the copy")
        assert inside.parent is root and core.active() is root
        assert context.run(core.active) is inside
        inside.finish()  # here, while it is active there
        assert context.run(core.active) is root
    assert context.run(core.active).trace is root.trace  # late work stays in its trace
    assert core.active() is None


def test_a_root_that_ends_elsewhere_is_no_open_span(core, recorder):
    span = recorder.start("root")
    contextvars.Context().run(span.finish)
    with recorder.start("poll", parent=None) as poll:
        with recorder.start("x", parent=core.SpanContext(5, 6)):
            pass
        assert core.active() is poll


def test_a_thread_starts_with_nothing(core, recorder):
    with recorder.start("root") as root:
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(contextvars.Context().run, core.active).result() is None
            carried = contextvars.copy_context()
            assert pool.submit(carried.run, core.active).result() is root
            span = pool.submit(contextvars.copy_context().run, recorder.start, "there").result()
            assert span.parent is root
            span.finish()
        assert core.active() is root


def test_addresses_are_reused_without_harm(core, recorder):
    for _ in range(2000):
        with recorder.start("root") as root:
            with recorder.start("child") as child:
                assert child.parent is root and child.trace is root.trace
            del child
        recorder.buffer.clear()
        assert core.active() is None
        del root


# -- detach -----------------------------------------------------------------------------------------------------------


def test_detach(core, recorder, names):
    with recorder.start("server") as outer:
        body = recorder.start("body")
        with recorder.start("view"):
            pass
        body.detach()
        assert core.active() is outer and body.duration is None
        with recorder.start("next") as following:
            assert following.parent is outer
        with body:  # resumed
            assert core.active() is body
            with recorder.start("chunk") as chunk:
                assert chunk.parent is body
        assert core.active() is outer
    assert names() == [["view", "next", "chunk", "body", "server"]]


def test_a_detached_root(core, recorder, names):
    root = recorder.start("root")
    with recorder.start("view"):
        context = contextvars.copy_context()
    root.detach()
    assert core.active() is None
    with recorder.start("other") as other:
        assert other.parent is None
    with context.run(recorder.start, "task") as task:
        assert task.parent is root  # what was started inside stays inside
    root.finish()
    assert names() == [["other"], ["view", "task", "root"]]


def test_detach_what_is_not_active(core, recorder):
    aside = recorder.start("aside", activate=False)
    with recorder.start("root") as root:
        aside.detach()
        assert core.active() is root
    core.set_active(core.SpanContext(5, 6))
    aside.detach()
    assert core.active().trace_id == 5
    span = recorder.start("under it")
    span.detach()
    assert core.active().trace_id == 5
    span.finish()
    aside.finish()
