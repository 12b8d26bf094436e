"""The DB-API (PEP 249), sync or with coroutines: a span for each statement, commit and rollback.

Connections and cursors stay of the driver's types. In the order of preference:

* the driver takes a class to make its connections from (`factory=` of sqlite3): it gets a subclass of it;
* its classes are Python's: the connection becomes an instance of a subclass when `connect` has returned;
* else a proxy stands before the connection (`dbapi_proxy`).

Options of the hook: `prefix` of the operation names ("sqlite": `sqlite.query`, `sqlite.connection.commit`), `factory`,
the (index, name) of the argument of `connect`, `limit`, the longest text of a statement.
"""

from __future__ import annotations

import sys

from ..._trace.decorate import CO_COROUTINE, function_flags
from ..conventions import db
from ..declare import Call, SpanStart
from ..wrap import begin_span, dress, inside_layer

if False:
    from typing import Any, Callable, Dict, Optional, Tuple

    from ..._core import Span
    from ..status import Site

    Method = Callable[..., Any]

STATEMENTS = ("execute", "executemany", "executescript", "callproc")
TRANSACTIONS = ("commit", "rollback")
FACTS = "_gossamer"
"""Where connections and cursors keep the attributes of their connection."""
_MARK = "_gossamer_connect"


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

    def base_classes(self) -> Tuple[Any, Any]:
        """Traced subclasses of the driver's own connection and cursor, under which those of users are put."""
        if self.bases[0] is None:
            from .dbapi_factory import connection_base, cursor_base

            module = sys.modules[self.site.hook.module]
            cursor = cursor_base(self, module.Cursor)  # type: ignore[attr-defined]
            connection = connection_base(self, module.Connection, cursor)  # type: ignore[attr-defined]
            self.bases = (connection, cursor)
        return self.bases

    def adopt(self, thing: Any, facts: Dict[str, Any], is_cursor: bool) -> Any:
        """`thing`, a connection or cursor of the driver, traced: as an instance of a subclass, or behind a proxy."""
        if thing is None or hasattr(thing, FACTS):
            return thing
        kind = type(thing)
        known = self.cursors if is_cursor else self.connections
        if kind not in known:
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
        from .dbapi_proxy import proxy

        return proxy(self, thing, facts, is_cursor)


def subclass(like: type, bases: Tuple[type, ...], namespace: Dict[str, Any]) -> Optional[type]:
    """A class under the names of `like`, so that nobody notices; None where there can be none."""
    names = {"__module__": like.__module__, "__qualname__": like.__qualname__, "__doc__": like.__doc__}
    try:
        return type(like)(like.__name__, bases, dict(names, **namespace))  # type: ignore[no-any-return]
    except Exception:
        return None


def build(site: Site) -> Method:
    """The wrapper of `connect`. The hook's handler answers the facts of the connection, or None."""
    driver = Driver(site)
    original, handler = site.original, site.hook.handler
    if hasattr(original, _MARK):  # the same function under a second name, taken from the module that we had wrapped

        def again(*args: Any, **kwargs: Any) -> Any:
            return original(*args, **kwargs)

        return again

    def facts_of(args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        if site.off:
            return None
        try:
            call = Call(args[0], args[1:], kwargs, site.options) if site.bound else Call(None, args, kwargs, site.options)
            return handler(call)  # type: ignore[no-any-return]
        except Exception as error:
            site.failed(error)
            return None

    def traced(connection: Any, facts: Dict[str, Any]) -> Any:
        try:
            if hasattr(type(connection), FACTS):
                if getattr(connection, FACTS) is None:
                    setattr(connection, FACTS, facts)
                return connection
            if driver.factory is None:
                return driver.adopt(connection, facts, False)
        except Exception as error:
            site.failed(error)
        return connection

    if function_flags(original) & CO_COROUTINE:

        async def connect_async(*args: Any, **kwargs: Any) -> Any:
            facts = facts_of(args, kwargs)
            connection = await original(*args, **kwargs)
            return connection if facts is None else traced(connection, facts)

        setattr(connect_async, _MARK, True)
        return connect_async

    def connect(*args: Any, **kwargs: Any) -> Any:
        facts = facts_of(args, kwargs)
        if facts is None:
            return original(*args, **kwargs)
        if driver.factory is not None:
            try:
                from .dbapi_factory import with_factory

                args, kwargs = with_factory(driver, args, kwargs)
            except Exception as error:
                site.failed(error)
        return traced(original(*args, **kwargs), facts)

    setattr(connect, _MARK, True)
    return connect


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
