"""Which name Datadog's users see for ours: what its own tracers send for the same calls."""

from __future__ import annotations

from typing import Any, Dict

import pytest

from tests.wire.build import one, only

OURS = {"env", "version", "team", "language", "runtime-id", "_dd.p.tid", "_dd.top_level", "_dd.measured", "process_id"}


def seen(attributes: Dict[str, Any], **facts: Any) -> Dict[str, Any]:
    """What the attributes became: texts and numbers together."""
    span = only(one(attributes=attributes, **facts))
    merged = dict(span["meta"], **span["metrics"])
    return {key: value for key, value in merged.items() if key not in OURS | {"span.kind"}}


CASES = [
    ("server", "web", {"http.request.method": "GET"}, {"http.method": "GET"}),
    ("server", "web", {"http.response.status_code": 404}, {"http.status_code": "404"}),
    ("server", "web", {"http.route": "/a"}, {"http.route": "/a"}),
    ("server", "web", {"user_agent.original": "curl"}, {"http.useragent": "curl"}),
    ("server", "web", {"client.address": "10.0.0.1"}, {"http.client_ip": "10.0.0.1"}),
    ("server", "web", {"url.full": "http://x/a"}, {"http.url": "http://x/a"}),
    ("server", "web", {"http.request.header.accept": "a"}, {"http.request.headers.accept": "a"}),
    ("server", "web", {"http.response.header.etag": "a"}, {"http.response.headers.etag": "a"}),
    ("server", "web", {"network.protocol.version": "1.1"}, {"http.version": "1.1"}),
    ("server", "web", {"server.address": "x"}, {"server.address": "x"}),
    ("server", "web", {"network.peer.address": "10.0.0.1"}, {"network.client.ip": "10.0.0.1"}),
    ("client", "http", {"server.address": "x", "server.port": 80}, {"out.host": "x", "network.destination.port": 80.0}),
    ("client", "http", {"network.peer.address": "10.0.0.1"}, {"network.destination.ip": "10.0.0.1"}),
    ("client", "sql", {"db.system.name": "sqlite"}, {"db.system": "sqlite"}),
    ("client", "sql", {"db.namespace": "shop"}, {"db.name": "shop"}),
    ("client", "sql", {"db.operation.name": "SELECT"}, {"db.operation": "SELECT"}),
    ("client", "sql", {"db.response.returned_rows": 3}, {"db.row_count": 3.0}),
    ("client", "sql", {"db.query.text": "work"}, {}),  # the resource says it
    ("client", "sql", {"db.query.text": "SELECT 1"}, {"db.statement": "SELECT 1"}),
    ("client", "redis", {"db.query.text": "GET a"}, {"redis.raw_command": "GET a"}),
    (
        "client",
        "redis",
        {"db.operation.batch.size": 2, "db.namespace": "0"},
        {"redis.pipeline_length": 2.0, "out.redis_db": "0"},
    ),
    (
        "client",
        "mongodb",
        {"db.query.text": "{}", "db.collection.name": "c"},
        {"mongodb.query": "{}", "mongodb.collection": "c"},
    ),
    ("internal", None, {"messaging.system": "kafka"}, {"messaging.system": "kafka"}),
    ("internal", None, {"enduser.id": "u1", "own": "x"}, {"usr.id": "u1", "own": "x"}),
]


@pytest.mark.parametrize(
    "kind, type, ours, theirs", CASES, ids=[" ".join([kind] + list(ours)) for kind, _, ours, _ in CASES]
)
def test_names(kind: str, type: Any, ours: Dict[str, Any], theirs: Dict[str, Any]) -> None:
    assert seen(ours, kind=kind, type=type) == theirs


@pytest.mark.parametrize(
    "parts, url",
    [
        ({"url.scheme": "http", "url.path": "/a", "server.address": "x", "server.port": 8000}, "http://x:8000/a"),
        ({"url.scheme": "https", "url.path": "/a", "server.address": "x", "server.port": 443}, "https://x/a"),
        (
            {"url.scheme": "http", "url.path": "/", "url.query": "q=1", "server.address": "x", "server.port": 80},
            "http://x/?q=1",
        ),
        ({"url.path": "/a", "url.query": ("a", 1), "server.address": "x"}, "http://x/a?('a', 1)"),
        ({"url.path": "/a", "url.full": "http://y/b"}, "http://y/b"),
        ({"url.path": "/a", "server.address": "::1", "server.port": 8000}, "http://[::1]:8000/a"),
        ({"url.path": "/a", "server.address": "[::1]", "server.port": 80}, "http://[::1]/a"),
    ],
)
def test_the_url_of_a_request_from_its_parts(parts: Dict[str, Any], url: str) -> None:
    found = seen(parts, kind="server", type="web")
    assert found["http.url"] == url
    assert not [key for key in found if key.startswith("url.")]


def test_kind_and_component() -> None:
    meta = only(one(kind="client", integration="requests"))["meta"]
    assert (meta["span.kind"], meta["component"]) == ("client", "requests")
    inner = only(one())
    assert "span.kind" not in inner["meta"] and "component" not in inner["meta"]
    assert "_dd.measured" not in inner["metrics"]
