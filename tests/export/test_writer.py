"""The writer: what arrives, when, and what becomes of it when a destination fails."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from typing import Any, Iterator, List, Optional

import pytest

from gossamer import _log
from gossamer._core.pure import Buffer, Recorder
from gossamer._export import writer as writer_module
from gossamer._export.datadog import DatadogExporter
from gossamer._export.exporter import Exporter, ExportError
from gossamer._export.memory import MemoryExporter
from gossamer._export.writer import Writer
from tests.export.scripted import Connection
from tests.services.capture import CaptureAgent
from tests.services.ports import free_port, wait_until
from tests.wire.build import process


class Pipe:
    """A recorder, its buffer and writers for it that end with the test."""

    def __init__(self) -> None:
        self.recorder = Recorder(Buffer())
        self.writers: List[Writer] = []

    @property
    def buffer(self) -> Buffer:
        return self.recorder.buffer

    def writer(self, *exporters: Exporter, **options: Any) -> Writer:
        writer = Writer(exporters, self.buffer, process(), **options)
        self.writers.append(writer)
        return writer

    def spans(self, count: int = 1, name: str = "work") -> None:
        for _ in range(count):
            self.recorder.start(name, parent=None, activate=False).finish()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    for writer in pipe.writers:
        writer.shutdown(0.0)


@pytest.fixture
def lines() -> Iterator[List[str]]:
    """What is logged."""
    found: List[str] = []
    _log._seen.clear()
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    base = logging.getLogger("gossamer")
    level = base.level
    base.addHandler(handler)
    base.setLevel(logging.INFO)
    yield found
    base.removeHandler(handler)
    base.setLevel(level)


def names(agent: Any) -> List[str]:
    return [span["name"] for span in agent.spans]


def threads() -> List[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "gossamer-writer"]


class Failing(Exporter):
    """Fails with the given errors, one a call, then keeps what it is given."""

    name = "the failing one"

    def __init__(self, *errors: Any) -> None:
        self.errors = list(errors)
        self.memory = MemoryExporter(1 << 30)
        self.calls = 0

    def export(self, batch: Any, process: Any, timeout: Optional[float] = None) -> None:
        self.calls += 1
        if self.errors:
            error = self.errors.pop(0) if len(self.errors) > 1 or self.errors[0] is not Ellipsis else Ellipsis
            raise ExportError("down", True) if error is Ellipsis else error
        self.memory.export(batch, process)


# -- when -------------------------------------------------------------------------------------------------------------


def test_the_thread_starts_with_the_first_span_and_spans_arrive_by_themselves(pipe: Pipe) -> None:
    memory = MemoryExporter()
    before = len(threads())
    pipe.writer(memory, interval=0.05)
    assert len(threads()) == before
    pipe.spans(3)
    assert len(threads()) == before + 1 and all(thread.daemon for thread in threads())
    wait_until(lambda: len(memory.spans) == 3, 2.0)
    pipe.spans(2)
    wait_until(lambda: len(memory.spans) == 5, 2.0)
    assert len(threads()) == before + 1


def test_spans_from_before_the_writer(pipe: Pipe) -> None:
    memory = MemoryExporter()
    pipe.spans(2)
    pipe.writer(memory, interval=0.05)
    wait_until(lambda: len(memory.spans) == 2, 2.0)


def test_a_half_full_buffer_wakes_the_thread(pipe: Pipe) -> None:
    memory = MemoryExporter()
    pipe.buffer.max_bytes = 40000
    pipe.writer(memory, interval=60.0)
    pipe.spans()
    half = 20000 // pipe.buffer.pending_bytes + 1
    for rounds in range(1, 4):
        pipe.spans(half)
        wait_until(lambda: len(memory.spans) >= rounds * half, 2.0)
    assert pipe.buffer.dropped_spans == 0


def test_an_idle_thread_sleeps_until_there_is_work(pipe: Pipe, monkeypatch: Any) -> None:
    monkeypatch.setattr(writer_module, "IDLE_SECONDS", 0.0)
    memory = MemoryExporter()
    pipe.writer(memory, interval=0.02)
    for number in range(1, 6):
        pipe.spans()
        wait_until(lambda: len(memory.spans) == number, 2.0)
        wait_until(lambda: pipe.buffer.asleep, 2.0)


def test_flush_and_shutdown(pipe: Pipe) -> None:
    memory = MemoryExporter()
    writer = pipe.writer(memory, interval=60.0)
    pipe.spans(2)
    assert writer.flush() and len(memory.spans) == 2
    assert writer.flush()
    pipe.spans(3)
    assert writer.shutdown() and len(memory.spans) == 5
    assert writer.shutdown()
    wait_until(lambda: not threads(), 2.0)
    pipe.spans()  # nobody takes it; nothing breaks
    stats = writer.stats()
    assert (stats["sent_spans"], stats["sent_traces"], stats["dropped_spans"]) == (5, 5, {})


def test_large_batches_are_sent_in_parts(pipe: Pipe, capture_agent: CaptureAgent) -> None:
    writer = pipe.writer(DatadogExporter(capture_agent.url), interval=60.0, payload_limit=20000)
    pipe.spans(200)
    assert writer.flush()
    assert len(capture_agent.payloads) > 3 and len(capture_agent.spans) == 200


def test_flush_from_many_threads(pipe: Pipe, capture_agent: CaptureAgent) -> None:
    writer = pipe.writer(DatadogExporter(capture_agent.url), interval=0.001)

    def work() -> None:
        for _ in range(20):
            pipe.spans(10)
            writer.flush()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert writer.flush()
    assert len(capture_agent.spans) == 800 == len({span["span_id"] for span in capture_agent.spans})
    assert writer.stats()["sent_spans"] == 800


# -- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [{"status": 500}, {"status": 429}, {"status": 503}, {"cut": True}], ids=str)
def test_a_failure_that_passes(
    pipe: Pipe, capture_agent: CaptureAgent, lines: List[str], failure: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(writer_module, "FIRST_BACKOFF", 0.02)
    capture_agent.behave(times=3, **failure)
    writer = pipe.writer(DatadogExporter(capture_agent.url), interval=0.02)
    pipe.spans(5)
    capture_agent.wait_for_spans(5)
    wait_until(lambda: writer.stats()["sent_spans"] == 5, 2.0)
    pipe.spans(1, "later")
    capture_agent.wait_for_spans(6)
    assert names(capture_agent) == ["work"] * 5 + ["later"]
    assert len(lines) == 2 and capture_agent.url in lines[0] and "answers again" in lines[1]
    wait_until(lambda: writer.stats()["sent_spans"] == 6, 2.0)
    stats = writer.stats()
    # A kept connection that is cut without an answer is replaced once, within the same attempt.
    assert stats["errors"] == (1 if "cut" in failure else 3)
    assert (stats["dropped_spans"], stats["waiting_bytes"]) == ({}, 0)


def test_retry_after_is_honoured(pipe: Pipe) -> None:
    exporter = Failing(ExportError("busy", True, retry_after=0.4))
    pipe.writer(exporter, interval=0.02)
    pipe.spans()
    wait_until(lambda: exporter.calls, 2.0)
    began = time.monotonic()
    wait_until(lambda: exporter.memory.spans, 2.0)
    assert time.monotonic() - began > 0.3


def test_the_back_off_grows(pipe: Pipe, monkeypatch: Any) -> None:
    monkeypatch.setattr(writer_module.random, "uniform", lambda low, high: 1.0)
    monkeypatch.setattr(writer_module, "MAX_BACKOFF", 5.0)
    exporter = Failing(Ellipsis)
    writer = pipe.writer(exporter, interval=60.0)
    (lane,) = writer._lanes
    pipe.spans()
    pauses = []
    for _ in range(6):
        writer.flush(1.0)
        pauses.append(lane.retry_at - time.monotonic())
    assert pauses == pytest.approx([0.5, 1.0, 2.0, 4.0, 5.0, 5.0], abs=0.1)
    calls = exporter.calls
    assert lane.send(writer.process, None, False) is None and exporter.calls == calls  # not before its time


def test_what_is_refused_is_dropped_counted_and_said_once(
    pipe: Pipe, capture_agent: CaptureAgent, lines: List[str]
) -> None:
    capture_agent.behave(times=3, status=400, body=b"bad payload")
    writer = pipe.writer(DatadogExporter(capture_agent.url), interval=60.0)
    for _ in range(3):
        pipe.spans(4)
        assert writer.flush()
    pipe.spans(1, "later")
    writer.flush()
    assert names(capture_agent) == ["later"]
    stats = writer.stats()
    assert stats["dropped_spans"] == {"status_400": 12} and stats["dropped_traces"] == {"status_400": 12}
    assert len(lines) == 1 and "400" in lines[0] and "bad payload" in lines[0]


def test_a_payload_that_is_too_large_is_sent_in_halves(pipe: Pipe, scripted: Any) -> None:
    def script(connection: Connection) -> None:
        while True:
            request = connection.request()
            if not request:
                return
            large = len(request) > 4000
            connection.send(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % (413 if large else 200))

    server = scripted(script)
    writer = pipe.writer(DatadogExporter(server.url), interval=60.0)
    pipe.spans(100)
    pipe.recorder.start("huge", parent=None, activate=False, attributes={"x": "x" * 20000}).finish()
    assert writer.flush()
    stats = writer.stats()
    assert stats["sent_spans"] == 100 and stats["dropped_spans"] == {"status_413": 1}


def test_nobody_listening_memory_stays_bounded(pipe: Pipe, lines: List[str]) -> None:
    pipe.buffer.max_bytes = 4000000
    writer = pipe.writer(DatadogExporter(f"http://127.0.0.1:{free_port()}"), interval=0.02, max_bytes=2000000)
    largest = 0
    for _ in range(200):
        pipe.spans(1000)
        largest = max(largest, writer.stats()["waiting_bytes"] + pipe.buffer.pending_bytes)
    assert largest <= 6000000
    writer.flush(1.0)
    stats = writer.stats()
    waiting = sum(batch.span_count for lane in writer._lanes for batch in lane.waiting)
    assert stats["sent_spans"] == 0 and waiting > 0
    assert sum(stats["dropped_spans"].values()) + waiting == 200000
    writer.shutdown()
    assert sum(writer.stats()["dropped_spans"].values()) == 200000
    assert "shutdown" in writer.stats()["dropped_spans"]
    assert len(lines) == 1 and "cannot connect" in lines[0]


def test_the_newest_are_kept(pipe: Pipe) -> None:
    exporter = Failing(*[ExportError("down", True)] * 10)
    writer = pipe.writer(exporter, interval=60.0, max_bytes=20000)
    for number in range(10):
        pipe.spans(10, "round %d" % number)
        writer.flush(1.0)
    assert writer.flush()
    kept = [span.name for span in exporter.memory.spans]
    assert kept[-1] == "round 9" and "round 0" not in kept


def test_a_defect_of_an_exporter(pipe: Pipe, lines: List[str]) -> None:
    exporter = Failing(RuntimeError("defect"), RuntimeError("defect"))
    writer = pipe.writer(exporter, interval=0.02)
    for expected in (1, 2):
        pipe.spans()
        wait_until(lambda: writer.stats()["dropped_spans"].get("error") == expected, 2.0)
    pipe.spans()
    wait_until(lambda: exporter.memory.spans, 2.0)
    assert len(lines) == 1 and "defect" in lines[0]


def test_one_destination_down_delays_and_loses_nothing_for_another(pipe: Pipe) -> None:
    down, up = Failing(Ellipsis), MemoryExporter()
    writer = pipe.writer(down, up, interval=0.02)
    pipe.spans(3)
    wait_until(lambda: len(up.spans) == 3, 2.0)
    pipe.spans(3)
    wait_until(lambda: len(up.spans) == 6, 2.0)
    assert not writer.flush(0.5)


def test_one_destination_hanging_takes_nothing_from_another_at_the_end(pipe: Pipe, scripted: Any) -> None:
    server = scripted(lambda connection: server.ended.wait(10))
    up = MemoryExporter()
    writer = pipe.writer(DatadogExporter(server.url, timeout=10), up, interval=0.02)
    pipe.spans(3)
    wait_until(lambda: server.accepted, 2.0)  # the thread hangs there now
    pipe.spans(4)
    began = time.monotonic()
    assert not writer.shutdown(0.5)
    assert time.monotonic() - began < 0.8
    assert len(up.spans) == 7


@pytest.mark.parametrize("busy", [True, False], ids=["thread hangs", "caller sends"])
def test_shutdown_takes_a_second_at_most(pipe: Pipe, scripted: Any, busy: bool) -> None:
    server = scripted(lambda connection: server.ended.wait(10))
    writer = pipe.writer(DatadogExporter(server.url, timeout=10), interval=0.02 if busy else 60.0)
    pipe.spans(3)
    if busy:
        wait_until(lambda: server.accepted, 2.0)
    began = time.monotonic()
    assert not writer.shutdown()
    assert time.monotonic() - began < 1.3


def test_shutdown_while_a_server_drips(pipe: Pipe, scripted: Any) -> None:
    def drip(connection: Connection) -> None:
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not connection.server.ended.wait(0.05):
            connection.send(b"x")

    writer = pipe.writer(DatadogExporter(scripted(drip).url, timeout=10), interval=60.0)
    pipe.spans(3)
    began = time.monotonic()
    assert not writer.shutdown()
    assert time.monotonic() - began < 1.3


def test_what_the_thread_is_sending_is_waited_for(pipe: Pipe, capture_agent: CaptureAgent) -> None:
    capture_agent.behave(delay=0.3)
    writer = pipe.writer(DatadogExporter(capture_agent.url, timeout=5), interval=0.02)
    pipe.spans(3)
    wait_until(lambda: len(capture_agent.requests) == 2, 2.0)  # /info, and the traces on their way
    pipe.spans(2, "later")
    assert writer.shutdown()
    assert names(capture_agent) == ["work"] * 3 + ["later"] * 2


def test_a_signal_handler_that_flushes(pipe: Pipe) -> None:
    # It interrupts the main thread inside a flush, where the same locks are held.
    results: List[Any] = []

    class Interrupted(MemoryExporter):
        def export(self, batch: Any, process: Any, timeout: Optional[float] = None) -> None:
            if not results:
                results.append("in")
                os.kill(os.getpid(), signal.SIGUSR1)
            super().export(batch, process, timeout)

    exporter = Interrupted()
    writer = pipe.writer(exporter, interval=60.0)
    old = signal.signal(signal.SIGUSR1, lambda *_: results.append((pipe.spans(), writer.flush(0.1))[1]))
    try:
        pipe.spans()
        writer.flush(5.0)
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert results == ["in", False]
    assert writer.flush() and len(exporter.spans) == 2


def test_no_exporters(pipe: Pipe) -> None:
    writer = pipe.writer(interval=0.02)
    pipe.spans(3)
    assert writer.flush()
    wait_until(lambda: not pipe.buffer.pending_spans, 2.0)
    assert writer.shutdown()


def test_no_thread_to_be_had(pipe: Pipe, monkeypatch: Any) -> None:
    def start(self: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    memory = MemoryExporter()
    writer = pipe.writer(memory, interval=0.02)
    pipe.spans(3)
    assert writer.flush() and len(memory.spans) == 3


def test_what_the_buffer_drops_is_in_the_counters(pipe: Pipe) -> None:
    pipe.buffer.max_bytes = 1000
    writer = pipe.writer(MemoryExporter(), interval=60.0)
    pipe.buffer.on_half_full = None
    pipe.spans(10)
    writer.flush()
    stats = writer.stats()
    assert stats["dropped_spans"]["buffer"] + stats["sent_spans"] == 10 and stats["dropped_spans"]["buffer"] > 0
