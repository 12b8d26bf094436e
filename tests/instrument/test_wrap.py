"""One builder for each kind of callable: what it traces, and that nothing else of the callable changes."""

import asyncio
import gc
import inspect
import pickle
import traceback

import pytest

from gossamer._core import SpanContext, current_span, set_active
from gossamer._instrument.declare import SpanStart

TARGET = "tests.instrument.sample:"


def simple(call):
    return SpanStart("op", resource=repr(call.args), attributes={"kwargs": repr(call.kwargs)})


def run(coroutine):
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


@pytest.fixture
def traced(bench):
    def install(target, **options):
        bench.integration.trace(TARGET + target, **options)(options.pop("handler", simple))
        bench.install()
        return bench.sample

    return install


class TestFunction:
    def test_span_and_result(self, bench, traced):
        sample = traced("function")
        assert sample.function("x", 5, 6, c=7, d=8) == "x-5"
        assert sample.SEEN == [("x", 5, (6,), 7, {"d": 8})]
        span = bench.span()
        assert (span.name, span.resource, span.service) == ("op", "('x', 5, 6)", "sampled")
        assert span.attributes["kwargs"] == "{'c': 7, 'd': 8}"
        assert span.integration == "sample" and not span.error

    def test_looks_like_the_original(self, bench, traced):
        original = bench.sample.function
        signature = inspect.signature(original)
        wrapped = traced("function").function
        assert wrapped is not original
        assert (wrapped.__name__, wrapped.__qualname__, wrapped.__module__) == (
            original.__name__, original.__qualname__, original.__module__,
        )  # fmt: skip
        assert wrapped.__doc__ == "Adds up." and wrapped.mark == "kept"
        assert inspect.signature(wrapped) == signature
        assert inspect.isfunction(wrapped) and not inspect.iscoroutinefunction(wrapped)
        assert wrapped.__annotations__ == original.__annotations__

    def test_exception_passes_unchanged(self, bench, traced):
        sample = traced("function")
        with pytest.raises(ValueError) as caught:
            sample.function("fail")
        assert caught.value.__cause__ is None and caught.value.__context__ is None
        assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "function"
        span = bench.span()
        assert span.error and span.status_message == "asked for"
        (event,) = span.events
        assert event.attributes["exception.type"] == "ValueError"
        assert "in function" in event.attributes["exception.stacktrace"]

    def test_wrong_arguments_raise_what_they_raised(self, bench, traced):
        sample = traced("function")
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'a'"):
            sample.function()

    def test_parent_and_children(self, bench):
        bench.integration.trace(TARGET + "outer")(lambda call: SpanStart("outer"))
        bench.integration.trace(TARGET + "function")(lambda call: SpanStart("inner"))
        bench.install()
        with bench.tracer.trace("root"):
            bench.sample.outer("x")
        inner, outer, root = bench.spans()
        assert (inner.parent_id, outer.parent_id) == (outer.span_id, root.span_id)
        assert inner.trace_id == root.trace_id

    def test_none_leaves_the_call_untraced(self, bench):
        bench.integration.trace(TARGET + "function")(lambda call: None)
        bench.install()
        assert bench.sample.function("x") == "x-2"
        assert bench.spans() == []

    def test_a_layer_gives_one_span(self, bench):
        bench.integration.trace(TARGET + "outer", layer="db")(lambda call: SpanStart("outer"))
        bench.integration.trace(TARGET + "function", layer="db")(lambda call: SpanStart("inner"))
        bench.install()
        bench.sample.outer("x")
        assert bench.span().name == "outer"
        bench.sample.function("x")
        assert bench.span().name == "inner"

    def test_a_layer_is_that_of_the_nearest_open_span(self, bench):
        bench.integration.trace(TARGET + "function", layer="db")(lambda call: SpanStart("inner"))
        bench.install()
        outer = bench.tracer.recorder.start("outer", layer="db")
        with bench.tracer.trace("between"):
            bench.sample.function("x")
        bench.sample.function("x")
        outer.finish()
        bench.sample.function("x")
        assert [span.name for span in bench.spans()] == ["inner", "between", "outer", "inner"]

    def test_after_and_failed(self, bench):
        def after(call, result):
            call.span.set_attribute("result", result)

        def failed(call, error):
            call.span.set_attribute("code", 7)

        bench.integration.trace(TARGET + "function", after=after, failed=failed)(simple)
        bench.install()
        bench.sample.function("x")
        with pytest.raises(ValueError):
            bench.sample.function("fail")
        good, bad = bench.spans()
        assert good.attributes["result"] == "x-2" and bad.attributes["code"] == 7

    def test_stream_keeps_the_span_open_but_not_active(self, bench):
        dones = []

        def stream(call, result, done):
            dones.append(done)
            return True

        bench.integration.trace(TARGET + "function", stream=stream)(simple)
        bench.install()
        with bench.tracer.trace("root") as root:
            bench.sample.function("x")
            assert current_span() is root
        assert [span.name for span in bench.spans()] == []
        dones[0](KeyError("late"))
        dones[0]()
        assert [span.name for span in bench.spans()] == ["root", "op"]

    def test_carrier_gets_the_context(self, bench):
        def handler(call):
            headers = dict(call.argument(0, "headers") or {})
            call.kwargs["headers"] = headers
            return SpanStart("op", kind="client", carrier=headers)

        bench.integration.trace(TARGET + "carries")(handler)
        bench.install()
        given = {"mine": "1"}
        sent = bench.sample.carries(headers=given)
        span = bench.span()
        assert given == {"mine": "1"} and sent["mine"] == "1"
        assert "%016x" % span.span_id in sent["traceparent"]


