"""The search language: what is found, and where a query goes wrong. Every answer is compared with what Python finds
in the spans.
"""

from __future__ import annotations

import json
import time
from typing import Any, Iterator

import pytest

from gossamer.viewer import Viewer
from gossamer.viewer.query import QueryError, describe, parse
from tests.viewer.helpers import Client, child, hex32, span


def traffic() -> list[list[dict[str, Any]]]:
    cart = span(
        resource="GET /cart",
        duration=600_000_000,
        meta={"usr.id": "7", "env": "prod", "span.kind": "server"},
        metrics={"http.status_code": 200},
    )
    query = child(
        cart,
        service="db",
        name="pg.query",
        resource="SELECT a FROM b",
        type="sql",
        duration=40_000_000,
        meta={"span.kind": "client"},
    )
    pay = span(
        resource="POST /pay",
        error=1,
        duration=90_000_000,
        meta={"usr.id": "8", "env": "dev", "error.message": "Connection refused by peer", "error.type": "OSError"},
        metrics={"http.status_code": 502, "ratio": 0.25},
    )
    health = span(
        service="edge",
        resource="GET /health",
        duration=1_000_000,
        metrics={"http.status_code": 200},
        meta={"quoted": 'say "hi"', "long": "z" * 500},
    )
    repeated = span(resource="GET /list", duration=10_000_000, meta={"version": "2.0"})
    return [
        [cart, query],
        [pay],
        [health],
        [repeated, *[child(repeated, name="sql", resource="SELECT x", type="sql", duration=100_000) for _ in range(6)]],
    ]


TRAFFIC = traffic()
CART, PAY, HEALTH, LIST = "GET /cart", "POST /pay", "GET /health", "GET /list"
CASES = {
    "service:shop": [CART, LIST, PAY],
    "service:SHOP": [CART, LIST, PAY],
    "service:sho*": [CART, LIST, PAY],
    "service:db": [CART],
    "root:service:db": [],
    "root:service:edge": [HEALTH],
    "name:pg.query": [CART],
    'resource:"GET /cart"': [CART],
    "resource:*health*": [HEALTH],
    "-resource:*health*": [CART, LIST, PAY],
    "service:shop -root:resource:*cart*": [LIST, PAY],
    "type:sql": [CART, LIST],
    "kind:client": [CART],
    "status:error": [PAY],
    "-status:error": [CART, HEALTH, LIST],
    "status:ok": [CART, HEALTH, LIST],
    "duration:>500ms": [CART],
    "duration:<=1ms": [HEALTH, LIST],
    "duration:30ms..100ms": [CART, PAY],
    "duration:..1ms service:edge": [HEALTH],
    "service:shop duration:<50ms": [LIST],
    "service:db duration:>50ms": [],
    "trace.duration:>0.5s": [CART],
    "trace.spans:>=2": [CART, LIST],
    "trace.spans:2": [CART],
    "trace.errors:>0": [PAY],
    "@usr.id:7": [CART],
    "@usr.id:*": [CART, PAY],
    "@usr.id:77": [],
    "-@usr.id:7": [CART, HEALTH, LIST, PAY],  # the other span of the cart's trace has no such attribute
    "root:service:shop -has:@usr.id": [CART, LIST],
    "@http.status_code:502": [PAY],
    "@http.status_code:>=500": [PAY],
    "@http.status_code:200..299": [CART, HEALTH],
    "@ratio:0.25": [PAY],
    "@ratio:<1": [PAY],
    '@quoted:"say \\"hi\\""': [HEALTH],
    "@long:zzz*": [HEALTH],
    "@long:" + "z" * 500: [HEALTH],
    "@usr.id:7 @http.status_code:502": [],
    "@usr.id:7 type:sql": [],  # on one span, not on one trace
    "has:@usr.id": [CART, PAY],
    "has:@nothing": [],
    "has:n+1": [LIST],
    "env:prod": [CART],
    "version:2.0": [LIST],
    "@usr.id:7 OR @usr.id:8": [CART, PAY],
    "service:edge OR (service:shop @usr.id:8)": [HEALTH, PAY],
    "(service:edge OR service:db) -type:sql": [HEALTH],
    "-(service:shop OR service:db)": [HEALTH],
    "-(status:error @usr.id:8) has:@usr.id": [CART],
    '"connection refused"': [PAY],
    '"refused connection"': [],
    "refused": [PAY],
    "REFUSED peer": [PAY],
    "OSError": [PAY],
    "health": [HEALTH],
    "select": [CART, LIST],
    "nothing": [],
    "-refused service:shop": [CART, LIST],
    "": [CART, HEALTH, LIST, PAY],
    "   ": [CART, HEALTH, LIST, PAY],
}


