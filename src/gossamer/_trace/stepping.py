"""Generators under a span: it is active while their body runs, not while their consumer does.

What was active inside at a `yield` is active again at the next step; what the consumer has active stays so.
"""

from __future__ import annotations

from .._core import Span, set_active

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, AsyncGenerator, Callable, Generator, Optional

    Begin = Callable[[Any, Any], Optional[Span]]


def generator_wrapper(begin: Begin, function: Callable[..., Any]) -> Callable[..., Any]:
    """A generator function round `function`; `begin(args, kwargs)` gives the begun, inactive span, or None."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        span = begin(args, kwargs)
        generator = function(*args, **kwargs)
        if span is None:
            return (yield from generator)
        return (yield from step(span, generator))

    return wrapper


def step(span: Span, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run `generator` to its end under the begun, inactive `span`, and finish it then."""
    inside: Any = span
    resume: Any = generator.send
    argument: Any = None
    try:
        while True:
            outside = set_active(inside)
            try:
                item = resume(argument)
            except StopIteration as stop:
                return stop.value
            finally:
                inside = set_active(outside)
            try:
                argument = yield item
                resume = generator.send
            except GeneratorExit:
                generator.close()
                raise
            except BaseException as error:
                resume, argument = generator.throw, error
    except BaseException as error:
        span.fail(error)
        raise
    finally:
        span.finish()


def async_generator_wrapper(begin: Begin, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same for an async generator function. It has no `yield from`, so the loop stands in the wrapper itself."""

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        span = begin(args, kwargs)
        generator = function(*args, **kwargs)
        inside: Any = span
        resume: Any = generator.asend
        argument: Any = None
        try:
            while True:
                outside = set_active(inside) if span is not None else None
                try:
                    item = await resume(argument)
                except StopAsyncIteration:
                    return
                finally:
                    if span is not None:
                        inside = set_active(outside)
                try:
                    argument = yield item
                    resume = generator.asend
                except GeneratorExit:
                    await generator.aclose()
                    raise
                except BaseException as error:
                    resume, argument = generator.athrow, error
        except BaseException as error:
            if span is not None:
                span.fail(error)
            raise
        finally:
            if span is not None:
                span.finish()

    return wrapper


def astep(span: Span, generator: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
    """`step` for an async generator."""
    return async_generator_wrapper(lambda args, kwargs: span, lambda: generator)()  # type: ignore[no-any-return]
