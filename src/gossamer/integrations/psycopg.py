"""psycopg 3, sync and asyncio: statements, COPY, commit and rollback.

The methods of the library's own classes are traced, so that connections, cursors, pools and subclasses stay what they
are. A row that a server-side cursor fetches is part of no span.
"""

from __future__ import annotations

from gossamer.instrument import Call, Integration, Site, SpanContext, SpanStart, active, db

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional, Tuple

    from gossamer.instrument import Fields, Span

psycopg = Integration(
    "psycopg",
    packages={"psycopg": ">=3.0"},
    title="psycopg",
    category="datastore",
    service="postgres",
    layer=db.LAYER,
    docs="https://www.psycopg.org/psycopg3/docs",
    page=(">= 2.4", True),
    notes="psycopg 3.",
)

QUERY = "postgres.query"
_FACTS = "_gossamer"


def server(connection: Any) -> Dict[str, Any]:
    """The database that a connection was made to, with room for what each statement sets; kept on the connection."""
    facts: Optional[Dict[str, Any]] = connection.__dict__.get(_FACTS)
    if facts is None:
        info = connection.info
        try:
            facts = db.connection("postgresql", info.dbname, info.host, info.port, info.user)
        except Exception:  # closed: it tells no more where it was, and the statement will fail
            facts = db.connection("postgresql")
        else:
            connection.__dict__[_FACTS] = facts
        facts["db.query.text"] = facts["db.operation.name"] = ""
    return facts


def statement(query: Any, cursor: Any) -> Any:
    """A query as text, before its literals are taken out: a composed one (`psycopg.sql`) as it is sent."""
    if isinstance(query, (str, bytes)):
        return query
    try:
        compose = getattr(query, "as_string", None)
        if compose is not None:
            return compose(cursor)
        return "?".join(query.strings)  # a template string, whose values are none of ours
    except Exception:  # not composed rightly, or no query at all: the library will say so
        return type(query).__name__


def _query(call: Call, query: Any) -> Optional[Fields]:
    if query is None or not call.recording:
        return None
    cursor = call.instance
    if query.__class__ is not str:
        query = statement(query, cursor)
    return db.query_fields(QUERY, query, server(cursor.connection))


# Nearly all statements go through `execute`, so its wrappers are made by hand.


@psycopg.wrap("psycopg:Cursor.execute", build=True)
def execute(site: Site) -> Callable[..., Any]:
    """A statement; `Connection.execute` makes a cursor for it."""
    original = site.original

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        span = _begin(site, args, kwargs)
        if span is None:
            return original(*args, **kwargs)
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            span.fail(error)
            span.finish()
            raise
        _end(site, span, args[0])
        return result

    return wrapper


@psycopg.wrap("psycopg:AsyncCursor.execute", build=True)
def execute_async(site: Site) -> Callable[..., Any]:
    """The same for asyncio."""
    original = site.original

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        span = _begin(site, args, kwargs)
        if span is None:
            return await original(*args, **kwargs)
        try:
            result = await original(*args, **kwargs)
        except BaseException as error:
            span.fail(error)
            span.finish()
            raise
        _end(site, span, args[0])
        return result

    return wrapper


def _begin(site: Site, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Optional[Span]:
    if site.off:
        return None
    current: Any = active()
    if current is not None:
        if current.layer == db.LAYER and current.live:
            return None
        if current.__class__ is not SpanContext and not current.trace.recording:
            return None
    try:
        query = args[1] if len(args) > 1 else kwargs.get("query")
        if query is None or not args:
            return None
        connection = args[0].connection
        if query.__class__ is not str:
            query = statement(query, args[0])
        facts = connection.__dict__.get(_FACTS) or server(connection)
        name, resource, _, type, kind, attributes, _ = db.query_fields(QUERY, query, facts)
        return site.recorder.start(name, resource, site.service, type, kind, attributes, site.name, db.LAYER)
    except Exception as error:
        site.failed(error)
        return None


def _end(site: Site, span: Span, cursor: Any) -> None:
    try:
        db.rows(span, cursor.rowcount)
    except Exception as error:
        site.failed(error)
    span.finish()


@psycopg.trace("psycopg:Cursor.stream")
@psycopg.trace("psycopg:AsyncCursor.stream")
@psycopg.trace("psycopg:ServerCursor.execute")
@psycopg.trace("psycopg:AsyncServerCursor.execute")
def query(call: Call) -> Optional[Fields]:
    """A statement whose rows come as they are asked for."""
    return _query(call, call.argument(0, "query"))


@psycopg.trace("psycopg:Cursor.copy", returns="context")
@psycopg.trace("psycopg:AsyncCursor.copy", returns="context")
def copy(call: Call) -> Optional[Fields]:
    """COPY, from its beginning to the end of the data."""
    return _query(call, call.argument(0, "statement"))


def counted(call: Call, result: object) -> None:
    """How many rows it returned or changed."""
    db.rows(call.span, call.instance.rowcount)


@psycopg.trace("psycopg:Cursor.executemany", after=counted)
@psycopg.trace("psycopg:AsyncCursor.executemany", after=counted)
def executemany(call: Call) -> Optional[Fields]:
    """A statement for each of many sets of parameters."""
    fields, parameters = _query(call, call.argument(0, "query")), call.argument(1, "params_seq")
    if fields is not None and hasattr(parameters, "__len__"):
        fields[5]["db.operation.batch.size"] = len(parameters)
    return fields


@psycopg.trace("psycopg:Connection.commit")
@psycopg.trace("psycopg:AsyncConnection.commit")
def commit(call: Call) -> SpanStart:
    """The end of a transaction, also of `with connection`."""
    return _transaction(call, "commit")


@psycopg.trace("psycopg:Connection.rollback")
@psycopg.trace("psycopg:AsyncConnection.rollback")
def rollback(call: Call) -> SpanStart:
    """The same with nothing kept."""
    return _transaction(call, "rollback")


def _transaction(call: Call, operation: str) -> SpanStart:
    attributes = server(call.instance).copy()
    attributes["db.operation.name"] = operation.upper()
    del attributes["db.query.text"]
    return SpanStart("psycopg.connection." + operation, None, "client", None, None, attributes)
