"""Our bytes before other people's receivers: the Datadog test agent with all its checks on."""

from __future__ import annotations

from typing import Any

import pytest

from gossamer._export.datadog import DatadogExporter
from gossamer._export.otlp import OTLPExporter
from gossamer._export.writer import Writer
from tests.wire.build import Maker, process, remote


def shop(maker: Maker) -> None:
    """A trace with something of everything."""
    root = maker.start("flask.request", resource="GET /", type="web", kind="server", integration="flask")
    query = maker.start(
        "redis.command", root, resource="GET", service="redis", type="redis", kind="client", integration="redis"
    )
    query.set_attributes(
        {"db.system.name": "redis", "server.port": 6379, "list": ["a", 1], "odd": "\ud800", "nan": float("nan")}
    )
    query.add_event("retry", {"n": 1, "nan": float("nan")})
    query.add_link(remote(priority=1), {"a": "b"})
    query.set_error(ValueError("no"))
    query.finish()
    root.finish()


@pytest.mark.parametrize("version", ["v0.4", "v0.5"])
def test_the_datadog_test_agent_finds_nothing_wrong(datadog_test_agent: Any, version: str) -> None:
    datadog_test_agent.clear()
    maker = Maker()
    writer = Writer([DatadogExporter(datadog_test_agent.url, version=version)], maker.buffer, process())
    for _ in range(3):
        shop(maker)
    assert writer.flush(5.0), writer.stats()
    shop(maker)
    assert writer.shutdown(5.0)
    stats = writer.stats()
    assert (stats["sent_spans"], stats["sent_traces"], stats["errors"]) == (8, 4, 0)
    traces = datadog_test_agent.traces
    assert len(traces) == 4 and all(len(trace) == 2 for trace in traces)
    query = [span for span in traces[0] if span["name"] == "redis.command"][0]
    assert query["error"] == 1 and query["meta"]["error.type"] == "builtins.ValueError"
    assert query["metrics"]["network.destination.port"] == 6379.0
    assert datadog_test_agent.failures == []
    for check in ("trace_count_header", "meta_tracer_version_header", "trace_content_length"):
        assert datadog_test_agent.checks[check]["Passed_Checks"] >= 2


def test_the_checks_are_on(datadog_test_agent: Any) -> None:
    # A wrong count is found: without this the test above could not fail.
    datadog_test_agent.clear()
    exporter = DatadogExporter(datadog_test_agent.url, headers={"X-Datadog-Trace-Count": "7"})
    maker = Maker()
    shop(maker)
    with pytest.raises(Exception, match="400"):
        exporter.export(maker.batch(), process())
    assert "trace_count_header" in datadog_test_agent.failures
    datadog_test_agent.clear()


def test_otlp_to_the_datadog_test_agent(datadog_test_agent: Any) -> None:
    arguments = datadog_test_agent.server.process.args
    port = arguments[arguments.index("--otlp-http-port") + 1]
    maker = Maker()
    shop(maker)
    OTLPExporter(f"http://127.0.0.1:{port}/v1/traces").export(maker.batch(), process())
