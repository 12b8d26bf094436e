"""Traces to an Agent: what is asked of it, what is sent, and what its answers do."""

from __future__ import annotations

import json
from typing import Any, Dict, List

import pytest

from gossamer._export.container import container_headers
from gossamer._export.datadog import DatadogExporter
from gossamer._export.exporter import ExportError
from gossamer._export.http import HttpError
from tests.export.scripted import Connection, forever
from tests.services.capture import CaptureAgent
from tests.services.ports import free_port
from tests.wire.build import Maker, one, process


def answer(status: int, body: bytes = b"{}", *headers: str) -> bytes:
    lines = ["HTTP/1.1 %d X" % status, "Content-Length: %d" % len(body), *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def info(**facts: Any) -> bytes:
    return answer(200, json.dumps(facts).encode())


OLD = answer(404)


@pytest.mark.parametrize("version", ["v0.4", "v0.5"])
def test_traces_arrive(capture_agent: CaptureAgent, version: str) -> None:
    exporter = DatadogExporter(capture_agent.url, version=version)
    maker = Maker()
    for name in ("a", "b"):
        maker.start(name).finish()
    exporter.export(maker.batch(), process())
    exporter.export(one("c"), process())
    assert [span["name"] for span in capture_agent.spans] == ["a", "b", "c"]
    assert [request.path for request in capture_agent.requests] == ["/info"] + ["/%s/traces" % version] * 2
    headers = capture_agent.requests[1].headers
    expected = {
        "content-type": "application/msgpack",
        "datadog-meta-lang": "python",
        "datadog-meta-lang-version": "3.11.7",
        "datadog-meta-lang-interpreter": "CPython",
        "datadog-meta-tracer-version": "0.1.0",
        "datadog-client-computed-top-level": "yes",
        "x-datadog-trace-count": "2",
    }
    assert {name: headers[name] for name in expected} == expected


def test_over_a_unix_socket(capture_agent_socket: CaptureAgent) -> None:
    DatadogExporter(capture_agent_socket.url).export(one("a"), process())
    assert [span["name"] for span in capture_agent_socket.spans] == ["a"]


CHOICES: List[Any] = [
    ("v0.4", OLD, "v0.4"),  # an Agent without /info
    ("v0.5", OLD, "v0.5"),
    ("v0.5", info(endpoints=["/v0.4/traces", "/v0.5/traces"]), "v0.5"),
    ("v0.4", info(endpoints=["/v0.4/traces", "/v0.5/traces"]), "v0.4"),
    ("v0.5", info(endpoints=["/v0.3/traces", "/v0.4/traces"]), "v0.4"),
    ("v0.4", info(endpoints=["/v0.3/traces"]), "v0.3"),
    ("v0.4", info(endpoints=["/v0.7/traces"]), "v0.4"),
    ("v0.4", info(endpoints="no list"), "v0.4"),
    ("v0.4", answer(200, b"no json"), "v0.4"),
    ("v0.4", answer(200, b"[]"), "v0.4"),
    ("v9", OLD, "v0.4"),
]


@pytest.mark.parametrize("wanted, said, used", CHOICES)
def test_the_api_is_agreed_on(scripted: Any, wanted: str, said: bytes, used: str) -> None:
    server = scripted(forever(said))
    exporter = DatadogExporter(server.url, version=wanted)
    exporter.export(one(), process())
    exporter.export(one(), process())
    assert server.paths() == ["GET /info"] + ["PUT /%s/traces" % used] * 2


@pytest.mark.parametrize("status", [404, 415])
def test_an_api_that_turns_out_to_be_missing(scripted: Any, status: int) -> None:
    server = scripted(forever(OLD, answer(status), answer(status)))
    exporter = DatadogExporter(server.url, version="v0.5")
    exporter.export(one(), process())
    exporter.export(one(), process())
    paths = ["/info", "/v0.5/traces", "/v0.4/traces", "/v0.3/traces", "/v0.3/traces"]
    assert [path.split()[1] for path in server.paths()] == paths


def test_no_api_at_all(scripted: Any) -> None:
    server = scripted(forever(*[answer(404)] * 5))
    exporter = DatadogExporter(server.url)
    with pytest.raises(ExportError) as caught:
        exporter.export(one(), process())
    assert (caught.value.retry, caught.value.reason) == (False, "status_404")
    assert server.paths() == ["GET /info", "PUT /v0.4/traces", "PUT /v0.3/traces"]


def test_events_for_an_agent_that_knows_them(scripted: Any) -> None:
    for known in (True, False):
        maker = Maker()
        span = maker.start()
        span.add_event("retry")
        span.finish()
        server = scripted(forever(info(endpoints=["/v0.4/traces"], span_events=known)))
        DatadogExporter(server.url).export(maker.batch(), process())
        assert (b"span_events" in server.requests[1]) is known


FAILURES = [
    (400, False, False), (403, False, False), (413, False, True), (501, False, False),
    (408, True, False), (429, True, False), (500, True, False), (503, True, False),
]  # fmt: skip


@pytest.mark.parametrize("status, retry, split", FAILURES)
def test_answers_that_are_failures(scripted: Any, status: int, retry: bool, split: bool) -> None:
    server = scripted(forever(OLD, answer(status, b"because\nof this", "Retry-After: 7")))
    exporter = DatadogExporter(server.url)
    with pytest.raises(ExportError) as caught:
        exporter.export(one(), process())
    error = caught.value
    assert (error.retry, error.split, error.reason, error.retry_after) == (retry, split, "status_%d" % status, 7.0)
    assert "because of this" in str(error) and server.url in str(error)


def test_nobody_listening_then_another_agent(capture_agent: CaptureAgent) -> None:
    exporter = DatadogExporter(f"http://127.0.0.1:{free_port()}", version="v0.5")
    with pytest.raises(ExportError) as caught:
        exporter.export(one(), process())
    assert caught.value.retry and caught.value.reason == "unreachable"
    exporter.client.port = capture_agent.server_port
    exporter.export(one(), process())
    assert capture_agent.requests[0].path == "/info"  # asked anew


def test_the_timeout_of_the_call_counts(scripted: Any) -> None:
    server = scripted(lambda connection: server.ended.wait(10))
    exporter = DatadogExporter(server.url, timeout=10)
    with pytest.raises(ExportError) as caught:
        exporter.export(one(), process(), 0.2)
    assert caught.value.reason == "timeout" and caught.value.retry


def rates_after(scripted: Any, *answers: bytes) -> Any:
    found: List[Dict[str, float]] = []
    server = scripted(forever(OLD, *answers))
    exporter = DatadogExporter(server.url, on_rates=found.append)
    for _ in answers:
        exporter.export(one(), process())
    return found, server


def test_sampling_rates_come_back(scripted: Any) -> None:
    said = b'{"rate_by_service": {"service:,env:": 1, "service:shop,env:test": 0.25}}'
    found, server = rates_after(scripted, answer(200, said, "Datadog-Rates-Payload-Version: abc"), answer(200))
    assert found == [{"service:,env:": 1.0, "service:shop,env:test": 0.25}]
    assert b"Rates-Payload-Version" not in server.requests[1]
    assert b"Datadog-Rates-Payload-Version: abc" in server.requests[2]


BAD_RATES = [
    b"OK",
    b"",
    b"[]",
    b"{}",
    b'{"rate_by_service": 3}',
    b'{"rate_by_service": {"a": "x"}}',
    b"\xff",
    b"[" * 900,
]


@pytest.mark.parametrize("body", BAD_RATES)
def test_rates_that_are_none(scripted: Any, body: bytes) -> None:
    assert rates_after(scripted, answer(200, body))[0] == []


def test_rates_out_of_range_are_left_out(scripted: Any) -> None:
    assert rates_after(scripted, answer(200, b'{"rate_by_service": {"a": 2, "b": -1, "c": NaN, "d": 0}}'))[0] == [
        {"d": 0.0}
    ]


def test_a_sampler_that_fails(scripted: Any) -> None:
    def on_rates(rates: Any) -> None:
        raise RuntimeError("no")

    server = scripted(forever(OLD, answer(200, b'{"rate_by_service": {"a": 1}}')))
    DatadogExporter(server.url, on_rates=on_rates).export(one(), process())
    assert len(server.requests) == 2


def test_own_headers(scripted: Any) -> None:
    server = scripted(forever(OLD))
    DatadogExporter(server.url, headers={"X-Datadog-Test-Session-Token": "t"}).export(one(), process())
    assert b"X-Datadog-Test-Session-Token: t\r\n" in server.requests[1]


ID = "34dc0b5e626f2c5c4c5170e34b10e7654ce36f0fcd532739f4445baabea03376"
CGROUPS: List[Any] = [
    ("13:name=systemd:/docker/" + ID, ID),
    ("11:perf_event:/kubepods/test/pod3d274242-8ee0-11e9-a8a6-1e68d864ef1a/" + ID, ID),
    ("1:name=systemd:/kubepods.slice/kubepods-pod1.slice/crio-" + ID + ".scope", ID),
    ("9:perf_event:/ecs/task/" + ID, ID),
    ("1:name=systemd:/ecs/8cd79a803caf4d2aa945152e934a5c00/8cd79a803caf4d2aa945152e934a5c00-1053176469",
     "8cd79a803caf4d2aa945152e934a5c00-1053176469"),
    ("1:name=systemd:/system.slice/garden.service/garden/6f265890-5165-7fab-6b52-18d1", "6f265890-5165-7fab-6b52-18d1"),
    ("0::/user.slice/user-1000.slice/session-1.scope", None),
    ("", None),
]  # fmt: skip


@pytest.mark.parametrize("line, expected", CGROUPS)
def test_the_container(tmp_path: Any, line: str, expected: Any) -> None:
    path = tmp_path / "cgroup"
    path.write_text("7:cpu:/\n" + line + "\n")
    found = container_headers(str(path), str(tmp_path / "nothing"))
    assert found.get("Datadog-Container-ID") == expected
    assert found.get("Datadog-Entity-ID") == (expected and "ci-" + expected)


def test_the_cgroup_where_the_container_is_hidden(tmp_path: Any, monkeypatch: Any) -> None:
    from gossamer._export import container

    monkeypatch.setattr(container, "_HOST_CGROUP_INODE", -1)
    (tmp_path / "cgroup").write_text("0::/\n")
    found = container_headers(str(tmp_path / "cgroup"), str(tmp_path))
    assert found == {"Datadog-Entity-ID": "in-%d" % tmp_path.stat().st_ino}


def test_no_cgroup_at_all() -> None:
    assert container_headers("/nonexistent") == {}


def test_the_agent_is_asked_again_after_it_was_lost(scripted: Any) -> None:
    def once(connection: Connection) -> None:
        for said in (info(endpoints=["/v0.4/traces", "/v0.5/traces"]), answer(200)):
            connection.request()
            connection.send(said)
        connection.request()  # and closes without an answer

    server = scripted(once, lambda connection: connection.request(), forever(info(endpoints=["/v0.4/traces"])))
    exporter = DatadogExporter(server.url, version="v0.5")
    exporter.export(one(), process())
    with pytest.raises(ExportError):
        exporter.export(one(), process())
    exporter.export(one(), process())
    assert server.paths()[-2:] == ["GET /info", "PUT /v0.4/traces"]


def test_errors_of_the_client_do_not_escape(monkeypatch: Any) -> None:
    exporter = DatadogExporter("http://127.0.0.1:1")

    def request(*args: Any, **options: Any) -> Any:
        raise HttpError("boom", "cut")

    monkeypatch.setattr(exporter.client, "request", request)
    with pytest.raises(ExportError):
        exporter.export(one(), process())
