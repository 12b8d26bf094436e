"""What the connections and cursors of one DB-API driver are made with: spans, traced methods, traced classes."""

from __future__ import annotations

from ..._trace.decorate import CO_COROUTINE, function_flags
from ..conventions import db
from ..declare import SpanStart
from ..wrap import begin_span, dress, inside_layer
from .dbapi_proxy import FACTS, proxy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional, Tuple

    from ..._core import Span
    from ..status import Site

    Method = Callable[..., Any]

STATEMENTS = ("execute", "executemany", "executescript", "callproc")
TRANSACTIONS = ("commit", "rollback")
MAX_CLASSES = 500
"""So many are remembered: a program may make a class for each call."""


class Driver:
    """What the classes of one driver share: the site of its hook, and the classes made for it.

    Attributes:
        traced: class of the driver -> its traced subclass, None where there can be none.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        extra = site.hook.extra
        self.prefix: str = extra.get("prefix") or site.name
        self.query = self.prefix + ".query"
        self.limit: int = extra.get("limit", 5000)
        self.factory: Optional[Tuple[int, str]] = extra.get("factory")
        self.connections: Dict[type, Optional[type]] = {}
        self.cursors: Dict[type, Optional[type]] = {}
        self.proxies: Dict[Any, Any] = {}
        self.bases: Tuple[Any, Any] = (None, None)

    # -- spans ----------------------------------------------------------------------------------------------------

    def begin(self, holder: Any, statement: object, parameters: Any = None) -> Optional[Span]:
        """The begun, active span of a statement on a cursor; None where there shall be none."""
        facts = getattr(holder, FACTS, None)
        site = self.site
        if facts is None or site.off or inside_layer(site.layer):
            return None
        try:
            start = db.query(self.query, statement, facts, self.limit)
            if parameters is not None and hasattr(parameters, "__len__"):
                start.attributes["db.operation.batch.size"] = len(parameters)
            return begin_span(site, start)
        except Exception as error:
            site.failed(error)
            return None

    def begin_transaction(self, holder: Any, operation: str) -> Optional[Span]:
        """The same for "commit" or "rollback" of a connection."""
        facts = getattr(holder, FACTS, None)
        site = self.site
        if facts is None or site.off or inside_layer(site.layer):
            return None
        try:
            attributes = facts.copy()
            attributes["db.operation.name"] = operation.upper()
            start = SpanStart("%s.connection.%s" % (self.prefix, operation), None, "client", None, None, attributes)
            return begin_span(site, start)
        except Exception as error:
            site.failed(error)
            return None

    # -- methods --------------------------------------------------------------------------------------------------

    def connection_methods(self, kind: type, original: Callable[[type, str], Any]) -> Dict[str, Any]:
        """Traced methods for connections of `kind`; `original` gives the method that they call."""
        methods: Dict[str, Any] = {FACTS: None}
        for name in TRANSACTIONS:
            if hasattr(kind, name):
                methods[name] = _transaction(self, original(kind, name), name)
        if hasattr(kind, "cursor"):
            methods["cursor"] = _cursor(self, original(kind, "cursor"))
        return methods

    def cursor_methods(self, kind: type, original: Callable[[type, str], Any]) -> Dict[str, Any]:
        """Traced methods for cursors of `kind`."""
        methods: Dict[str, Any] = {FACTS: None}
        for name in STATEMENTS:
            if hasattr(kind, name):
                methods[name] = _statement(self, original(kind, name), name)
        return methods

    # -- classes --------------------------------------------------------------------------------------------------

    def adopt(self, thing: Any, facts: Dict[str, Any], is_cursor: bool) -> Any:
        """`thing`, a connection or cursor of the driver, traced: as an instance of a subclass, or behind a proxy."""
        if thing is None or hasattr(thing, FACTS):
            return thing
        kind = type(thing)
        known = self.cursors if is_cursor else self.connections
        if kind not in known:
            if len(known) >= MAX_CLASSES:
                known.clear()
            methods = (self.cursor_methods if is_cursor else self.connection_methods)(kind, getattr)
            known[kind] = subclass(kind, (kind,), methods)
        traced = known[kind]
        if traced is not None:
            try:
                thing.__class__ = traced
                setattr(thing, FACTS, facts)
                return thing
            except (TypeError, AttributeError):
                if type(thing) is traced:
                    thing.__class__ = kind
                known[kind] = None
        return proxy(self, thing, facts, is_cursor)


def subclass(like: type, bases: Tuple[type, ...], namespace: Dict[str, Any]) -> Optional[type]:
    """A class under the names of `like`, so that nobody notices; None where there can be none."""
    names = {"__module__": like.__module__, "__qualname__": like.__qualname__, "__doc__": like.__doc__}
    try:
        return type(like)(like.__name__, bases, dict(names, **namespace))
    except Exception:
        return None


def _statement(driver: Driver, original: Any, name: str) -> Method:
    many = name == "executemany"

    def begin(cursor: Any, args: Tuple[Any, ...]) -> Optional[Span]:
        if not args:
            return None
        return driver.begin(cursor, args[0], args[1] if many and len(args) > 1 else None)

    if function_flags(original) & CO_COROUTINE:

        async def execute_async(self: Any, *args: Any, **kwargs: Any) -> Any:
            span = begin(self, args)
            if span is None:
                return await original(self, *args, **kwargs)
            try:
                result = await original(self, *args, **kwargs)
            except BaseException as error:
                span.fail(error)
                span.finish()
                raise
            _finish(span, self)
            return result

        return dress(execute_async, original)  # type: ignore[no-any-return]

    def execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        span = begin(self, args)
        if span is None:
            return original(self, *args, **kwargs)
        try:
            result = original(self, *args, **kwargs)
        except BaseException as error:
            span.fail(error)
            span.finish()
            raise
        _finish(span, self)
        return result

    return dress(execute, original)  # type: ignore[no-any-return]


def _finish(span: Span, cursor: Any) -> None:
    try:
        db.rows(span, cursor.rowcount)
    except Exception:  # a driver may refuse, or not know the attribute
        pass
    span.finish()


def _transaction(driver: Driver, original: Any, operation: str) -> Method:
    if function_flags(original) & CO_COROUTINE:

        async def run_async(self: Any, *args: Any, **kwargs: Any) -> Any:
            span = driver.begin_transaction(self, operation)
            if span is None:
                return await original(self, *args, **kwargs)
            with span:
                return await original(self, *args, **kwargs)

        return dress(run_async, original)  # type: ignore[no-any-return]

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        span = driver.begin_transaction(self, operation)
        if span is None:
            return original(self, *args, **kwargs)
        with span:
            return original(self, *args, **kwargs)

    return dress(run, original)  # type: ignore[no-any-return]


def _cursor(driver: Driver, original: Any) -> Method:
    def adopt(connection: Any, cursor: Any) -> Any:
        facts = getattr(connection, FACTS, None)
        if facts is None:
            return cursor
        try:
            return driver.adopt(cursor, facts, True)
        except Exception as error:
            driver.site.failed(error)
            return cursor

    if function_flags(original) & CO_COROUTINE:

        async def make_async(self: Any, *args: Any, **kwargs: Any) -> Any:
            return adopt(self, await original(self, *args, **kwargs))

        return dress(make_async, original)  # type: ignore[no-any-return]

    def make(self: Any, *args: Any, **kwargs: Any) -> Any:
        return adopt(self, original(self, *args, **kwargs))

    return dress(make, original)  # type: ignore[no-any-return]
