"""Drivers that take a class to make connections and cursors from, as sqlite3 does.

A user's class keeps its place: the traced class is put between it and the driver's own, so that its `super()` calls
reach the traced methods, with whatever cursor class it asks for.
"""

from __future__ import annotations

import sys

from ..wrap import dress
from .dbapi_driver import MAX_CLASSES, Driver, subclass
from .dbapi_proxy import FACTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Tuple


def base_classes(driver: Driver) -> Tuple[Any, Any]:
    """Traced subclasses of the driver's own connection and cursor, under which those of users are put."""
    if driver.bases[0] is None:
        module: Any = sys.modules[driver.site.hook.module]
        cursor = cursor_base(driver, module.Cursor)
        driver.bases = (connection_base(driver, module.Connection, cursor), cursor)
    return driver.bases


def cursor_base(driver: Driver, kind: type) -> type:
    """The traced subclass of the driver's cursor."""
    return subclass(kind, (kind,), driver.cursor_methods(kind, getattr)) or kind


def connection_base(driver: Driver, kind: Any, cursor_class: type) -> type:
    """The traced subclass of the driver's connection."""
    namespace = driver.connection_methods(kind, getattr)
    make, leave = kind.cursor, kind.__exit__

    def cursor(self: Any, *args: Any, **kwargs: Any) -> Any:
        facts = self._gossamer  # FACTS
        if facts is None:
            return make(self, *args, **kwargs)
        if not args and not kwargs:
            made = make(self, cursor_class)
        elif args:
            made = make(self, under(driver.cursors, args[0], cursor_class), *args[1:], **kwargs)
        else:
            if "factory" in kwargs:
                kwargs["factory"] = under(driver.cursors, kwargs["factory"], cursor_class)
            made = make(self, **kwargs)
        if isinstance(made, cursor_class):
            setattr(made, FACTS, facts)
        return made

    def __exit__(self: Any, *exception: Any) -> Any:
        try:
            pending = self.in_transaction
        except Exception:  # of a closed connection, or in the wrong thread: the original says so
            pending = False
        operation = "rollback" if exception and exception[0] is not None else "commit"
        span = driver.begin_transaction(self, operation) if pending else None
        if span is None:
            return leave(self, *exception)
        with span:
            return leave(self, *exception)

    if sys.version_info >= (3, 11):
        # The shortcuts of older versions ask `self.cursor()`; these make a cursor of their own kind.
        for name in ("execute", "executemany", "executescript"):
            if hasattr(kind, name):
                namespace[name] = _shortcut(getattr(kind, name), make, cursor_class, name)
    namespace["cursor"] = dress(cursor, make)
    namespace["__exit__"] = dress(__exit__, leave)
    return subclass(kind, (kind,), namespace) or kind


def _shortcut(original: Any, make: Any, cursor_class: Any, name: str) -> Any:
    method = getattr(cursor_class, name)

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        facts = self._gossamer  # FACTS
        if facts is None:
            return original(self, *args, **kwargs)
        cursor = make(self, cursor_class)
        cursor._gossamer = facts
        return method(cursor, *args, **kwargs)

    return dress(run, original)


def under(known: Dict[Any, Any], factory: Any, traced: type) -> Any:
    """`factory` with the `traced` class under it, where it is a class of the driver's kind; else as it is."""
    if not isinstance(factory, type):
        return factory
    if factory in traced.__mro__:
        return traced
    if issubclass(factory, traced) or not issubclass(factory, traced.__mro__[1]):
        return factory
    if factory not in known:
        if len(known) >= MAX_CLASSES:
            known.clear()
        known[factory] = subclass(factory, (factory, traced), {})
    return known[factory] or factory


def with_factory(driver: Driver, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Tuple[Any, Any]:
    """The arguments of `connect` with a traced class as the factory."""
    index, name = driver.factory  # type: ignore[misc]
    traced = base_classes(driver)[0]
    if len(args) > index:
        return args[:index] + (under(driver.connections, args[index], traced),) + args[index + 1 :], kwargs
    kwargs[name] = under(driver.connections, kwargs[name], traced) if name in kwargs else traced
    return args, kwargs
