"""The servers of the tests themselves: what they record, and that they end."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import socket
import sys
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.services.ports import accepts, wait_until
from tests.services.process import run_python

SPAN = {"trace_id": 1, "span_id": 2, "parent_id": 0, "name": "n", "resource": "r", "service": "s", "error": 0}


def fetch(url: str, data: Any = None, **headers: str) -> Any:
    request = urllib.request.Request(url, data, {name.replace("_", "-"): value for name, value in headers.items()})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.status, answer.read()


def test_http_server_answers_by_path_and_records(http_server):
    assert fetch(http_server.url + "/x?y=1", b"body", X_Test="1") == (200, b"ok")
    assert http_server.last.method == "POST"
    assert http_server.last.path == "/x?y=1"
    assert http_server.last.headers["x-test"] == "1"
    assert http_server.last.body == b"body"
    assert fetch(http_server.url + "/stream/2")[1] == b"chunk 0\nchunk 1\n"
    assert fetch(http_server.url + "/redirect/2")[1] == b"ok"
    assert json.loads(fetch(http_server.url + "/echo")[1].decode())["method"] == "GET"
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(http_server.url + "/status/503")
    assert caught.value.code == 503
    with pytest.raises(http.client.IncompleteRead):
        fetch(http_server.url + "/cut")
    with pytest.raises((http.client.HTTPException, OSError)):
        fetch(http_server.url + "/close")


def test_capture_agent_decodes_both_versions(capture_agent):
    msgpack = pytest.importorskip("msgpack")
    status, body = fetch(capture_agent.url + "/v0.4/traces", msgpack.packb([[SPAN]]), X_Datadog_Trace_Count="1")
    assert status == 200 and "rate_by_service" in json.loads(body.decode())
    table = ["", "s", "n", "r", "key", "value"]
    row = [1, 2, 3, 1, 2, 0, 5, 6, 0, {4: 5}, {4: 1.5}, 0]
    fetch(capture_agent.url + "/v0.5/traces", msgpack.packb([table, [[row]]]))
    first, second = capture_agent.wait_for_spans(2)
    assert {name: second[name] for name in SPAN} == first
    assert second["meta"] == {"key": "value"} and second["metrics"] == {"key": 1.5}
    assert "/v0.5/traces" in json.loads(fetch(capture_agent.url + "/info")[1].decode())["endpoints"]


def test_capture_agent_decodes_otlp(capture_agent):
    service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    message = service.ExportTraceServiceRequest()
    span = message.resource_spans.add().scope_spans.add().spans.add(name="n", trace_id=b"\1" * 16, span_id=b"\2" * 8)
    span.kind = 3
    span.attributes.add(key="count").value.int_value = 7
    body = gzip.compress(message.SerializeToString())
    fetch(capture_agent.otlp_url + "/v1/traces", body, Content_Encoding="gzip", Content_Type="application/x-protobuf")
    (found,) = capture_agent.wait_for_otlp_spans(1)
    assert (found["name"], found["kind"], found["attributes"]) == ("n", 3, {"count": 7})
    assert found["trace_id"] == "01" * 16 and found["span_id"] == "02" * 8


def test_capture_agent_behaves_as_told(capture_agent):
    capture_agent.behave(status=429, times=2)
    capture_agent.behave(cut=True)
    for _ in range(2):
        with pytest.raises(urllib.error.HTTPError):
            fetch(capture_agent.url + "/v0.4/traces", b"\x90")
    with pytest.raises((http.client.HTTPException, OSError)):
        fetch(capture_agent.url + "/v0.4/traces", b"\x90")
    assert fetch(capture_agent.url + "/v0.4/traces", b"\x90")[0] == 200
    with pytest.raises(urllib.error.HTTPError):
        fetch(capture_agent.url + "/v0.4/traces", b"\xc1")
    assert capture_agent.errors
    capture_agent.errors.clear()


def test_capture_agent_listens_on_a_unix_socket(capture_agent_socket):
    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(capture_agent_socket.path)
    connection.request("POST", "/v0.4/traces", b"\x90")
    assert connection.getresponse().status == 200
    connection.close()


def test_a_server_and_what_it_started_end_together(start_server):
    source = "import os, http.server, sys; os.fork(); http.server.test(port=int(sys.argv[1]), bind='127.0.0.1')"
    server = start_server([sys.executable, "-c", source, "{port}"])
    assert accepts(server.port)
    server.stop()
    wait_until(lambda: not accepts(server.port), 5)


def test_a_server_that_cannot_start_shows_its_output(start_server):
    with pytest.raises(RuntimeError, match="no such luck"):
        start_server([sys.executable, "-c", "raise SystemExit('no such luck')"])


def test_scripts_run_in_a_clean_environment(monkeypatch):
    monkeypatch.setenv("DD_SERVICE", "mine")
    result = run_python("import os; print(os.environ.get('DD_SERVICE'), os.environ['DD_ENV'])", DD_ENV="test")
    assert (result.returncode, result.stdout, result.stderr) == (0, "None test\n", "")


def test_redis_server(redis_server):
    with socket.create_connection(redis_server, timeout=10) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(100) == b"+PONG\r\n"


def test_redis_cluster(redis_cluster):
    for node in redis_cluster:
        with socket.create_connection(node, timeout=10) as connection:
            connection.sendall(b"CLUSTER INFO\r\n")
            assert b"cluster_state:ok" in connection.recv(1000)


def test_postgres_server(postgres_server):
    with socket.create_connection(postgres_server[:2], timeout=10) as connection:
        user = postgres_server.user.encode()
        startup = b"\0\3\0\0user\0" + user + b"\0database\0" + postgres_server.database.encode() + b"\0\0"
        connection.sendall((len(startup) + 4).to_bytes(4, "big") + startup)
        assert connection.recv(9) == b"R\0\0\0\x08\0\0\0\0"  # let in


def test_our_environment_is_clean():
    assert not [name for name in os.environ if name.startswith(("DD_", "OTEL_"))]
