"""Database calls, by OpenTelemetry's stable semantic conventions. Values never reach a span.

Statements of SQL lose their literals and comments (`sql.normalize`); of a command of Redis and its like the name and
the keys are shown.
"""

from __future__ import annotations

from ..._core.values import text
from ..declare import SpanStart
from .commands import take_apart
from .sql import normalize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, List, Optional

    from ..._core.values import Value
    from ..declare import Fields

LAYER = "db"
"""A call inside an open span of this layer gets none of its own: SQLAlchemy over psycopg is one span."""

MAX_NAMED = 100
"""Commands of a pipeline that its resource names."""


def connection(
    system: str,
    namespace: Optional[str] = None,
    host: Optional[str] = None,
    port: Optional[int] = None,
    user: Optional[str] = None,
) -> Dict[str, Value]:
    """The attributes that all calls over one connection have."""
    attributes: Dict[str, Value] = {"db.system.name": system}
    if namespace is not None and namespace != "":
        attributes["db.namespace"] = text(namespace, 500)
    if host:
        attributes["server.address"] = text(host, 255)
        if port.__class__ is int:
            attributes["server.port"] = port
        elif port:
            attributes["server.port"] = int(port)
    if user:
        attributes["db.user"] = text(user, 200)
    return attributes


def query(name: str, statement: object, facts: Dict[str, Value], limit: int = 5000, type: str = "sql") -> SpanStart:
    """The span of a statement of SQL.

    Args:
        name: operation name.
        statement: as the caller gave it; a composed object is shown by its `str()`.
        facts: of the `connection`.
        limit: longest text, in characters.
    """
    return SpanStart.of(query_fields(name, statement, facts, limit, type))


def query_fields(name: str, statement: object, facts: Dict[str, Value], limit: int = 5000, type: str = "sql") -> Fields:
    """The same as a tuple, which is cheaper."""
    attributes = facts.copy()
    shown, operation = normalize(statement, facts["db.system.name"], limit)
    attributes["db.query.text"] = shown
    if operation:
        attributes["db.operation.name"] = operation
    return name, shown, None, type, "client", attributes, None


def command(name: str, args: Any, facts: Dict[str, Value], limit: int = 1000, type: str = "redis") -> SpanStart:
    """The span of a command of Redis and its like: `args` are the command's name and its arguments.

    The resource is the name's first word: Datadog's users know CONFIG, not CONFIG GET.
    """
    return SpanStart.of(command_fields(name, args, facts, limit, type))


def command_fields(name: str, args: Any, facts: Dict[str, Value], limit: int = 1000, type: str = "redis") -> Fields:
    """The same as a tuple, which is cheaper."""
    attributes = facts.copy()
    operation, shown, word = take_apart(args)
    attributes["db.operation.name"] = operation
    attributes["db.query.text"] = shown if len(shown) <= limit else shown[:limit]
    return name, word, None, type, "client", attributes, None


def pipeline(
    name: str, commands: Iterable[Any], facts: Dict[str, Value], limit: int = 1000, type: str = "redis"
) -> SpanStart:
    """The span of several commands that are sent together: the resource names them, one a line."""
    attributes = facts.copy()
    names: List[str] = []
    texts: List[str] = []
    count, size = 0, 0
    for args in commands:
        count += 1
        if count > MAX_NAMED:
            continue
        _, shown, word = take_apart(args)
        names.append(word)
        if size < limit:
            texts.append(shown)
            size += len(shown) + 1
    shown = "\n".join(texts)
    attributes["db.operation.name"] = "PIPELINE"
    attributes["db.operation.batch.size"] = count
    attributes["db.query.text"] = shown if len(shown) <= limit else shown[:limit]
    return SpanStart(name, "\n".join(names) or "PIPELINE", "client", type, None, attributes)


def rows(span: Any, count: Any) -> None:
    """The number of rows that a statement returned or changed, where the driver knows it."""
    if count.__class__ is int and count >= 0:
        span.attributes["db.response.returned_rows"] = count
