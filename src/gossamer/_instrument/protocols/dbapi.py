"""The DB-API (PEP 249), sync or with coroutines: a span for each statement, commit and rollback.

Connections and cursors stay of the driver's types. In the order of preference:

* the driver takes a class to make its connections from (`factory=` of sqlite3): it gets a subclass of it;
* its classes are Python's: the connection becomes an instance of a subclass when `connect` has returned;
* else a proxy stands before the connection (`dbapi_proxy`).

Options of the hook: `prefix` of the operation names ("sqlite": `sqlite.query`, `sqlite.connection.commit`), `factory`,
the (index, name) of the argument of `connect`, `limit`, the longest text of a statement.
"""

from __future__ import annotations

from ..._trace.decorate import CO_COROUTINE, function_flags
from ..declare import Call
from .dbapi_driver import Driver, Facts
from .dbapi_factory import with_factory
from .dbapi_proxy import FACTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional, Tuple

    from ..status import Site

_MARK = "_gossamer_connect"


def build(site: Site) -> Callable[..., Any]:
    """The wrapper of `connect`. The hook's handler answers the facts of the connection, or None."""
    driver = Driver(site)
    original, handler = site.original, site.hook.handler
    while hasattr(original, _MARK):  # under a second name, taken from the module that we had wrapped before
        original = original.__wrapped__

    def facts_of(args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Optional[Facts]:
        if site.off:
            return None
        try:
            instance, rest = (args[0], args[1:]) if site.bound else (None, args)
            common = handler(Call(instance, rest, kwargs, site.options))
            return None if common is None else Facts(common)
        except Exception as error:
            site.failed(error)
            return None

    def traced(connection: Any, facts: Facts) -> Any:
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
                args, kwargs = with_factory(driver, args, kwargs)
            except Exception as error:
                site.failed(error)
        return traced(original(*args, **kwargs), facts)

    setattr(connect, _MARK, True)
    return connect
