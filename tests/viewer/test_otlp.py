"""OTLP/HTTP by hand."""

from __future__ import annotations

import copy
import json

from tests.viewer.helpers import Client
from tests.viewer.test_decoders import OTLP_BODY, OTLP_JSON_BODY, RESOURCE, delimited, otlp_span

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}


def test_protobuf(client: Client) -> None:
    answer = client.ask("POST", "/v1/traces", OTLP_BODY, PROTOBUF)
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"", "application/x-protobuf")
    client.viewer.store.flush()
    (row,) = client.get("/api/traces")["rows"]
    assert (row["trace"], row["dur"], row["spans"], row["errors"]) == ("07" * 16, 500000, 2, 2)
    skeleton = client.get("/api/traces/" + row["trace"])
    detail = client.get("/api/spans/{}/1".format(skeleton["chunk"][1]))
    assert (
        detail["protocol"] == "otlp"
        and detail["span"] == "09" * 8
        and detail["scope"] == {"name": "lib", "version": ""}
    )
    assert detail["attributes"] == {"s": "text", "list": [7], "neg": -5, "f": 2.5}
    assert detail["resource_attributes"] == {"service.name": "shop"}
    assert detail["exception"] == {"type": "", "message": "boom", "stack": ""} and detail["status"] == {
        "code": "error",
        "message": "bad",
    }
    assert detail["links"] == [{"trace": "01" * 16, "span": "02" * 8, "attributes": {"l": True}}]
    for query in ("boom", "@s:text", "@neg:-5", "@f:>2", "@service.name:shop", "@otel.scope.name:lib", "kind:server"):
        assert len(client.search(query)) == 1, query


def test_json(client: Client) -> None:
    answer = client.ask("POST", "/v1/traces", json.dumps(OTLP_JSON_BODY).encode(), JSON)
    assert (answer.status, answer.json) == (200, {})
    client.viewer.store.flush()
    (row,) = client.get("/api/traces")["rows"]
    assert (row["trace"], row["start"], row["root"]["service"]) == ("07" * 16, 1000000, "shop")
    chunk = client.get("/api/traces/" + row["trace"])["chunk"][0]
    detail = client.get(f"/api/spans/{chunk}/0")
    assert detail["attributes"] == {"n": "9007199254740993", "a": [True]}
    assert len(client.search("@n:9007199254740993")) == 1


def test_refused_spans_are_told_as_partial_success(client: Client) -> None:
    body = delimited(
        1,
        RESOURCE
        + delimited(
            2, delimited(2, otlp_span()) + delimited(2, otlp_span(own=b"\0" * 8)) + delimited(2, otlp_span(trace=b"x"))
        ),
    )
    answer = client.ask("POST", "/v1/traces", body, PROTOBUF)
    assert answer.status == 200 and answer.body.startswith(b"\x0a") and b"\x08\x02" in answer.body
    value = copy.deepcopy(OTLP_JSON_BODY)
    value["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["spanId"] = "zz"
    answer = client.ask("POST", "/v1/traces", json.dumps(value).encode(), JSON)
    assert answer.json["partialSuccess"]["rejectedSpans"] == "1"
    assert client.get("/api/status")["refused"]["otlp"] == {"a span without a valid trace or span id": 2}


def test_malformed(client: Client) -> None:
    for body, headers in (
        (OTLP_BODY[:-4], PROTOBUF),
        (b"\x0a\xff", PROTOBUF),
        (b"[]", JSON),
        (b'{"resourceSpans": 5}', JSON),
    ):
        assert client.ask("POST", "/v1/traces", body, headers).status == 400
    assert client.ask("POST", "/v1/traces", b"", {"Content-Type": "text/plain"}).status == 415


def test_an_otlp_service_and_a_datadog_one_share_a_trace(client: Client) -> None:
    from tests.viewer.helpers import span

    client.ask("POST", "/v1/traces", OTLP_BODY, PROTOBUF)
    low = int("07" * 8, 16)
    client.send([[span(low, int("08" * 8, 16), service="other", meta={"_dd.p.tid": "07" * 8})]])
    (row,) = client.get("/api/traces")["rows"]
    assert row["spans"] == 3 and sorted(row["services"]) == ["other", "shop"]
    assert client.get("/api/traces/" + row["trace"])["parent"] == [-1, -1, 0]
