"""Builders of wrappers: one for each kind of callable, each a plain closure round the original.

A wrapper is of the same kind as what it wraps (function, coroutine function, generator function ...), carries its name
and `__wrapped__`, and lets arguments, results and exceptions pass as they are. What fails on our side is counted in
the site's state, and the call runs untraced.
"""

from __future__ import annotations

from functools import update_wrapper
from types import CoroutineType, MethodType

from .._core import ACTIVE, SpanContext, active, set_active
from .._trace.decorate import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR, CO_ITERABLE_COROUTINE, function_flags
from .._trace.stepping import async_generator_wrapper, generator_wrapper
from .declare import Call, SpanStart
from .deferred import LATER, wait
from .results import ContextResult, IteratorResult, finish_with

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional, Tuple

    from .._core import Span
    from .status import Site

    Wrapper = Callable[..., Any]
    Begin = Callable[[Tuple[Any, ...], Dict[str, Any], bool], Optional[Call]]


def begin_span(site: Site, start: SpanStart, activate: bool = True) -> Span:
    """The span that a handler asked for, begun; its context is in the carrier. Used by the protocols as well."""
    span = site.recorder.start(
        start.name,
        start.resource,
        start.service or site.service,
        start.type,
        start.kind,
        start.attributes,
        site.name,
        site.layer,
        start.parent,
        activate,
    )
    if start.carrier is not None:
        _inject(site, span, start.carrier)
    return span


def _inject(site: Site, span: Span, carrier: Any) -> None:
    try:
        if carrier is LATER:
            wait(span)
        elif callable(carrier):
            site.tracer.propagation.inject(span, None, carrier)
        else:
            site.tracer.propagation.inject(span, carrier)
    except Exception as error:
        site.failed(error)


def inside_layer(layer: Optional[str]) -> bool:
    """Whether the active, open span is of `layer`: then a call of that layer gets no span of its own."""
    if layer is None:
        return False
    current = active()
    # A finished span may still be the parent, of a task that it started and that goes on for long.
    return current is not None and current.layer == layer and current.live


def _beginner(site: Site) -> Begin:
    """`begin(args, kwargs, activate)`: the call whose span has begun, or None. All that is paid before each call."""
    handler, layer, bound, options = site.hook.handler, site.layer, site.bound, site.options
    record, service, component = site.recorder.start, site.service, site.name

    def begin(args: Tuple[Any, ...], kwargs: Dict[str, Any], activate: bool) -> Optional[Call]:
        if site.off:
            return None
        current: Any = active()
        if current is not None and layer is not None and current.layer == layer and current.live:  # as `inside_layer`
            return None
        try:
            call = Call(args[0], args[1:], kwargs, options) if bound else Call(None, args, kwargs, options)
            if current is not None and current.__class__ is not SpanContext and not current.trace.recording:
                call.recording = False
            start = handler(call)
            if start is None:
                return None
            if start.__class__ is tuple:
                name, resource, own, type, kind, attributes, carrier = start
                span = record(
                    name, resource, own or service, type, kind, attributes, component, layer, ACTIVE, activate
                )
                if carrier is not None:
                    _inject(site, span, carrier)
            else:
                span = begin_span(site, start, activate)
            call.span = span
        except Exception as error:
            site.failed(error)
            return None
        return call

    return begin


def _leaver(site: Site) -> Callable[[Call, Any], None]:
    after, stream = site.hook.extra.get("after"), site.hook.extra.get("stream")

    def leave(call: Call, result: Any) -> None:
        span = call.span
        try:
            if after is not None:
                after(call, result)
            if stream is not None and stream(call, result, finish_with(span)):
                span.detach()
                return
        except Exception as error:
            site.failed(error)
        span.finish()

    return leave


def _failer(site: Site) -> Callable[[Call, BaseException], None]:
    failed = site.hook.extra.get("failed")

    def fail(call: Call, error: BaseException) -> None:
        call.span.fail(error)
        if failed is not None:
            try:
                failed(call, error)
            except Exception as fault:
                site.failed(fault)
        call.span.finish()

    return fail


