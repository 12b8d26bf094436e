"""What tracers send, in every encoding, and what happens to what is malformed."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from gossamer.viewer import Viewer, store
from tests.viewer.helpers import Client, child, hex32, pack, pack_v05, span

MSGPACK = {"Content-Type": "application/msgpack"}


def shop() -> list[dict[str, Any]]:
    root = span(
        meta={"http.method": "GET", "span.kind": "server", "_dd.p.tid": "00000000000000ab", "env": "dev"},
        metrics={"http.status_code": 500.0},
        error=1,
    )
    return [
        root,
        child(root, service="db", name="sqlite.query", resource="SELECT 1", type="sql", meta={"long": "x" * 300}),
    ]


@pytest.mark.parametrize("path", ["/v0.3/traces", "/v0.4/traces", "/v0.5/traces"])
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_agent_protocols_keep_everything(client: Client, path: str, method: str) -> None:
    spans = shop()
    body = pack_v05([spans]) if "5" in path else pack([spans])
    answer = client.ask(method, path, body, MSGPACK)
    assert (answer.status, answer.json) == (200, {"rate_by_service": {"service:,env:": 1}})
    client.viewer.store.flush()
    check_shop(client, spans)


def check_shop(client: Client, spans: list[dict[str, Any]]) -> None:
    (row,) = client.get("/api/traces")["rows"]
    assert row["trace"] == hex32(spans[0]["trace_id"], 0xAB)
    assert row["root"] == {
        "service": "shop",
        "name": "web.request",
        "resource": "GET /",
        "type": "web",
        "kind": "server",
        "complete": True,
    }
    assert (row["spans"], row["errors"], sorted(row["services"])) == (2, 1, ["db", "shop"])
    skeleton = client.get("/api/traces/" + row["trace"])
    assert (skeleton["parent"], skeleton["err"], skeleton["total"]) == ([-1, 0], [0], 2)
    detail = client.get("/api/spans/{}/{}".format(skeleton["chunk"][0], 0))
    assert detail["attributes"]["http.status_code"] == 500 and detail["attributes"]["env"] == "dev"
    assert (detail["span"], detail["parent"], detail["error"]) == (f"{spans[0]['span_id']:016x}", None, True)
    assert detail["start"] == pytest.approx(spans[0]["start"] / 1000)
    second = client.get("/api/spans/{}/{}".format(skeleton["chunk"][1], 1))
    assert second["attributes"]["long"] == "x" * 300 and second["resource"] == "SELECT 1"


@pytest.mark.parametrize("path", ["/v0.3/traces", "/v0.4/traces"])
def test_json(client: Client, path: str) -> None:
    spans = shop()
    answer = client.ask("POST", path, json.dumps([spans]).encode(), {"Content-Type": "application/json; charset=utf-8"})
    assert answer.status == 200
    client.viewer.store.flush()
    check_shop(client, spans)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate", "two members"])
def test_compressed_bodies(client: Client, encoding: str) -> None:
    body = pack([shop()])
    if encoding == "gzip":
        body = gzip.compress(body)
    elif encoding == "two members":
        body = gzip.compress(body[:50]) + gzip.compress(body[50:])
    elif encoding == "deflate":
        body = zlib.compress(body)
    else:
        deflater = zlib.compressobj(wbits=-15)
        body = deflater.compress(body) + deflater.flush()
    name = "gzip" if encoding == "two members" else encoding.split()[-1]
    assert client.ask("PUT", "/v0.4/traces", body, {"Content-Encoding": name, **MSGPACK}).status == 200
    client.viewer.store.flush()
    assert client.get("/api/status")["spans"] == 2


def test_chunked_body(client: Client) -> None:
    body = pack([shop()])
    parts = iter([body[:7], body[7:100], body[100:]])
    assert client.ask("PUT", "/v0.4/traces", parts, MSGPACK, encode_chunked=True).status == 200
    client.viewer.store.flush()
    assert client.get("/api/status")["spans"] == 2


def test_malformed_bodies_are_refused_whole_with_offset_and_counted(client: Client) -> None:
    good = pack([shop(), shop()])
    for body in (
        good[:-3],
        good + b"\x01",
        b"\x92\x90",
        b"\xdd\xff\xff\xff\xff",
        b"hello",
        b"\x91\x91\x81\xa7service\x01",
    ):
        answer = client.ask("PUT", "/v0.4/traces", body, MSGPACK)
        assert answer.status == 400 and b"at byte" in answer.body, (body[:20], answer)
    assert client.ask("PUT", "/v0.4/traces", b"[{}", {"Content-Type": "application/json"}).status == 400
    status = client.get("/api/status")
    assert status["spans"] == 0 and sum(status["refused"]["v0.4"].values()) == 7


def test_spans_without_ids_or_of_two_traces_in_a_chunk_are_refused_and_the_rest_kept(client: Client) -> None:
    bad = [[span(trace_id=0)], [span(), span()], [span(span_id=0)]]
    assert client.send([*bad, [span()]]).status == 200
    status = client.get("/api/status")
    assert status["spans"] == 1
    assert status["refused"]["v0.4"] == {
        "a span without trace or span id": 2,
        "spans of several traces in one chunk": 2,
    }


def test_limits_of_a_body(client: Client) -> None:
    bomb = gzip.compress(b"\0" * (101 << 20), 9)
    assert client.ask("PUT", "/v0.4/traces", bomb, {"Content-Encoding": "gzip"}).status == 413
    answer = client.raw(b"PUT /v0.4/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 26214401\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    deep = b"\x91\x91\x82\xa8trace_id\x01\xa1x" + b"\x91" * 100 + b"\xc0" + b"\0" * 30
    assert b"nested too deeply" in client.ask("PUT", "/v0.4/traces", deep, MSGPACK).body
    assert client.ask("PUT", "/v0.4/traces", b"[" * 100000, {"Content-Type": "application/json"}).status == 400
    assert client.ask("PUT", "/v0.4/traces", b"x", {"Content-Encoding": "br"}).status == 415


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"PUT /v0.4/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"PUT /v0.4/traces HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"PUT /v0.4/traces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"PUT /v0.4/traces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"PUT /v0.4/traces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
def test_malformed_http_is_400_and_closed(client: Client, request_bytes: bytes) -> None:
    assert client.raw(request_bytes).startswith(b"HTTP/1.1 400 ")


def test_endless_headers_are_cut_off(client: Client) -> None:
    assert client.raw(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 8000).startswith(b"HTTP/1.1 431 ")


def test_a_stalled_request_ends(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossamer.viewer.http.STALLED", 0.2)
    began = time.monotonic()
    answer = client.raw(b"PUT /v0.4/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 408") and time.monotonic() - began < 3


def test_keep_alive_and_pipelining(client: Client) -> None:
    one = b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert client.raw(one + one + last).count(b"HTTP/1.1 200 OK") == 3


def test_the_longest_idle_connection_makes_room(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossamer.viewer.http.MAX_CONNECTIONS", 4)
    idle = [socket.create_connection(("127.0.0.1", client.port)) for _ in range(4)]
    try:
        deadline = time.monotonic() + 5
        while len(client.viewer._server._connections) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert client.ask("GET", "/info").status == 200
        idle[0].settimeout(2)
        assert idle[0].recv(1) == b""
    finally:
        for sock in idle:
            sock.close()


def test_info_stats_telemetry_and_unknown_paths(client: Client) -> None:
    info = client.ask("GET", "/info").json
    assert info["endpoints"] == ["/v0.3/traces", "/v0.4/traces", "/v0.5/traces", "/v0.6/stats", "/info"]
    assert info["client_drop_p0s"] is False and info["version"].startswith("gossamer ")
    assert client.ask("PUT", "/v0.6/stats", pack({"Stats": []}), MSGPACK).status == 200
    assert client.ask("POST", "/telemetry/proxy/api/v2/apmtelemetry", b"{}").status == 200
    assert client.ask("POST", "/v0.7/config", b"{}").status == 404
    assert client.get("/api/status")["received"]["v0.6/stats"]["requests"] == 1


def test_a_grpc_client_is_noted(client: Client) -> None:
    assert client.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == b""
    (note,) = client.get("/api/status")["notes"]
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf" in note["text"]


def test_clients_and_counts(client: Client) -> None:
    client.send([shop()], **{"Datadog-Meta-Lang": "ruby", "Datadog-Meta-Tracer-Version": "2.3", "User-Agent": "x/1"})
    status = client.get("/api/status")
    (seen,) = status["clients"]
    assert (seen["language"], seen["version"], seen["agent"], seen["spans"]) == ("ruby", "2.3", "x/1", 2)
    assert status["received"]["v0.4"]["spans"] == 2 and status["rate"]["spans"] > 0
    assert status["address"] == f"http://localhost:{client.port}" and status["limits"]["spans"] == 1000000


def test_a_full_queue_answers_429(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "QUEUE_BYTES", 5000)
    viewer = Viewer(port=0, data_dir=str(tmp_path))
    viewer._server.start()  # the writer does not run
    try:
        client = Client(viewer)
        answers = [client.ask("PUT", "/v0.4/traces", pack([shop()]), MSGPACK) for _ in range(8)]
        assert answers[0].status == 200 and answers[-1].status == 429 and answers[-1].headers["retry-after"]
        assert client.get("/api/status")["refused"]["v0.4"]["the queue is full"] > 0
    finally:
        viewer.stop()


def test_forward_passes_on_and_returns_the_answer(tmp_path: Any) -> None:
    seen: list[tuple[str, bytes, str]] = []

    class Agent(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, body, self.headers["Datadog-Meta-Lang"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"rate_by_service":{"service:,env:":0.5}}')

        def log_message(self, *args: Any) -> None:
            pass

    agent = HTTPServer(("127.0.0.1", 0), Agent)
    threading.Thread(target=agent.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{agent.server_port}"
    try:
        with Viewer(port=0, data_dir=str(tmp_path), forward=url) as viewer:
            client = Client(viewer)
            body = pack([shop()])
            answer = client.ask("PUT", "/v0.4/traces", body, {"Datadog-Meta-Lang": "python", **MSGPACK})
            assert answer.json == {"rate_by_service": {"service:,env:": 0.5}}
            viewer.store.flush()
            assert client.get("/api/status")["spans"] == 2
            assert seen == [("/v0.4/traces", body, "python")]
            agent.shutdown()
            agent.server_close()
            assert client.ask("PUT", "/v0.4/traces", body, MSGPACK).status == 502
    finally:
        agent.server_close()
