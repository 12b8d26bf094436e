"""`trace` as a decorator: one wrapper for each kind of function, which stays of that kind."""

from __future__ import annotations

from functools import update_wrapper

from .._core import Span
from .stepping import async_generator_wrapper, generator_wrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

CO_GENERATOR = 0x20
CO_COROUTINE = 0x80
CO_ITERABLE_COROUTINE = 0x100
CO_ASYNC_GENERATOR = 0x200


def function_flags(function: object) -> int:
    """The code flags of a Python function (also behind methods and `functools.partial`), 0 for anything else."""
    for _ in range(8):
        code = getattr(function, "__code__", None)
        if code is not None:
            return int(code.co_flags)
        function = getattr(function, "__func__", None) or getattr(function, "func", None)
        if function is None:
            break
    return 0


def decorate(function: Callable[..., Any], begin: Callable[..., Span]) -> Callable[..., Any]:
    """`function` with a span round each call; `begin()` answers a begun, active one, `begin(False)` an inactive one."""
    flags = function_flags(function)

    def begin_inactive(args: Any, kwargs: Any) -> Span:
        return begin(False)

    if flags & CO_ASYNC_GENERATOR:
        wrapper = async_generator_wrapper(begin_inactive, function)
    elif flags & CO_COROUTINE:

        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            with begin():
                return await function(*args, **kwargs)

    elif flags & CO_GENERATOR and not flags & CO_ITERABLE_COROUTINE:
        wrapper = generator_wrapper(begin_inactive, function)
    else:

        # Not `with`: looking up its two methods for each call costs more than the span.
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            span = begin()
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                span.__exit__(None, error, None)
                raise
            span.finish()
            return result

    return update_wrapper(wrapper, function)