@pytest.fixture(scope="module", params=["fts5", "no fts5", "memory"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "no fts5":
            patch.setattr("gossamer.viewer.schema._has_fts5", lambda connection: False)
        folder = None if request.param == "memory" else str(tmp_path_factory.mktemp("data"))
        with Viewer(port=0, data_dir=folder) as viewer:
            client = Client(viewer)
            client.send(TRAFFIC)
            assert viewer.store.database.fts == (request.param != "no fts5")
            yield client


@pytest.mark.parametrize("query", CASES)
def test_what_is_found(shop: Client, query: str) -> None:
    for sort in ("newest", "slowest", "spans"):
        assert shop.names(query, sort=sort) == CASES[query], sort


def test_matching_span_and_count(shop: Client) -> None:
    (row,) = shop.search("type:sql service:shop")
    assert row["match"]["count"] == 6 and row["match"]["n"] == 1
    assert shop.get("/api/spans/{chunk}/{n}".format(**row["match"]))["resource"] == "SELECT x"
    assert shop.search("")[0]["match"] is None


def test_ids(shop: Client) -> None:
    pay = TRAFFIC[1][0]
    assert shop.names("trace:" + hex32(pay["trace_id"])) == [PAY]
    assert shop.names(f"trace:{pay['trace_id']:016x}") == [PAY]
    assert shop.names(f"span:{pay['span_id']:016x}") == [PAY]
    assert shop.names("span:1") == []


def test_time_range_and_order(shop: Client) -> None:
    starts = sorted(trace[0]["start"] // 1000 for trace in TRAFFIC)
    assert len(shop.search("", **{"from": starts[1]})) == 3
    assert len(shop.search("service:*", to=starts[1])) == 2
    assert len(shop.search("service:*", **{"from": starts[1], "to": starts[2]})) == 2
    durations = [row["dur"] for row in shop.search("", sort="slowest")]
    assert durations == sorted(durations, reverse=True) and durations[0] == 600000
    assert [row["spans"] for row in shop.search("", sort="spans")][:2] == [7, 2]


def test_pages_of_an_answer_neither_repeat_nor_leave_out(shop: Client) -> None:
    for sort in ("newest", "slowest", "spans"):
        for query in ("", "-status:error OR status:error", "has:@usr.id OR -has:@usr.id"):
            assert shop.names(query, limit=1, sort=sort) == [CART, HEALTH, LIST, PAY], (sort, query)


ERRORS = {
    "bogus:1": 0,
    "service:shop bogus:1": 13,
    "duration:fast": 9,
    "duration:>": 10,
    "duration:5": 9,
    "duration:1ms..x": 14,
    "@status:>abc": 9,
    "trace.spans:many": 12,
    "status:maybe": 7,
    "(service:a": 0,
    "service:a)": 9,
    "()": 1,
    '"open': 0,
    "-": 1,
    "service:": 8,
    "@:x": 1,
    "a OR": 4,
    "OR a": 0,
    "has:x": 4,
    "trace:xyz": 6,
    "span:" + "1" * 17: 5,
    "root:status:error": 5,
    "root:service": 12,
    "(" * 40 + "a" + ")" * 40: 31,
    "x" * 2001: 2000,
    '"..."': 0,
    "@n:>1e999": 4,
}


@pytest.mark.parametrize("query", ERRORS)
def test_errors_name_the_column(query: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(query)
    assert caught.value.at == ERRORS[query], str(caught.value)
    assert len(str(caught.value)) > 10


def test_an_error_reaches_the_page(shop: Client) -> None:
    error = shop.error("service:shop bogus:1")
    assert error["code"] == "query" and error["at"] == 13 and "bogus" in error["message"]
    for path in (
        "/api/traces?sort=odd",
        "/api/traces?cursor=zzz",
        "/api/traces?limit=x",
        "/api/traces?from=x",
        "/api/facets?q=bogus:1",
    ):
        assert shop.ask("GET", path).status == 400, path


def test_tree() -> None:
    node = parse("a -(b OR service:c) @d:>1")
    assert node is not None and describe(node) == ("And", "Words", "Not", "Or", "Words", "Operation", "Attribute")


def test_a_search_stops_in_time_and_goes_on(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossamer.viewer.search.TIME", 0.0)
    with Viewer(port=0, data_dir=str(tmp_path)) as viewer:
        client = Client(viewer)
        traces = [
            [span(resource="GET /needle" if index == 3 else f"GET /{index % 10}", meta={"n": str(index)})]
            for index in range(1500)
        ]
        client.send(traces)
        first = client.get("/api/traces", q="@n:3*")
        assert first["partial"] and first["next"] and first["searched_to"]
        assert len(client.search("@n:3*")) == sum(str(index).startswith("3") for index in range(1500))
        assert client.names("@n:3") == ["GET /needle"]


def test_a_trace_in_several_chunks_is_listed_once(tmp_path: Any) -> None:
    with Viewer(port=0, data_dir=str(tmp_path)) as viewer:
        client = Client(viewer)
        root = span(resource="GET /split", meta={"part": "one"})
        client.send([[child(root, meta={"part": "two"}, service="b", resource="late root")]])
        for _ in range(5):
            client.send([[span(resource="GET /between", meta={"part": "none"})]])
        client.send([[root]])
        rows = client.search("@part:one OR @part:two", limit=1)
        assert [(row["root"]["resource"], row["match"]["count"], row["spans"]) for row in rows] == [
            ("GET /split", 2, 2)
        ]
        assert [row["match"]["count"] for row in client.search("@part:two")] == [1]


def test_facets(shop: Client) -> None:
    facets = shop.get("/api/facets")
    assert {entry["value"]: entry["count"] for entry in facets["services"]} == {"shop": 9, "db": 1, "edge": 1}
    assert {entry["value"]: entry["count"] for entry in facets["statuses"]} == {"ok": 10, "error": 1}
    assert {entry["value"] for entry in facets["envs"]} == {"prod", "dev"} and "usr.id" in facets["keys"]
    assert sum(facets["timeline"]["hits"]) == 4 and sum(facets["timeline"]["errors"]) == 1
    some = shop.get("/api/facets", q="type:sql")
    assert some["counted"] == 7 and sum(some["timeline"]["hits"]) == 2


def test_odd_bytes_in_parameters(shop: Client) -> None:
    for query in ("%ff", "%00", "service:%22%27;drop%20table%20span--%22", "@a%27b:1", "%E2%80%AE"):
        assert shop.ask("GET", "/api/traces?q=" + query).status in (200, 400)
    assert len(shop.search("")) == 4
    assert json.loads(shop.ask("GET", "/api/status").body)["now"] < time.time() * 1e6 + 1e6
