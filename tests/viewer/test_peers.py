"""Released tracers of other people as clients: what they record arrives, whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.services import process
from tests.viewer.helpers import Client

DDTRACE = """
from ddtrace.trace import tracer
with tracer.trace("web.request", service="shop", resource="GET /cart", span_type="web") as root:
    root.set_tag("usr.id", "7")
    root.set_metric("items", 3)
    try:
        with tracer.trace("db.query", service="db", resource="SELECT 1", span_type="sql"):
            raise RuntimeError("connection refused")
    except RuntimeError:
        pass
tracer.flush()
tracer.shutdown()
"""

OTEL = """
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.trace import SpanKind
provider = TracerProvider(resource=Resource({"service.name": "shop"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
tracer = provider.get_tracer("lib", "1.0")
attributes = {"usr.id": "7", "items": 3, "tags": ["a", "b"]}
with tracer.start_as_current_span("GET /cart", kind=SpanKind.SERVER, attributes=attributes):
    try:
        with tracer.start_as_current_span("SELECT 1", kind=SpanKind.CLIENT):
            raise RuntimeError("connection refused")
    except RuntimeError:
        pass
provider.shutdown()
"""


@pytest.fixture
def peer(request: pytest.FixtureRequest) -> str:
    local = Path(process.ROOT, ".cache", "venvs", "peers", "bin", "python")
    return str(local) if local.exists() else request.getfixturevalue("peers_python")


def check(client: Client, ran: process.Result) -> tuple[dict[str, Any], dict[str, Any]]:
    assert ran.returncode == 0, ran.stderr
    client.viewer.store.flush()
    rows = client.search("@usr.id:7")
    assert len(rows) == 1, client.get("/api/status")
    assert (rows[0]["spans"], rows[0]["errors"] >= 1) == (2, True)
    skeleton = client.get("/api/traces/" + rows[0]["trace"])
    details = {}
    for chunk, n in zip(skeleton["chunk"], skeleton["n"]):
        detail = client.get(f"/api/spans/{chunk}/{n}")
        details[detail["resource"]] = detail
    root, query = details["GET /cart"], details["SELECT 1"]
    assert query["parent"] == root["span"] and root["parent"] is None and query["error"]
    assert query["exception"]["message"] == "connection refused" and "RuntimeError" in query["exception"]["stack"]
    assert client.names('"connection refused"') == ["GET /cart"]
    assert root["attributes"]["items"] == 3
    return root, client.get("/api/status")


@pytest.mark.parametrize("version", ["v0.4", "v0.5"])
def test_ddtrace(client: Client, peer: str, version: str) -> None:
    ran = process.run(
        [peer, "-c", DDTRACE],
        DD_TRACE_AGENT_URL=f"http://localhost:{client.port}",
        DD_TRACE_API_VERSION=version,
        PYTHONPATH=None,
    )
    root, status = check(client, ran)
    assert root["protocol"] == version and root["service"] == "shop" and root["type"] == "web"
    assert [seen["language"] for seen in status["clients"]] == ["python"]
    assert not status["refused"]
    assert len(root["trace"].lstrip("0")) > 16  # 128 bits


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_opentelemetry(client: Client, peer: str, compression: str) -> None:
    ran = process.run(
        [peer, "-c", OTEL],
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://localhost:{client.port}",
        OTEL_EXPORTER_OTLP_COMPRESSION=compression,
        PYTHONPATH=None,
    )
    root, status = check(client, ran)
    assert root["protocol"] == "otlp" and root["kind"] == "server" and root["attributes"]["tags"] == ["a", "b"]
    assert root["resource_attributes"]["service.name"] == "shop" and root["scope"] == {"name": "lib", "version": "1.0"}
    assert status["clients"][0]["language"] == "python" and not status["refused"]
