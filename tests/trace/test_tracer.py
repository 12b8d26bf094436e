"""The public interface: `trace` as context manager and decorator, `start_span`, processors, activation."""

import asyncio
import inspect

import pytest

import gossamer
from gossamer._core import Recorder, current_span
from gossamer._trace.tracer import Tracer


@pytest.fixture
def tracer():
    return Tracer(Recorder())


def spans(tracer):
    batch = tracer.recorder.buffer.swap()
    return [span for chunk in batch or () for span in chunk.spans]


def run(coroutine):
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


def test_context_manager(tracer):
    with tracer.trace(
        "op", resource="r", service="s", type="web", kind="server", attributes={"a": 1, "b": None}
    ) as span:
        assert tracer.current_span() is span
    assert tracer.current_span() is None
    (span,) = spans(tracer)
    facts = (span.name, span.resource, span.service, span.type, span.kind, span.attributes)
    assert facts == ("op", "r", "s", "web", "server", {"a": 1})


def test_an_exception_is_recorded_and_passes(tracer):
    error = ValueError("no")
    with pytest.raises(ValueError) as caught, tracer.trace("op"):
        raise error
    assert caught.value is error
    (span,) = spans(tracer)
    assert span.error and span.events[0].name == "exception"


def test_nothing_starts_before_the_block(tracer):
    scope = tracer.trace("op")
    assert current_span() is None and scope.trace_id == 0
    scope.set_attribute("early", True)
    scope.finish()
    with scope:
        pass
    assert spans(tracer)[0].attributes == {"early": True}


def test_decorators_keep_the_kind(tracer):
    @tracer.trace
    def plain(a: int, b: int = 2) -> int:
        """Adds."""
        return a + b

    @tracer.trace("co")
    async def co(a):
        return a

    @tracer.trace("gen")
    def gen():
        yield 1
        return 2

    @tracer.trace("agen")
    async def agen():
        yield 1

    assert plain(1) == 3 and plain.__doc__ == "Adds." and list(inspect.signature(plain).parameters) == ["a", "b"]
    assert inspect.iscoroutinefunction(co) and run(co(5)) == 5
    assert inspect.isgeneratorfunction(gen) and list(gen()) == [1]
    assert inspect.isasyncgenfunction(agen)

    async def consume():
        return [item async for item in agen()]

    assert run(consume()) == [1]
    names = [span.name for span in spans(tracer)]
    assert names == ["test_decorators_keep_the_kind.<locals>.plain", "co", "gen", "agen"]


def test_each_call_has_a_span_of_its_own(tracer):
    @tracer.trace("op", attributes={"shared": 1})
    def recurse(n):
        current_span().set_attribute("n", n)
        return recurse(n - 1) if n else 0

    recurse(2)
    zero, one, two = spans(tracer)
    assert [span.attributes for span in (zero, one, two)] == [{"shared": 1, "n": n} for n in (0, 1, 2)]
    assert zero.parent_id == one.span_id and one.parent_id == two.span_id


def test_decorated_methods(tracer):
    class Shop:
        @tracer.trace("sell")
        def sell(self, item):
            return (self, item)

        @staticmethod
        @tracer.trace("static")
        def static(item):
            return item

        @classmethod
        @tracer.trace("class")
        def of_class(cls, item):
            return (cls, item)

    shop = Shop()
    assert shop.sell(1) == (shop, 1) and Shop.static(2) == 2 and Shop.of_class(3) == (Shop, 3)
    assert [span.name for span in spans(tracer)] == ["sell", "static", "class"]


def test_decorating_what_is_no_function(tracer):
    with pytest.raises(TypeError, match="decorates functions, not int"):
        tracer.trace("op")(3)


def test_start_span(tracer):
    span = tracer.start_span("job", start_time=1600000000000000000)
    assert current_span() is None
    child = tracer.start_span("child", parent=span, activate=True)
    assert current_span() is child
    child.finish()
    remote = tracer.start_span("other", parent=span.context)
    assert remote.trace_id == span.trace_id and remote.parent_id == span.span_id
    remote.finish()
    root = tracer.start_span("root", parent=None)
    assert root.trace_id != span.trace_id
    root.finish()
    span.finish(end_time=1600000001500000000)
    assert (span.start_time, span.duration) == (1600000000000000000, 1500000000)


@pytest.mark.parametrize("wrong", [3, "x", object(), [], b"x"])
def test_wrong_arguments_are_coerced(tracer, wrong):
    with tracer.trace(
        wrong, resource=wrong, service=wrong, type=wrong, kind=wrong, attributes=wrong, parent=wrong
    ) as span:
        span.set_attribute(wrong, wrong)
        span.set_attributes(wrong)
        span.add_event(wrong, wrong)
        span.add_link(wrong)
        span.record_exception(wrong)
        span.set_error(wrong)
        span.set_baggage(wrong, wrong)
    tracer.start_span(wrong, parent=wrong, start_time=wrong, activate=wrong).finish(wrong)
    for span in spans(tracer):
        assert isinstance(span.name, str) and isinstance(span.resource, (str, type(None))) and span.kind == "internal"
        assert all(isinstance(key, str) for key in span.attributes)


def test_activate(tracer):
    span = tracer.start_span("job")
    with tracer.activate(span) as active:
        assert active is span and current_span() is span
        with tracer.trace("inside"):
            pass
    assert current_span() is None
    span.finish()
    with tracer.activate(span.context), tracer.trace("late"):
        pass
    inside, job, late = spans(tracer)
    assert inside.parent_id == late.parent_id == job.span_id


def test_inject_and_extract(tracer):
    headers = {}
    with tracer.trace("client") as span:
        tracer.inject(headers)
    found = tracer.extract(headers)
    assert (found.trace_id, found.span_id, found.priority) == (span.trace_id, span.span_id, span.trace.priority)
    assert tracer.extract({}) is None
    empty = {}
    tracer.inject(empty)
    assert empty == {}


def test_processors(tracer):
    def rewrite(spans):
        for span in spans:
            span.resource = "rewritten"
        return [span for span in spans if span.name != "secret"]

    tracer.add_processor(rewrite)
    with tracer.trace("op"), tracer.trace("secret"):
        pass
    assert [(span.name, span.resource) for span in spans(tracer)] == [("op", "rewritten")]
    tracer.remove_processor(rewrite)
    tracer.add_processor(lambda spans: None)
    with tracer.trace("op"):
        pass
    assert spans(tracer) == []
    with pytest.raises(TypeError, match="a span processor is a function"):
        tracer.add_processor("x")


def test_manual_keep_and_drop(tracer):
    for key, priority in (("manual.keep", 2), ("manual.drop", -1)):
        with tracer.trace("op") as span:
            span.set_attribute(key, True)
        assert span.trace.priority == priority and span.trace.mechanism == 4 and key not in span.attributes


def test_the_module_is_the_tracer():
    with gossamer.trace("op") as span:
        assert gossamer.current_span() is span
        headers = {}
        gossamer.inject(headers)
        assert gossamer.extract(headers).span_id == span.span_id
    assert set(gossamer.__all__) <= set(dir(gossamer))


def test_concurrent_tasks_keep_to_themselves(tracer):
    async def work(name):
        with tracer.trace(name) as span:
            await asyncio.sleep(0)
            assert current_span() is span
            with tracer.trace(name + ".child") as child:
                await asyncio.sleep(0)
                assert child.parent is span

    async def main():
        await asyncio.gather(*[work(str(n)) for n in range(20)])

    run(main())
    assert len(spans(tracer)) == 40
