"""Traces, spans and news, as the page asks for them."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

import pytest

from gossamer.viewer import Viewer, live
from tests.viewer.helpers import CHANGE, Client, child, hex32, new_id, pack, span


def test_skeleton_of_a_growing_trace(client: Client) -> None:
    root = span(resource="root", start=2_000_000_000_000_000_000)
    middle = child(root, resource="middle", error=1)
    leaf = child(middle, resource="leaf", start=root["start"] - 5_000_000)
    client.send([[leaf, child(root, span_id=leaf["span_id"])]])
    first = client.get("/api/traces/" + hex32(root["trace_id"]))
    assert (first["parent"], first["orphans"], first["duplicates"], first["total"]) == ([-1, -1], [0, 1], [1], 2)
    client.send([[root, middle]])
    more = client.get("/api/traces/" + hex32(root["trace_id"]), after=first["last"])
    assert (more["first"], more["parent"], more["adopted"], more["orphans"]) == (2, [-1, 2], [[0, 3], [1, 2]], [])
    assert more["err"] == [3] and more["total"] == 4 and more["next"] is None
    assert more["summary"]["spans"] == 4 and more["summary"]["errors"] == 1
    chunk = first["last"].partition(".")[0]
    assert client.get("/api/traces/" + hex32(root["trace_id"]), after_chunk=chunk)["first"] == 2
    nothing = client.get("/api/traces/" + hex32(root["trace_id"]), after=more["last"])
    assert nothing["op"] == [] and nothing["first"] == 4
    whole = client.get("/api/traces/" + hex32(root["trace_id"]))
    assert whole["parent"] == [3, 2, -1, 2]
    assert [whole["ops"][index][2] for index in whole["op"]] == ["leaf", "GET /", "root", "middle"]
    assert whole["base"] + whole["start"][2] == root["start"] // 1000 and min(whole["start"]) == 0
    assert client.get("/api/traces/" + f"{root['trace_id']:016x}")["total"] == 4


def test_a_trace_of_100_000_spans_comes_in_pieces(client: Client) -> None:
    root = span(resource="root", duration=1)
    spans = [root] + [child(root, duration=index) for index in range(1, 100_000)]
    for at in range(0, len(spans), 20_000):
        client.send([spans[at : at + 20_000]])
    pieces = []
    after = ""
    began = time.monotonic()
    while True:
        piece = client.get("/api/traces/" + hex32(root["trace_id"]), after=after)
        pieces.append(piece)
        after = piece["next"]
        if not after:
            break
    assert time.monotonic() - began < 20
    assert [(piece["first"], len(piece["op"])) for piece in pieces] == [
        (start, 20_000) for start in range(0, 100_000, 20_000)
    ]
    assert sum((piece["parent"] for piece in pieces), []) == [-1] + [0] * 99_999
    assert all(piece["total"] == 100_000 for piece in pieces)
    last = pieces[-1]
    detail = client.get("/api/spans/{}/{}".format(last["chunk"][-1], last["n"][-1]))
    assert detail["span"] == f"{spans[-1]['span_id']:016x}"
    assert client.search("trace.spans:>=100000")[0]["match"]["count"] == 100_000


def test_cycles_and_self_parents_do_not_hang(client: Client) -> None:
    one, two = new_id(), new_id()
    trace = new_id()
    client.send([[span(trace, two, span_id=one), span(trace, one, span_id=two), span(trace, 5, span_id=5)]])
    assert client.get("/api/traces/" + hex32(trace))["parent"] == [1, 0, 2]


def test_span_details_of_datadog(client: Client) -> None:
    other = new_id()
    events = [
        {
            "name": "exception",
            "time_unix_nano": 1_500,
            "attributes": {
                "exception.type": "KeyError",
                "exception.message": "'x'",
                "exception.stacktrace": "Traceback",
            },
        }
    ]
    sent = span(
        error=1,
        start=1_700_000_000_123_456_789,
        duration=1_500,
        meta={
            "error.message": "bad",
            "_dd.span_links": json.dumps(
                [{"trace_id": "00" * 15 + "ff", "span_id": "0" * 15 + "1", "attributes": {"a": "b"}}]
            ),
        },
        span_events=events,
        meta_struct={"extra": b"\x01"},
    )
    linked = span(
        span_links=[{"trace_id": other, "trace_id_high": 1, "span_id": 7, "attributes": {"k": "v"}}],
        meta={"events": json.dumps(events)},
    )
    client.send([[sent], [linked]])
    detail = client.get("/api/spans/1/0")
    assert detail["start"] == pytest.approx(1_700_000_000_123_456.789, abs=1) and detail["dur"] == 1.5
    assert detail["exception"] == {"type": "KeyError", "message": "'x'", "stack": "Traceback"}
    assert detail["events"][0]["time"] == 1.5 and detail["links"] == [
        {"trace": "00" * 15 + "ff", "span": "0" * 15 + "1", "attributes": {"a": "b"}}
    ]
    assert detail["status"] == {"code": "error", "message": "bad"} and detail["raw"]["start"] == "1700000000123456789"
    second = client.get("/api/spans/2/0")
    assert second["links"] == [{"trace": hex32(other, 1), "span": "0" * 15 + "7", "attributes": {"k": "v"}}]
    assert second["events"][0]["attributes"]["exception.type"] == "KeyError"


def test_what_is_not_there(client: Client) -> None:
    for path in (
        "/api/spans/99/0",
        "/api/spans/x/0",
        "/api/spans/1/-1",
        "/api/nothing",
        "/api/spans/1",
        "/api/traces/1/2",
        "/api/spans/" + "9" * 30 + "/0",
    ):
        answer = client.ask("GET", path)
        assert answer.status in (400, 404) and answer.json["error"]["message"], path


def test_sample_and_delete(client: Client) -> None:
    answer = client.ask("POST", "/api/sample", b"{}", CHANGE)
    trace = answer.json["trace"]
    (row,) = client.search("has:n+1 status:error")
    assert row["trace"] == trace and row["flags"] == ["n+1"] and row["errors"] == 2 and len(row["services"]) == 5
    assert client.get("/api/traces/" + trace)["orphans"] == []
    assert client.ask("DELETE", "/api/data", b"{}", CHANGE).json == {"removed": row["spans"]}
    assert client.get("/api/traces")["rows"] == [] and client.get("/api/status")["spans"] == 0
    assert client.ask("POST", "/api/sample", b"{}", CHANGE).status == 200
    assert len(client.search("@http.method:POST")) == 1


class Stream:
    """A live stream being read."""

    def __init__(self, client: Client, last: str = "") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=5)
        self.connection.request("GET", "/api/live", headers={"Last-Event-ID": last} if last else {})
        self.answer = self.connection.getresponse()
        self.id = ""

    def next(self) -> tuple[str, Any]:
        event: dict[str, str] = {}
        while True:
            line = self.answer.readline().decode().rstrip("\n")
            if not line and "data" in event:
                self.id = event["id"]
                return event["event"], json.loads(event["data"])
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                event[name] = value

    def close(self) -> None:
        self.answer.close()
        self.connection.close()


def test_live_stream(client: Client) -> None:
    stream = Stream(client)
    assert stream.answer.status == 200 and stream.answer.getheader("Content-Type") == "text/event-stream"
    assert stream.next()[0] == "hello"
    began = time.monotonic()
    client.send([[span(resource="one")]])
    name, data = stream.next()
    assert name == "traces" and [row["root"]["resource"] for row in data["rows"]] == ["one"] and data["spans"] == 1
    assert time.monotonic() - began < 2
    for _ in range(3):
        client.send([[span(resource="more")] for _ in range(40)])
    seen = 0
    events = 0
    began = time.monotonic()
    while seen < 120:
        name, data = stream.next()
        assert name == "traces" and len(data["rows"]) <= 50
        seen += len(data["rows"]) + data["more"]
        events += 1
    assert events <= 2 * (time.monotonic() - began) + 2
    last = stream.id
    stream.close()
    client.send([[span(resource="while away")]])
    again = Stream(client, last)
    assert again.next()[0] == "hello"
    name, data = again.next()
    assert [row["root"]["resource"] for row in data["rows"]] == ["while away"]
    client.ask("DELETE", "/api/data", b"{}", CHANGE)
    assert again.next()[0] == "cleared"
    again.close()


def test_live_streams_are_few_and_end_with_the_viewer(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STREAMS", 2)
    viewer = Viewer(port=0, data_dir=str(tmp_path)).start()
    client = Client(viewer)
    streams = [Stream(client), Stream(client)]
    for stream in streams:
        assert stream.next()[0] == "hello"
    assert client.ask("GET", "/api/live").status == 503
    streams[0].close()
    client.send([[span()]])  # the viewer notices when it writes
    deadline = time.monotonic() + 10
    while client.viewer._live._streams == 2 and time.monotonic() < deadline:
        client.send([[span()]])
    third = Stream(client)
    assert third.answer.status == 200
    began = time.monotonic()
    viewer.stop()
    assert time.monotonic() - began < 5
    third.close()
    streams[1].close()


def test_reading_while_writing(client: Client) -> None:
    for index in range(20):
        assert (
            client.ask("PUT", "/v0.4/traces", pack([[span(meta={"n": str(index)})] for _ in range(50)])).status == 200
        )
        client.get("/api/traces", q="@n:1")
        client.get("/api/facets")
    client.viewer.store.flush()
    assert client.get("/api/status")["spans"] == 1000 and len(client.search("@n:1")) == 50


def test_a_shut_down_viewer_has_written_what_it_accepted(tmp_path: Any) -> None:
    viewer = Viewer(port=0, data_dir=str(tmp_path)).start()
    client = Client(viewer)
    for _ in range(5):
        assert client.ask("PUT", "/v0.4/traces", pack([[span()] for _ in range(300)])).status == 200
    viewer.stop()
    with Viewer(port=0, data_dir=str(tmp_path)) as viewer:
        assert viewer.store.spans == 1500
