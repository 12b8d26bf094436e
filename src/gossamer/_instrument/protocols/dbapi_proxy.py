"""A proxy before a connection or cursor that can be neither subclassed in place nor made from a class of ours.

It passes for the original: `isinstance`, attributes, comparison and iteration are the original's.
"""

from __future__ import annotations

from ..._trace.decorate import CO_COROUTINE, function_flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict

    from .dbapi_driver import Driver, Facts

FACTS = "_gossamer"
"""Where connections and cursors keep the `Facts` of their connection. The busiest places say `._gossamer`."""

_OWN = frozenset(("__wrapped__", FACTS))


class Proxy:
    """Passes everything on to `__wrapped__`."""

    __slots__ = ("__wrapped__", FACTS, "__weakref__")

    def __init__(self, wrapped: Any, facts: Facts) -> None:
        object.__setattr__(self, "__wrapped__", wrapped)
        object.__setattr__(self, FACTS, facts)

    @property
    def __class__(self) -> Any:
        return self.__wrapped__.__class__

    @__class__.setter
    def __class__(self, kind: Any) -> None:
        self.__wrapped__.__class__ = kind

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "__wrapped__"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self.__wrapped__, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.__wrapped__, name)

    def __dir__(self) -> Any:
        return dir(self.__wrapped__)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __eq__(self, other: object) -> bool:
        return bool(self.__wrapped__ == getattr(other, "__wrapped__", other))

    def __hash__(self) -> int:
        return hash(self.__wrapped__)


def _special(name: str) -> Any:
    def call(self: Any, *args: Any) -> Any:
        wrapped = self.__wrapped__
        result = getattr(wrapped, name)(*args)
        return self if result is wrapped else result

    return call


def _async_special(name: str) -> Any:
    async def call(self: Any, *args: Any) -> Any:
        wrapped = self.__wrapped__
        result = await getattr(wrapped, name)(*args)
        return self if result is wrapped else result

    return call


_SPECIAL = (
    "__enter__",
    "__exit__",
    "__iter__",
    "__next__",
    "__aiter__",
    "__anext__",
    "__len__",
    "__call__",
    "__bool__",
)
_ASYNC_SPECIAL = ("__aenter__", "__aexit__")


def _through(kind: type, name: str) -> Any:
    """The method `name` of what is wrapped; where it answers its own object, the proxy stands for that."""
    method = getattr(kind, name)
    if function_flags(method) & CO_COROUTINE:

        async def call_async(self: Any, *args: Any, **kwargs: Any) -> Any:
            wrapped = self.__wrapped__
            result = await getattr(wrapped, name)(*args, **kwargs)
            return self if result is wrapped else result

        call_async.__doc__ = method.__doc__
        return call_async

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        wrapped = self.__wrapped__
        result = getattr(wrapped, name)(*args, **kwargs)
        return self if result is wrapped else result

    call.__doc__ = method.__doc__
    return call


def proxy(driver: Driver, thing: Any, facts: Facts, is_cursor: bool) -> Any:
    """A proxy before `thing`, a connection or cursor."""
    kind = type(thing)
    key = (kind, is_cursor)
    known = driver.proxies.get(key)
    if known is None:
        make: Callable[..., Dict[str, Any]] = driver.cursor_methods if is_cursor else driver.connection_methods
        methods = make(kind, _through)
        del methods[FACTS]
        methods["__slots__"] = ()
        for names, special in ((_SPECIAL, _special), (_ASYNC_SPECIAL, _async_special)):
            methods.update((name, special(name)) for name in names if hasattr(kind, name))
        known = driver.proxies[key] = type(kind.__name__, (Proxy,), methods)
    return known(thing, facts)