class TestHandlerFailure:
    def test_the_call_runs_and_the_hook_takes_itself_out(self, bench, caplog):
        calls = []

        def broken(call):
            calls.append(call)
            raise RuntimeError("ours")

        bench.integration.trace(TARGET + "function")(broken)
        bench.install()
        for _ in range(15):
            assert bench.sample.function("x") == "x-2"
        assert len(calls) == 10
        (site,) = bench.status.sites
        assert site.off and bench.status.hooks == [(TARGET + "function", "removed", "RuntimeError: ours")]
        assert bench.spans() == []

    def test_failing_after_still_finishes(self, bench):
        bench.integration.trace(TARGET + "function", after=lambda call, result: 1 / 0)(simple)
        bench.install()
        assert bench.sample.function("x") == "x-2"
        assert bench.span().duration is not None

    def test_broken_carrier(self, bench):
        class Carrier(dict):
            def __setitem__(self, key, value):
                raise RuntimeError("no")

        bench.integration.trace(TARGET + "function")(lambda call: SpanStart("op", carrier=Carrier()))
        bench.install()
        assert bench.sample.function("x") == "x-2"
        assert bench.span().name == "op"


class TestMethods:
    def test_method(self, bench, traced):
        sample = traced("Thing.method")
        thing = sample.Thing()
        assert thing.method("a", b=3) == (thing, "a", 3)
        assert bench.span().resource == "('a',)"
        assert thing.method.__self__ is thing
        assert sample.Thing.method(thing, "a") == (thing, "a", 1)
        with pytest.raises(TypeError):
            sample.Thing.method()

    def test_partial_method_and_super(self, bench, traced):
        sample = traced("Thing.method")
        assert sample.Derived().method("a")[1:] == ("a", 1)
        assert bench.span().name == "op"

    def test_static_and_class_method(self, bench):
        bench.integration.trace(TARGET + "Thing.static")(simple)
        bench.integration.trace(TARGET + "Thing.of_class")(lambda call: SpanStart(call.instance.__name__))
        bench.install()
        sample = bench.sample
        assert sample.Thing.static(1) == sample.Thing().static(1) == ("static", 1)
        assert sample.Derived.of_class(1) == (sample.Derived, 1)
        assert isinstance(vars(sample.Thing)["static"], staticmethod)
        assert isinstance(vars(sample.Thing)["of_class"], classmethod)
        assert [span.name for span in bench.spans()] == ["op", "op", "Derived"]

    def test_inherited_method_is_wrapped_where_it_was_named(self, bench, traced):
        sample = traced("Thing.inherited")
        assert sample.Base().inherited(1) == ("inherited", 1)
        assert bench.spans() == []
        assert sample.Thing().inherited(1) == ("inherited", 1)
        assert bench.span().name == "op"
        bench.engine.uninstall()
        assert "inherited" not in vars(sample.Thing)

    def test_c_method(self, bench, traced):
        sample = traced("Listy.append")
        listy = sample.Listy()
        assert listy.append(1) is None and listy == [1]
        assert bench.span().resource == "(1,)"
        assert [].append is not None and isinstance(listy, list)

    def test_instances_pickle(self, bench, traced):
        sample = traced("Thing.method")
        assert isinstance(pickle.loads(pickle.dumps(sample.Thing())), sample.Thing)
        assert pickle.loads(pickle.dumps(sample.Thing.method)) is sample.Thing.method


