"""What is kept, for how long, and what survives."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from gossamer.viewer import Limits, Viewer
from gossamer.viewer.limits import parse_limits
from gossamer.viewer.store import Store
from tests.services.process import clean_environment
from tests.viewer.helpers import Client, child, hex32, pack, pack_v05, span


def until(true: Callable[[], Any], seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = true()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("it did not come to pass")


def traces(count: int, size: int = 10, **fields: Any) -> list[list[dict[str, Any]]]:
    result = []
    for _ in range(count):
        root = span(meta={"k": "v", "text": os.urandom(40).hex()}, **fields)
        result.append([root, *[child(root) for _ in range(size - 1)]])
    return result


def test_everything_is_there_after_a_restart(tmp_path: Any) -> None:
    sent = traces(3)
    with Viewer(port=0, data_dir=str(tmp_path)) as viewer:
        Client(viewer).send(sent)
        before = Client(viewer).get("/api/traces")["rows"]
    with Viewer(port=0, data_dir=str(tmp_path)) as viewer:
        client = Client(viewer)
        assert client.get("/api/traces")["rows"] == before and len(before) == 3
        status = client.get("/api/status")
        assert (status["spans"], status["traces"]) == (30, 3)
        client.send([[child(sent[0][0], service="late")]])  # and goes on where it was
        assert client.search("trace:" + hex32(sent[0][0]["trace_id"]))[0]["spans"] == 11
        assert len(client.search("@k:v")) == 3


def test_the_files_are_private(tmp_path: Any) -> None:
    folder = tmp_path / "data"
    with Viewer(port=0, data_dir=str(folder)) as viewer:
        Client(viewer).send(traces(1))
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
        assert modes["traces.db"] == 0o600 and set(modes.values()) == {0o600} and len(modes) > 1


def test_memory_leaves_nothing_on_disk(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Viewer(port=0) as viewer:
        client = Client(viewer)
        client.send(traces(5))
        assert len(client.search("@k:v")) == 5 and client.get("/api/status")["data"] is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["version", "not a database", "other tables", "truncated"])
def test_a_file_that_is_not_ours_is_set_aside(tmp_path: Any, damage: str) -> None:
    path = tmp_path / "traces.db"
    if damage == "not a database":
        path.write_bytes(b"hello, this is no database\n" * 100)
    elif damage == "other tables":
        sqlite3.connect(str(path)).execute("create table x (y)")
    else:
        with Viewer(port=0, data_dir=str(tmp_path)) as viewer:
            Client(viewer).send(traces(50))
        if damage == "version":
            connection = sqlite3.connect(str(path))
            connection.execute("pragma user_version = 7")
            connection.close()
        else:
            path.write_bytes(path.read_bytes()[:30000])
    content = path.read_bytes()
    with Viewer(port=0, data_dir=str(tmp_path)) as viewer:
        client = Client(viewer)
        client.send(traces(1))
        assert client.get("/api/status")["spans"] == 10
        (note,) = client.get("/api/status")["notes"]
    (aside,) = [path for path in tmp_path.glob("traces.db.2*") if "-wal" not in path.name and "-shm" not in path.name]
    assert str(aside) in note["text"]
    if damage in ("version", "not a database"):
        assert aside.read_bytes() == content


def test_kill_9_in_the_middle_of_writing_loses_nothing_that_was_committed(tmp_path: Any) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "gossamer.viewer", "--port", "0", "--data", str(tmp_path)],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        universal_newlines=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2])
        client = Client.__new__(Client)
        client.port = port
        body = pack(traces(50))
        committed = 0
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline or not committed:
            assert client.ask("PUT", "/v0.4/traces", body).status in (200, 429)
            committed = client.get("/api/status")["spans"]
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    finally:
        process.kill()
        process.wait()
    with Viewer(port=0, data_dir=str(tmp_path)) as viewer:
        client = Client(viewer)
        assert client.get("/api/status")["spans"] >= committed and not client.get("/api/status")["notes"]
        chunks = viewer.store.database.writer.execute("select id, spans from chunk where trace is not null").fetchall()
        for chunk, spans in chunks:  # the bytes of every chunk are there
            assert client.get(f"/api/spans/{chunk}/{spans - 1}")["attributes"] is not None
            if chunk > 200:
                break
        last = chunks[-1]
        assert client.get(f"/api/spans/{last[0]}/{last[1] - 1}")["span"]


@pytest.mark.parametrize("v05", [False, True])
def test_retention_by_spans_takes_the_oldest(tmp_path: Any, v05: bool) -> None:
    with Viewer(port=0, data_dir=str(tmp_path), keep=Limits(spans=8000)) as viewer:
        client = Client(viewer)
        sent = []
        for _ in range(10):
            batch = traces(150)
            sent += batch
            if v05:
                assert client.ask("PUT", "/v0.5/traces", pack_v05(batch)).status == 200
                viewer.store.flush()
            else:
                client.send(batch)
        until(lambda: viewer.store.spans <= 8000)
        status = client.get("/api/status")
        assert (6000 if v05 else 7800) <= status["spans"] <= 8000 and status["removed"]["spans"] > 0
        first, last = hex32(sent[0][0]["trace_id"]), hex32(sent[-1][0]["trace_id"])
        gone = client.ask("GET", "/api/traces/" + first)
        assert gone.status == 404 and gone.json["error"]["code"] == "removed"
        assert abs(gone.json["error"]["at_time"] / 1e6 - time.time()) < 60
        skeleton = client.get("/api/traces/" + last)
        assert client.get("/api/spans/{}/0".format(skeleton["chunk"][0]))["attributes"]["k"] == "v"
        everything = client.search("@k:v", limit=200)
        assert len(everything) == status["traces"] == status["spans"] / 10
        oldest = everything[-1]["trace"]  # and what is left can be read, heads included
        chunk = client.get("/api/traces/" + oldest)["chunk"][0]
        assert client.get(f"/api/spans/{chunk}/9")["name"] == "web.request"
        tables = viewer.store.database.writer
        assert tables.execute("select count(*) from page where id < (select min(page) from chunk)").fetchone()[0] == 0
        unknown = client.ask("GET", "/api/traces/" + "1" * 32)
        assert (unknown.status, unknown.json["error"]["code"]) == (404, "unknown")
        assert client.ask("GET", "/api/traces/nonsense").status == 400


def test_retention_by_bytes(tmp_path: Any) -> None:
    with Viewer(port=0, data_dir=str(tmp_path), keep=Limits(bytes=1 << 20)) as viewer:
        client = Client(viewer)
        for _ in range(20):
            client.send(traces(300, 2, name=os.urandom(50).hex()))
        until(lambda: viewer.store.bytes <= 1 << 20)
        assert viewer.store.spans < 12000 and len(client.search("", limit=200)) == viewer.store.traces > 100


def test_retention_by_age_counts_from_arrival(tmp_path: Any) -> None:
    with Viewer(port=0, data_dir=str(tmp_path), keep="1d") as viewer:
        client = Client(viewer)
        client.send([[span(start=1_000_000_000)]])  # a clock that is wrong
        client.send(traces(1))
        assert viewer.store.traces == 2
        with viewer.store.database.write() as connection:
            connection.execute("update page set written = written - 90000000000")
            viewer.store._rows.pages._began -= 90000
            viewer.store._rows.pages._last -= 90000
        client.send(traces(1))
        until(lambda: viewer.store.traces == 1)
        assert viewer.store.flush() and len(client.search("")) == 1  # the one that came last


def test_pinned_traces_stay(tmp_path: Any) -> None:
    with Viewer(port=0, data_dir=str(tmp_path), keep=Limits(spans=2000)) as viewer:
        client = Client(viewer)
        root = span(resource="GET /pinned", meta={"pinned": "yes"})
        assert client.ask("PUT", "/v0.5/traces", pack_v05([[root, child(root, meta={"x": "y"})]])).status == 200
        client.send([[span()]])
        with viewer.store.database.write() as connection:
            connection.execute("update trace set pinned = 1 where lo = ?", (root["trace_id"],))
        for _ in range(20):
            client.send(traces(60))
        until(lambda: viewer.store.spans <= 2000)
        (row,) = client.search("@pinned:yes")
        assert row["pinned"] and client.get("/api/spans/{}/1".format(row["match"]["chunk"]))["attributes"]["x"] == "y"
        assert (
            client.ask("DELETE", "/api/data", b"{}", {"X-Gossamer": "1", "Content-Type": "application/json"}).status
            == 200
        )
        assert [row["root"]["resource"] for row in client.search("")] == ["GET /pinned"]


def test_operations_without_spans_are_forgotten_and_too_many_share_a_name(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gossamer.viewer.writer.MOST_OPERATIONS", 100)
    monkeypatch.setattr("gossamer.viewer.retention.MOST_OPERATIONS", 100)
    with Viewer(port=0, data_dir=str(tmp_path), keep=Limits(spans=600)) as viewer:
        client = Client(viewer)
        client.send([[span(resource=f"GET /{index}")] for index in range(150)])
        assert len(viewer.store.operations) == 101 and client.get("/api/status")["notes"]
        rows = client.search("resource:web.request")
        assert len(rows) == 50
        chunk = rows[0]["match"]["chunk"]
        assert client.get(f"/api/spans/{chunk}/0")["raw"]["resource"] == "GET /149"  # the bytes have it still
        client.send([[span(resource="GET /same")] for _ in range(600)])
        until(lambda: viewer.store.spans <= 600)
        assert len(viewer.store.operations) < 100


def test_a_store_that_fails_goes_on(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with Viewer(port=0, data_dir=str(tmp_path)) as viewer:
        client = Client(viewer)
        client.send(traces(1))
        original = viewer.store._rows._store

        def full(*args: Any) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(viewer.store._rows, "_store", full)
        client.send(traces(2))
        monkeypatch.setattr(viewer.store._rows, "_store", original)
        client.send(traces(4))
        status = client.get("/api/status")
        assert (status["spans"], status["traces"]) == (50, 5)
        assert status["refused"]["store"] == {"the store failed: database or disk is full": 20}
        assert len(client.search("@k:v")) == 5


def test_two_traces_with_one_lower_half(tmp_path: Any) -> None:
    with Viewer(port=0, data_dir=str(tmp_path)) as viewer:
        client = Client(viewer)
        one = span(meta={"_dd.p.tid": "0" * 15 + "1"}, resource="one")
        other = span(one["trace_id"], meta={"_dd.p.tid": "0" * 15 + "2"}, resource="two")
        client.send([[one], [other], [child(one, meta={"_dd.p.tid": "0" * 15 + "1"})]])
        client.send([[child(other, meta={"_dd.p.tid": "0" * 15 + "2"})]])
        assert {row["trace"]: row["spans"] for row in client.search("")} == {
            hex32(one["trace_id"], 1): 2,
            hex32(one["trace_id"], 2): 2,
        }


def test_the_root_replaces_what_stood_in_for_it(tmp_path: Any) -> None:
    with Viewer(port=0, data_dir=str(tmp_path)) as viewer:
        client = Client(viewer)
        root = span(resource="root")
        inner = child(root, resource="inner", start=root["start"] + 1000)
        client.send([[child(inner, resource="leaf", start=root["start"] + 5000)]])
        assert [(row["root"]["resource"], row["root"]["complete"]) for row in client.search("")] == [("leaf", False)]
        client.send([[inner]])
        assert client.search("")[0]["root"]["resource"] == "inner"
        client.send([[root]])
        row = client.search("")[0]
        assert (row["root"]["resource"], row["root"]["complete"], row["spans"]) == ("root", True, 3)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", Limits()),
        ("500_000", Limits(spans=500000)),
        ("2GB", Limits(bytes=2 << 30)),
        ("12h", Limits(age=43200)),
        ("1000,1.5mb,2d", Limits(1000, 3 << 19, 172800)),
    ],
)
def test_limits(text: str, limits: Limits) -> None:
    assert parse_limits(text) == limits


@pytest.mark.parametrize("text", ["x", "5 parsecs", "-3", "0", "1kb", "1,,y"])
def test_limits_that_cannot_be(text: str) -> None:
    with pytest.raises(ValueError, match="expected|at least"):
        parse_limits(text)


def test_a_store_can_be_opened_without_threads(tmp_path: Any) -> None:
    store = Store(str(tmp_path))
    assert store.oldest() is None and store.spans == 0
    store.stop()
    assert Path(tmp_path, "traces.db").exists()
