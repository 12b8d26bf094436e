"""What the connections and cursors of one DB-API driver are made with: spans, traced methods, traced classes."""

from __future__ import annotations

from ..._core import SpanContext, active
from ..._trace.decorate import CO_COROUTINE, function_flags
from ..conventions.sql import known, normalize
from ..wrap import dress, inside_layer
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


_STATEMENT_NAMES = ("query", "operation", "sql", "statement", "procname", "sql_script")
"""What drivers call the statement, for callers who pass it by name."""


class Facts:
    """What the spans on one connection have in common.

    Attributes:
        common: the attributes that all have.
        statement: the same with room for those that each statement sets: a copy of that need not grow.
        known: statement -> (its text for a span, the operation).
    """

    __slots__ = ("common", "statement", "known", "system")

    def __init__(self, common: Dict[str, Any]) -> None:
        self.common = common
        self.statement = dict(common, **{"db.query.text": "", "db.operation.name": ""})
        self.system = common["db.system.name"]
        self.known = known(self.system)


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

    def beginner(self, many: bool) -> Callable[[Tuple[Any, ...], Dict[str, Any]], Optional[Span]]:
        """`begin(args, kwargs)` for the methods of cursors: the begun, active span, None where there shall be none."""
        site, name, limit, layer = self.site, self.query, self.limit, self.site.layer
        record, service, component = site.recorder.start, site.service, site.name

        def begin(args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Optional[Span]:
            try:
                facts = args[0]._gossamer  # FACTS
            except (AttributeError, IndexError):  # without its `self`, or with a wrong one: the driver will say so
                return None
            if facts is None or site.off:
                return None
            current: Any = active()
            if current is not None:
                if layer is not None and current.layer == layer and current.live:
                    return None
                if current.__class__ is not SpanContext and not current.trace.recording:
                    return None
            try:
                statement = args[1] if len(args) > 1 else named_statement(kwargs)
                if statement is None:
                    return None
                found = facts.known.get(statement) if statement.__class__ is str else None
                shown, operation = found or normalize(statement, facts.system, limit)
                if len(shown) > limit:
                    shown = shown[:limit]
                attributes = facts.statement.copy()
                attributes["db.query.text"] = shown
                if operation:
                    attributes["db.operation.name"] = operation
                else:
                    del attributes["db.operation.name"]
                if many and len(args) > 2 and hasattr(args[2], "__len__"):
                    attributes["db.operation.batch.size"] = len(args[2])
                return record(name, shown, service, "sql", "client", attributes, component, layer)
            except Exception as error:
                site.failed(error)
                return None

        return begin

    def begin_transaction(self, holder: Any, operation: str) -> Optional[Span]:
        """The span of "commit" or "rollback" of a connection."""
        facts = getattr(holder, FACTS, None)
        site = self.site
        if facts is None or site.off or inside_layer(site.layer):
            return None
        try:
            attributes = facts.common.copy()
            attributes["db.operation.name"] = operation.upper()
            name = "%s.connection.%s" % (self.prefix, operation)
            start = site.recorder.start
            return start(name, None, site.service, None, "client", attributes, site.name, site.layer)
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

    def adopt(self, thing: Any, facts: Facts, is_cursor: bool) -> Any:
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


def named_statement(kwargs: Dict[str, Any]) -> Any:
    """The statement of a call that passes it by name."""
    for name in _STATEMENT_NAMES:
        if name in kwargs:
            return kwargs[name]
    return None


def _statement(driver: Driver, original: Any, name: str) -> Method:
    begin = driver.beginner(name == "executemany")

    if function_flags(original) & CO_COROUTINE:

        async def execute_async(*args: Any, **kwargs: Any) -> Any:
            span = begin(args, kwargs)
            if span is None:
                return await original(*args, **kwargs)
            try:
                result = await original(*args, **kwargs)
            except BaseException as error:
                span.fail(error)
                span.finish()
                raise
            _count(span, args[0])
            span.finish()
            return result

        return dress(execute_async, original)  # type: ignore[no-any-return]

    def execute(*args: Any, **kwargs: Any) -> Any:
        span = begin(args, kwargs)
        if span is None:
            return original(*args, **kwargs)
        try:
            result = original(*args, **kwargs) if kwargs else original(*args)
        except BaseException as error:
            span.fail(error)
            span.finish()
            raise
        try:  # as `_count`
            count = args[0].rowcount
            if count.__class__ is int and count >= 0:
                span.attributes["db.response.returned_rows"] = count
        except Exception:
            pass
        span.finish()
        return result

    return dress(execute, original)  # type: ignore[no-any-return]


def _count(span: Span, cursor: Any) -> None:
    try:
        count = cursor.rowcount
        if count.__class__ is int and count >= 0:
            span.attributes["db.response.returned_rows"] = count
    except Exception:  # a driver may refuse, or not know the attribute
        pass


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