class TestCoroutine:
    def test_stays_a_coroutine_function(self, bench, traced):
        sample = traced("coroutine")
        assert inspect.iscoroutinefunction(sample.coroutine) and asyncio.iscoroutinefunction(sample.coroutine)
        assert run(sample.coroutine(4)) == 8
        assert bench.span().resource == "(4,)"

    def test_error_and_cancellation(self, bench, traced):
        sample = traced("coroutine")
        with pytest.raises(ValueError):
            run(sample.coroutine(1, fail=True))
        assert bench.span().error

        async def cancel():
            task = asyncio.ensure_future(sample.coroutine(1))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        run(cancel())
        span = bench.span()
        assert not span.error and span.attributes["cancelled"] is True

    def test_concurrent_calls_are_siblings(self, bench, traced):
        sample = traced("coroutine")

        async def both():
            with bench.tracer.trace("root"):
                await asyncio.gather(sample.coroutine(1), sample.coroutine(2))

        run(both())
        one, two, root = bench.spans()
        assert one.parent_id == two.parent_id == root.span_id

    def test_method(self, bench, traced):
        thing = traced("Thing.amethod").Thing()
        assert run(thing.amethod(1)) == (thing, 1)
        assert bench.span().name == "op"


class TestGenerator:
    def test_lasts_until_exhausted_and_is_active_inside_only(self, bench, traced):
        sample = traced("generator")
        assert inspect.isgeneratorfunction(sample.generator)
        iterator = sample.generator(2)
        assert inspect.isgenerator(iterator)
        with bench.tracer.trace("consumer") as consumer:
            assert next(iterator) == 0
            assert current_span() is consumer
        assert next(iterator) == 1
        assert [span.name for span in bench.spans()] == []
        with pytest.raises(StopIteration) as stop:
            next(iterator)
        assert stop.value.value == "returned"
        assert {span.name for span in bench.spans()} == {"op", "consumer"}

    def test_send_throw_close(self, bench, traced):
        sample = traced("generator")
        iterator = sample.generator(3)
        next(iterator)
        assert iterator.send("hello") == 1
        error = KeyError("thrown")
        assert iterator.throw(error) == "recovered"
        iterator.close()
        assert sample.SEEN == ["hello", error, "closed"]
        assert not bench.span().error

    def test_error(self, bench, traced):
        sample = traced("generator")
        with pytest.raises(ValueError):
            list(sample.generator(1, fail=True))
        assert bench.span().error

    def test_abandoned(self, bench, traced):
        sample = traced("generator")
        iterator = sample.generator(3)
        next(iterator)
        del iterator
        gc.collect()
        assert bench.span().duration is not None and sample.SEEN == ["closed"]
        assert current_span() is None


class TestAsyncGenerator:
    def test_lasts_until_exhausted(self, bench, traced):
        sample = traced("async_generator")
        assert inspect.isasyncgenfunction(sample.async_generator)

        async def consume():
            return [item async for item in sample.async_generator(3)]

        assert run(consume()) == [0, 1, 2]
        assert not bench.span().error

    def test_send_close_and_error(self, bench, traced):
        sample = traced("async_generator")

        async def consume():
            generator = sample.async_generator(3)
            await generator.__anext__()
            assert current_span() is None
            await generator.asend("hello")
            await generator.aclose()
            with pytest.raises(ValueError):
                async for _ in sample.async_generator(1, fail=True):
                    pass

        run(consume())
        closed, failed = bench.spans()
        assert not closed.error and failed.error
        assert sample.SEEN == ["hello", "closed", "closed"]


class TestResults:
    def test_awaitable(self, bench, traced):
        sample = traced("awaitable", returns="awaitable")

        async def use():
            assert await sample.awaitable(1) == 2
            assert await sample.awaitable(2, "future") == 4
            assert sample.awaitable(3, "plain") == 3
            with pytest.raises(ValueError):
                await sample.awaitable(4, "fail")
            future = sample.awaitable(5, "future")
            assert isinstance(future, asyncio.Future)
            future.cancel()
            await asyncio.wait([future])
            await asyncio.sleep(0)

        run(use())
        spans = bench.spans()
        assert [span.resource for span in spans] == [
            "(1,)", "(2, 'future')", "(3, 'plain')", "(4, 'fail')", "(5, 'future')",
        ]  # fmt: skip
        assert [span.error for span in spans] == [False, False, False, True, False]

    def test_context_manager(self, bench, traced):
        sample = traced("context", returns="context")
        with sample.context() as value:
            assert value == "value" and current_span().name == "op"
        with pytest.raises(ValueError), sample.context():
            raise ValueError("inside")
        assert sample.SEEN == ["enter", "exit"] * 2
        good, bad = bench.spans()
        assert not good.error and bad.error
        assert current_span() is None

    def test_async_context_manager(self, bench, traced):
        sample = traced("async_context", returns="context")

        async def use():
            async with sample.async_context() as value:
                assert value == "value" and current_span().name == "op"

        run(use())
        assert bench.span().name == "op"

    def test_iterator(self, bench, traced):
        sample = traced("iterator", returns="iterator")
        iterator = sample.iterator(2)
        assert next(iterator) == 0
        assert bench.spans() == []
        assert list(iterator) == [1]
        assert bench.span().name == "op"


