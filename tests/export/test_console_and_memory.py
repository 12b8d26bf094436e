"""The two exporters that send nothing."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from gossamer._export.console import ConsoleExporter
from gossamer._export.exporter import ExportError
from gossamer._export.memory import MemoryExporter
from tests.wire.build import START, TRACE_ID, Maker, one, process, remote


def printed(batch: Any, format: str = "text") -> str:
    stream = io.StringIO()
    ConsoleExporter(stream, format).export(batch, process())
    return stream.getvalue()


def test_a_line_of_text() -> None:
    maker = Maker()
    span = maker.start("flask.request", resource="GET /", attributes={"a": 1, "b": "x\ny"})
    span.set_error("no\ngood")
    span.finish()
    text = printed(maker.batch())
    assert text.count("\n") == 1
    for part in ("%032x" % TRACE_ID, "0.001 ms", "shop", "flask.request", "GET /", "ERROR no good", "a=1", "b='x\\ny'"):
        assert part in text


def test_lines_are_bounded() -> None:
    assert len(printed(one(attributes={"x": "x" * 25000}))) < 1100


def test_a_line_of_json() -> None:
    maker = Maker()
    span = maker.start("a", remote(), resource="r", type="web", kind="server", attributes={"b": b"\xff", "s": "\ud800"})
    span.add_event("e", {"x": 1}, START)
    span.add_link(remote(), {"y": "z"})
    span.finish()
    found = json.loads(printed(maker.batch(), "json"))
    assert (found["trace_id"], found["parent_id"], found["name"]) == ("%032x" % TRACE_ID, "fedcba9876543210", "a")
    assert found["events"] == [{"name": "e", "time": START, "attributes": {"x": 1}}]
    assert found["links"][0]["attributes"] == {"y": "z"}
    assert found["attributes"]["b"] == "\ufffd"


def test_standard_output_is_looked_up_at_the_time(capsys: Any) -> None:
    ConsoleExporter().export(one("here"), process())
    assert "here" in capsys.readouterr().out


def test_no_standard_output(monkeypatch: Any) -> None:
    monkeypatch.setattr("sys.stdout", None)
    ConsoleExporter().export(one(), process())


def test_a_stream_that_cannot_be_written() -> None:
    with open("/dev/full", "w") as stream, pytest.raises(ExportError) as caught:
        try:
            ConsoleExporter(stream).export(one(), process())
        finally:
            try:
                stream.close()
            except OSError:
                pass
    assert not caught.value.retry
    closed = io.StringIO()
    closed.close()
    with pytest.raises(ExportError):
        ConsoleExporter(closed).export(one(), process())


def test_a_stream_of_few_characters() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    ConsoleExporter(stream).export(one("caf\xe9 \ud800"), process())
    stream.seek(0)
    assert "caf\\xe9 \\ud800" in stream.read()


def test_memory_is_bounded() -> None:
    memory = MemoryExporter(max_spans=3)
    for name in "abcde":
        memory.export(one(name), process())
    assert [span.name for span in memory.spans] == ["a", "b", "c"]
    assert memory.dropped_spans == 2 and len(memory.chunks) == 3
    assert memory.process is not None and memory.process.service == "shop"
    memory.clear()
    memory.export(one("f"), process())
    assert [span.name for span in memory.spans] == ["f"]
