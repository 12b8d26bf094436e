"""Our attribute names, which are OpenTelemetry's, in the words of Datadog's users.

The right-hand sides are what Datadog's own tracers are seen to send for the same calls, so that dashboards, monitors
and facets made for them keep working. A name that is in no table goes as it is.
"""

from __future__ import annotations

import builtins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, FrozenSet, Optional

__all__ = ["AS_TEXT", "EXCEPTIONS", "FIXED", "STATEMENT", "URL_PARTS", "table", "translate"]

STATEMENT = "db.statement"
"""The text of a query, where it says more than the resource does."""

_COMMON: Dict[str, str] = {
    "client.address": "http.client_ip",
    "db.namespace": "db.name",
    "db.operation.name": "db.operation",
    "db.response.returned_rows": "db.row_count",
    "db.query.text": STATEMENT,
    "db.system.name": "db.system",
    "enduser.id": "usr.id",
    "http.request.body.size": "http.request.content_length",
    "http.request.method": "http.method",
    "http.response.body.size": "http.response.content_length",
    "http.response.status_code": "http.status_code",
    "network.protocol.version": "http.version",
    "url.full": "http.url",
    "user_agent.original": "http.useragent",
}

# The other side of a call, which "server" and "client" name from the caller's point of view.
_CALLER: Dict[str, str] = {
    "server.address": "out.host",
    "server.port": "network.destination.port",
    "network.peer.address": "network.destination.ip",
}
_CALLED: Dict[str, str] = {"network.peer.address": "network.client.ip"}

# By span type: what each store calls the text of a command.
_STORES: Dict[str, Dict[str, str]] = {
    "redis": {
        "db.query.text": "redis.raw_command",
        "db.operation.batch.size": "redis.pipeline_length",
        "db.namespace": "out.redis_db",
    },
    "valkey": {
        "db.query.text": "valkey.raw_command",
        "db.operation.batch.size": "valkey.pipeline_length",
        "db.namespace": "out.valkey_db",
    },
    "mongodb": {
        "db.query.text": "mongodb.query",
        "db.collection.name": "mongodb.collection",
        "db.namespace": "mongodb.db",
    },
    "elasticsearch": {"db.query.text": "elasticsearch.body"},
    "cassandra": {"db.namespace": "cassandra.keyspace"},
    "memcached": {"db.query.text": "memcached.query"},
}

_PREFIXES = (
    ("http.request.header.", "http.request.headers."),
    ("http.response.header.", "http.response.headers."),
)

AS_TEXT: FrozenSet[str] = frozenset(("http.response.status_code", "http.status_code"))
"""Numbers that Datadog knows as texts."""

FIXED: FrozenSet[str] = frozenset(
    ("component", "env", "error.message", "error.stack", "error.type", "language", "runtime-id", "span.kind", "version")
)
"""Names that mean something to Datadog itself: always texts, whatever the program sets."""

URL_PARTS: FrozenSet[str] = frozenset(("url.path", "url.query", "url.scheme"))
"""What a server knows of its URL; Datadog has `http.url` alone."""

EXCEPTIONS: FrozenSet[str] = frozenset(
    name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)
)
"""Exceptions of the language: Datadog groups errors by the type with its module."""


def table(kind: str, type: Optional[str]) -> Dict[str, str]:
    """Names for spans of a kind and a Datadog type."""
    names = dict(_COMMON)
    if kind in ("client", "producer"):
        names.update(_CALLER)
    elif kind == "server":
        names.update(_CALLED)
    names.update(_STORES.get(type or "", {}))
    return names


def translate(key: str, names: Dict[str, str]) -> str:
    """Datadog's name for an attribute, by a `table`."""
    name = names.get(key)
    if name is not None:
        return name
    for ours, theirs in _PREFIXES:
        if key.startswith(ours):
            return theirs + key[len(ours) :]
    return key