class TestOtherVerbs:
    def test_before_and_after(self, bench):
        seen = []
        bench.integration.before(TARGET + "function")(lambda call: seen.append(call.argument(1, "b", 2)))
        bench.integration.after(TARGET + "coroutine")(lambda call, result: seen.append(result))
        bench.install()
        assert bench.sample.function("x", b=4) == "x-4"
        assert inspect.iscoroutinefunction(bench.sample.coroutine)
        assert run(bench.sample.coroutine(3)) == 6
        assert seen == [4, 6] and bench.spans() == []

    def test_wrap(self, bench):
        @bench.integration.wrap(TARGET + "Thing.method")
        def handler(original, call):
            return original(*call.args, **call.kwargs) + ("wrapped",)

        @bench.integration.wrap(TARGET + "coroutine")
        async def async_handler(original, call):
            return await original(*call.args, **call.kwargs) + 1

        bench.install()
        thing = bench.sample.Thing()
        assert thing.method("a") == (thing, "a", 1, "wrapped")
        assert run(bench.sample.coroutine(3)) == 7
        assert inspect.iscoroutinefunction(bench.sample.coroutine)

    def test_loaded_and_undo(self, bench):
        seen = []
        bench.integration.loaded(
            "tests.instrument.sample", undo=lambda module: seen.append("undone")
        )(lambda module, site: seen.append((module, site.name)))
        bench.install()
        assert seen == [(bench.sample, "sample")]
        bench.engine.uninstall()
        assert seen[1:] == ["undone"]


def test_context_is_not_left_behind(bench, traced):
    sample = traced("function")
    set_active(None)
    sample.function("x")
    assert current_span() is None


class TestFields:
    """A handler may answer a tuple instead of a `SpanStart`."""

    @pytest.mark.parametrize("target, options", [("function", {}), ("function", {"after": print}), ("coroutine", {})])
    def test_they_say_the_same(self, bench, target, options):
        sent = {}
        fields = ("op", "what", None, "custom", "client", {"a": 1}, sent)
        bench.integration.trace(TARGET + target, **options)(lambda call: fields)
        bench.install()
        result = getattr(bench.sample, target)("x")
        if target == "coroutine":
            run(result)
        span = bench.span()
        assert (span.name, span.resource, span.service) == ("op", "what", "sampled")
        assert (span.type, span.kind, span.attributes, span.integration) == ("custom", "client", {"a": 1}, "sample")
        assert sent["traceparent"].split("-")[2] == "%016x" % span.span_id

    def test_service_of_their_own(self, bench):
        bench.integration.trace(TARGET + "function")(lambda call: ("op", None, "mine", None, "internal", {}, None))
        bench.install()
        bench.sample.function("x")
        assert bench.span().service == "mine"

    def test_a_broken_tuple_leaves_the_call_untraced(self, bench):
        bench.integration.trace(TARGET + "function")(lambda call: ("op", "what"))
        bench.install()
        assert bench.sample.function("x") == "x-2"
        assert bench.spans() == [] and bench.status.sites[0].failures == 1 and current_span() is None


class TestRecording:
    def test_a_call_knows_whether_anything_is_recorded(self, bench):
        seen = []

        def handler(call):
            seen.append(call.recording)
            return SpanStart("op")

        bench.integration.trace(TARGET + "function")(handler)
        bench.integration.trace(TARGET + "coroutine")(handler)
        bench.install()
        bench.sample.function("x")
        with bench.tracer.trace("kept"):
            bench.sample.function("x")
        bench.tracer.recorder.enabled = False
        with bench.tracer.trace("dropped"):
            bench.sample.function("x")
            run(bench.sample.coroutine(1))
        with bench.tracer.activate(SpanContext(5, 6)):
            bench.sample.function("x")
        assert seen == [True, True, False, False, True]


class TestBuild:
    def test_the_handler_makes_the_wrapper(self, bench):
        @bench.integration.wrap(TARGET + "Thing.method", build=True)
        def handler(site):
            def wrapper(*args, **kwargs):
                result = site.original(*args, **kwargs)
                return result if site.off else result + ("built",)

            return wrapper

        bench.install()
        thing = bench.sample.Thing()
        assert thing.method("a") == (thing, "a", 1, "built") and bench.sample.Thing.method.__name__ == "method"
        kept = bench.sample.Thing.method
        bench.engine.uninstall()
        assert kept(thing, "a") == thing.method("a") == (thing, "a", 1)