def build_trace(site: Site) -> Wrapper:
    """The wrapper of a `trace` hook, by the kind of the original."""
    flags = function_flags(site.original)
    if flags & CO_ASYNC_GENERATOR or (flags & CO_GENERATOR and not flags & CO_ITERABLE_COROUTINE):
        begin = _beginner(site)

        def begin_inactive(args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Optional[Span]:
            call = begin(args, kwargs, False)
            return None if call is None else call.span

        build = async_generator_wrapper if flags & CO_ASYNC_GENERATOR else generator_wrapper
        return build(begin_inactive, site.original)
    if flags & CO_COROUTINE:
        return _coroutine(site)
    returns = site.hook.returns
    if returns == "awaitable":
        return _awaitable(site)
    if returns in ("context", "iterator"):
        return _held(site, ContextResult if returns == "context" else IteratorResult)
    return _function(site)


def _function(site: Site) -> Wrapper:
    """`begin` is written out here: this wrapper is the one that the shortest and most frequent calls have."""
    original, handler, layer, bound, options = site.original, site.hook.handler, site.layer, site.bound, site.options
    record, service, component = site.recorder.start, site.service, site.name
    fail, leave = _failer(site), _leaver(site)
    simple = site.hook.extra.get("after") is None and site.hook.extra.get("stream") is None

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if site.off:
            return original(*args, **kwargs)
        current: Any = active()
        if current is not None and layer is not None and current.layer == layer and current.live:
            return original(*args, **kwargs)
        try:
            call = Call(args[0], args[1:], kwargs, options) if bound else Call(None, args, kwargs, options)
            if current is not None and current.__class__ is not SpanContext and not current.trace.recording:
                call.recording = False
            start = handler(call)
            if start.__class__ is tuple:
                name, resource, own, type, kind, attributes, carrier = start
                span = record(name, resource, own or service, type, kind, attributes, component, layer)
                if carrier is not None:
                    _inject(site, span, carrier)
            else:
                span = None if start is None else begin_span(site, start)  # type: ignore[assignment]
            call.span = span
        except Exception as error:
            site.failed(error)
            span = None
        if span is None:
            return original(*args, **kwargs)
        if call.changed is not None:
            args = call.changed
        try:
            result = original(*args, **kwargs) if kwargs else original(*args)
        except BaseException as error:
            fail(call, error)
            raise
        if simple:
            span.finish()
        else:
            leave(call, result)
        return result

    return wrapper


def _coroutine(site: Site) -> Wrapper:
    original, begin, leave, fail = site.original, _beginner(site), _leaver(site), _failer(site)

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = begin(args, kwargs, True)
        if call is None:
            return await original(*args, **kwargs)
        if call.changed is not None:
            args = call.changed
        try:
            result = await original(*args, **kwargs)
        except BaseException as error:
            fail(call, error)
            raise
        leave(call, result)
        return result

    return wrapper


def _awaitable(site: Site) -> Wrapper:
    """For a plain function whose result may be a coroutine or a future; other results end the span at once."""
    original, begin, leave, fail = site.original, _beginner(site), _leaver(site), _failer(site)

    async def finish_coroutine(call: Call, coroutine: Any) -> Any:
        set_active(call.span)
        try:
            result = await coroutine
        except BaseException as error:
            fail(call, error)
            raise
        leave(call, result)
        return result

    def finish_future(call: Call, future: Any) -> None:
        try:
            error = future.exception()
        except BaseException as cancelled:  # a cancelled future raises instead of answering
            error = cancelled
        if error is not None:
            fail(call, error)
        else:
            leave(call, future.result())

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = begin(args, kwargs, False)
        if call is None:
            return original(*args, **kwargs)
        if call.changed is not None:
            args = call.changed
        before = set_active(call.span)
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            fail(call, error)
            raise
        finally:
            set_active(before)
        if isinstance(result, CoroutineType):
            return update_coroutine(finish_coroutine(call, result), result)
        if hasattr(result, "add_done_callback"):
            result.add_done_callback(lambda future: finish_future(call, future))
        else:
            leave(call, result)
        return result

    return wrapper


def update_coroutine(coroutine: Any, original: Any) -> Any:
    """Give `coroutine` the name of the one it awaits, which shows in task names and warnings."""
    coroutine.__name__ = original.__name__
    coroutine.__qualname__ = original.__qualname__
    return coroutine


def _held(site: Site, result_class: Any) -> Wrapper:
    original, begin, fail = site.original, _beginner(site), _failer(site)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = begin(args, kwargs, False)
        if call is None:
            return original(*args, **kwargs)
        if call.changed is not None:
            args = call.changed
        before = set_active(call.span)
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            fail(call, error)
            raise
        finally:
            set_active(before)
        return result_class(result, call.span)

    return wrapper


def _guarded(site: Site) -> Callable[..., None]:
    handler, bound, options = site.hook.handler, site.bound, site.options

    def run(args: Tuple[Any, ...], kwargs: Dict[str, Any], *result: Any) -> None:
        if site.off:
            return
        try:
            call = Call(args[0], args[1:], kwargs, options) if bound else Call(None, args, kwargs, options)
            handler(call, *result)
        except Exception as error:
            site.failed(error)

    return run


def build_before(site: Site) -> Wrapper:
    """The wrapper of a `before` hook."""
    original, run = site.original, _guarded(site)
    if function_flags(original) & CO_COROUTINE:

        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            run(args, kwargs)
            return await original(*args, **kwargs)

        return coroutine

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        run(args, kwargs)
        return original(*args, **kwargs)

    return wrapper


def build_after(site: Site) -> Wrapper:
    """The wrapper of an `after` hook."""
    original, run = site.original, _guarded(site)
    if function_flags(original) & CO_COROUTINE:

        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            result = await original(*args, **kwargs)
            run(args, kwargs, result)
            return result

        return coroutine

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        run(args, kwargs, result)
        return result

    return wrapper


def build_wrap(site: Site) -> Wrapper:
    """The wrapper of a `wrap` hook: the handler is called as `handler(original, call)`, `original` bound."""
    original, handler, bound, options = site.original, site.hook.handler, site.bound, site.options
    if site.hook.extra.get("build"):
        return handler(site)  # type: ignore[no-any-return]

    def prepare(args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
        if bound:
            return MethodType(original, args[0]), Call(args[0], args[1:], kwargs, options)
        return original, Call(None, args, kwargs, options)

    if function_flags(handler) & CO_COROUTINE:

        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            if site.off or (bound and not args):
                return await original(*args, **kwargs)
            return await handler(*prepare(args, kwargs))

        return coroutine

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if site.off or (bound and not args):
            return original(*args, **kwargs)
        return handler(*prepare(args, kwargs))

    return wrapper


def dress(wrapper: Any, original: Any) -> Any:
    """Give the wrapper the original's name, docstring, attributes and `__wrapped__`."""
    return update_wrapper(wrapper, original)
