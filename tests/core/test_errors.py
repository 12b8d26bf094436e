"""Failed operations: what is recorded of an exception, and which exceptions are failures."""

from __future__ import annotations

import asyncio

import pytest


class Broken(Exception):
    def __str__(self):
        raise RuntimeError("str")

    __repr__ = __str__


class BrokenClassAttributes(Exception):
    __module__ = 5
    code = property(lambda self: 1 / 0)


class Silent(SystemExit):
    @property
    def code(self):
        raise RuntimeError("code")


def fail(recorder, error):
    with pytest.raises(type(error)) as caught:
        with recorder.start("x") as span:
            raise error
    assert caught.value is error
    return span


def exception(span):
    (event,) = span.events
    assert event.name == "exception"
    return event.attributes


def test_an_exception_is_recorded_and_goes_on(recorder):
    span = fail(recorder, ValueError("no"))
    facts = exception(span)
    assert span.error and span.status_message == "no" and span.duration is not None
    assert facts["exception.type"] == "ValueError" and facts["exception.message"] == "no"
    stack = facts["exception.stacktrace"]
    assert stack.startswith("Traceback") and "raise error" in stack and stack.endswith("ValueError: no\n")


def test_the_type_has_its_module(recorder):
    assert exception(fail(recorder, Broken()))["exception.type"] == __name__ + ".Broken"


def test_causes_are_in_the_stack(recorder):
    with pytest.raises(KeyError):
        with recorder.start("x") as span:
            try:
                try:
                    raise ValueError("first")
                except ValueError as error:
                    raise TypeError("second") from error
            except TypeError:
                raise KeyError("third")
    stack = exception(span)["exception.stacktrace"]
    assert stack.index("ValueError: first") < stack.index("TypeError: second") < stack.index("KeyError: 'third'")


def test_a_cycle_of_causes(recorder):
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert "one" in exception(fail(recorder, one))["exception.stacktrace"]


def test_a_deep_recursion_is_cut(recorder):
    def deep(n):
        return deep(n + 1)

    with pytest.raises(RecursionError):
        with recorder.start("x") as span:
            deep(0)
    assert len(exception(span)["exception.stacktrace"]) <= 21000


def test_long_messages_and_stacks_are_cut(recorder):
    span = fail(recorder, ValueError("m" * 100000))
    assert len(span.status_message) == 1000
    assert len(exception(span)["exception.message"]) <= 25000
    assert len(exception(span)["exception.stacktrace"]) <= 21000


@pytest.mark.parametrize(
    "error", [Broken(), BrokenClassAttributes("x"), Silent(3)], ids=lambda error: type(error).__name__
)
def test_broken_exceptions(recorder, error):
    span = fail(recorder, error)
    assert span.error and span.duration is not None


@pytest.mark.parametrize("error", [GeneratorExit(), SystemExit(), SystemExit(0), SystemExit(None)])
def test_leaving_early_is_no_failure(recorder, error):
    span = fail(recorder, error)
    assert not span.error and span.events is None and span.duration is not None


@pytest.mark.parametrize("error", [SystemExit(1), SystemExit("message"), KeyboardInterrupt()])
def test_ends_that_are_failures(recorder, error):
    span = fail(recorder, error)
    assert span.error and exception(span)["exception.type"] == type(error).__name__


def test_cancellation_is_no_failure(recorder):
    async def main():
        async def work():
            with recorder.start("x") as span:
                spans.append(span)
                await asyncio.sleep(60)

        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    spans = []
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    (span,) = spans
    assert not span.error and span.attributes == {"cancelled": True} and span.duration is not None


def test_by_hand(recorder):
    with recorder.start("x") as span:
        span.record_exception(ValueError("handled"), {"retry": 1})
        assert not span.error and exception(span)["retry"] == 1
        assert exception(span)["exception.stacktrace"] == "ValueError: handled\n"  # never raised: no frames
        span.set_error("it failed")
        assert span.error and span.status_message == "it failed" and len(span.events) == 1
    with recorder.start("y") as span:
        span.set_error()
        assert span.error and span.status_message == ""
        span.set_error(KeyError("k"))
        assert span.status_message == "'k'" and exception(span)["exception.type"] == "KeyError"
        span.record_exception("not an exception")
        span.record_exception(ValueError)
        assert len(span.events) == 1
