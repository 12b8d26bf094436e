"""Our own log: never raises, never floods, never reaches the application's handlers."""

from __future__ import annotations

import io
import logging
import logging.config
import os
import sys
import threading
import time
from pathlib import Path
from typing import Iterator

import pytest

from gossamer import _log, _logger


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Each test begins and ends with the log as it is after an import."""
    yield
    logging.disable(logging.NOTSET)
    logging.setLogRecordFactory(logging.LogRecord)
    _logger.use(_logger.Stderr())
    _log.configure("warning")
    _log._seen.clear()
    _log._limits.clear()


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_warnings_go_to_stderr_and_not_to_the_root_logger(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    try:
        _log.get("part").warning("hello %s", "there")
        _log.get("part").info("not at this level")
    finally:
        logging.getLogger().removeHandler(handler)
    (line,) = lines(capsys)
    assert line.endswith("WARNING gossamer.part: hello there")
    assert stream.getvalue() == ""


def test_the_application_can_collect_them() -> None:
    seen = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append((record.name, record.getMessage(), record.funcName))

    handler = Collect()
    logging.getLogger("gossamer").addHandler(handler)
    try:
        _log.get("part").error("bad")
    finally:
        logging.getLogger("gossamer").removeHandler(handler)
    assert seen == [("gossamer.part", "bad", "test_the_application_can_collect_them")]


def test_names() -> None:
    assert _log.get("part") is _log.get("gossamer.part")
    assert _log.get().name == _log.get("gossamer").name == "gossamer"


def test_levels(capsys: pytest.CaptureFixture[str]) -> None:
    _log.configure("debug")
    _log.get().debug("seen")
    assert len(lines(capsys)) == 1
    _log.configure("none")
    _log.get().critical("not seen")
    assert not lines(capsys)
    _log.configure("nonsense")
    _log.get().info("not seen")
    assert not lines(capsys)


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("stream", [None, Broken(), object()])
def test_a_broken_stderr_is_silent(stream: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "__stderr__", Broken())
    _log.get().error("lost")


def test_a_closed_stderr_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    _log.get().error("lost")


def test_a_stderr_that_logs_does_not_recur(monkeypatch: pytest.MonkeyPatch) -> None:
    class Talkative(io.StringIO):
        def write(self, text: str) -> int:
            _log.get().error("again")
            return super().write(text)

    stream = Talkative()
    monkeypatch.setattr(sys, "stderr", stream)
    _log.get().error("first")
    assert stream.getvalue().count("\n") == 1 and "first" in stream.getvalue()


def test_bad_messages_and_factories_do_not_raise(capsys: pytest.CaptureFixture[str]) -> None:
    class Bad:
        def __str__(self) -> str:
            raise ValueError

    _log.get().error("%d of %s", "not a number")
    _log.get().error("%s", Bad())
    assert not lines(capsys)

    def factory(*_: object, **__: object) -> logging.LogRecord:
        raise RuntimeError

    logging.setLogRecordFactory(factory)
    _log.get().error("still there")
    assert lines(capsys)[0].endswith("still there")


def test_surrogates_and_long_messages(tmp_path: Path) -> None:
    path = tmp_path / "log"
    _log.configure("warning", str(path))
    _log.get().error("\udc80" + "x" * 100_000)
    assert len(path.read_bytes()) < 20_000


def test_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gossamer.log"
    _log.configure("warning", str(path))
    _log.get().error("one")
    path.rename(tmp_path / "old")
    _log.get().error("two")
    assert "two" in path.read_text() and "one" not in path.read_text()
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": True})
    _log.get("x").error("three")
    assert "three" in path.read_text()
    assert not lines(capsys)


def test_a_file_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "log"
    _logger.use(_logger.File(str(path), limit=1000))
    for _ in range(100):
        _log.get().error("x" * 100)
    sizes = [entry.stat().st_size for entry in tmp_path.iterdir()]
    assert len(sizes) == 2 and sum(sizes) < 3000


def test_a_file_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _log.configure("warning", str(tmp_path / "missing" / "log"))
    _log.get().error("here")
    first, second = lines(capsys)
    assert "cannot write the log file" in first and second.endswith("here")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    _log.configure("warning", "/dev/full")
    _log.get().error("lost")
    assert not lines(capsys)


def test_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        _log.once("key", _log.WARNING, "only %d", 1)
        _log.once("quiet", _log.DEBUG, "below the level")
    assert len(lines(capsys)) == 1
    monkeypatch.setattr(_log, "_MAX_KEYS", 10)
    for number in range(50):
        _log.once(number, _log.WARNING, "line")
    shown = lines(capsys)
    assert len(shown) == 10 and "10 different messages" in shown[-1]
    assert len(_log._seen) == 11


def test_limited(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for _ in range(5):
        _log.limited("key", _log.WARNING, "dropped %s", "spans")
    _log.limited("other", _log.WARNING, "other")
    assert len(lines(capsys)) == 2
    now[0] += 61
    _log.limited("key", _log.WARNING, "dropped %s", "spans")
    assert lines(capsys)[0].endswith("dropped spans (4 more like this left out)")


def test_limited_keeps_a_bounded_number_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_log, "_MAX_KEYS", 10)
    for number in range(50):
        _log.limited(number, _log.WARNING, "line")
    assert len(_log._limits) == 10


def test_limited_from_many_threads_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    start = threading.Barrier(8)

    def work() -> None:
        start.wait(10)
        for _ in range(200):
            _log.limited("key", _log.WARNING, "line")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(lines(capsys)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_while_the_log_is_busy(tmp_path: Path) -> None:
    path = tmp_path / "log"
    _log.configure("warning", str(path))
    _log._limits_lock.acquire()  # another thread is logging at the moment of the fork
    child = os.fork()
    if child == 0:
        _log.get().error("child")
        _log.limited("key", _log.WARNING, "limited")
        os._exit(0)
    _log._limits_lock.release()
    deadline = time.monotonic() + 10
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "child" in path.read_text() and "limited" in path.read_text()
