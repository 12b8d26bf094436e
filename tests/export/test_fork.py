"""Forked children and the end of the interpreter, in processes of their own."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.services.capture import CaptureAgent
from tests.services.process import run_python

SETUP = """
import os, sys, threading, time
from gossamer._core.pure import Recorder
from gossamer._export.datadog import DatadogExporter
from gossamer._export.writer import Writer
from gossamer._wire.info import Process

recorder = Recorder()
def spans(name, count=1):
    for _ in range(count):
        recorder.start(name, parent=None, activate=False).finish()
def make(interval, timeout=2.0):
    exporter = DatadogExporter(sys.argv[1], timeout=timeout)
    return Writer([exporter], recorder.buffer, Process("shop", tracer_version="1"), interval=interval)
"""


def run(agent: Any, source: str, **env: Any) -> Any:
    result = run_python(SETUP + source, agent.url, timeout=20, **env)
    assert (result.returncode, result.stderr) == (0, ""), result
    return result


FORK = """
writer = make(60.0)
spans("before", 3)
if FLUSHED:
    writer.flush()
    spans("more", 2)
child = os.fork()
if not child:
    spans("child", 2)
    assert writer.flush(), writer.stats()
    assert writer.stats()["sent_spans"] == 2
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
spans("after")
assert writer.shutdown(5.0)
"""


@pytest.mark.parametrize("flushed", [True, False], ids=["kept connection", "no connection yet"])
def test_a_forked_child_sends_its_own_spans_and_nothing_twice(capture_agent: CaptureAgent, flushed: bool) -> None:
    run(capture_agent, "FLUSHED = %r\n" % flushed + FORK)
    found = [span["name"] for span in capture_agent.spans]
    expected = ["before"] * 3 + ["more"] * (2 if flushed else 0) + ["child"] * 2 + ["after"]
    assert sorted(found) == sorted(expected)
    ids = {span["name"]: (span["meta"]["runtime-id"], span["metrics"]["process_id"]) for span in capture_agent.spans}
    assert ids["before"] == ids["after"]
    assert ids["child"][0] != ids["before"][0] and ids["child"][1] != ids["before"][1]


def test_the_thread_starts_again_in_the_child(capture_agent: CaptureAgent) -> None:
    run(
        capture_agent,
        """
writer = make(0.05)
spans("parent")
time.sleep(0.3)
child = os.fork()
if not child:
    spans("child")
    deadline = time.monotonic() + 5
    while writer.stats()["sent_spans"] < 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    os._exit(0 if writer.stats()["sent_spans"] == 1 else 1)
assert os.waitpid(child, 0)[1] == 0
assert writer.shutdown(5.0)
""",
    )
    assert sorted(span["name"] for span in capture_agent.spans) == ["child", "parent"]


def test_cpython_does_not_warn_of_our_thread(capture_agent: CaptureAgent) -> None:
    # Nothing on stderr, although warnings are errors; and the thread of the parent comes back.
    run(
        capture_agent,
        """
writer = make(0.02)
for _ in range(5):
    spans("parent")
    time.sleep(0.1)
    child = os.fork()
    if not child:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
spans("last")
deadline = time.monotonic() + 5
while writer.stats()["sent_spans"] < 6 and time.monotonic() < deadline:
    time.sleep(0.01)
assert writer.stats()["sent_spans"] == 6, writer.stats()
""",
        PYTHONWARNINGS="error",
    )


def test_a_fork_while_the_thread_is_sending(capture_agent: CaptureAgent) -> None:
    # The locks that the thread holds at that moment are of no concern to the child.
    capture_agent.behave(delay=0.5)
    run(
        capture_agent,
        """
writer = make(0.01, timeout=5.0)
spans("parent", 2)
time.sleep(0.25)
children = []
for _ in range(3):
    child = os.fork()
    if not child:
        spans("child")
        os._exit(0 if writer.shutdown(5.0) else 1)
    children.append(child)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
assert writer.shutdown(5.0), writer.stats()
""",
        PYTHONWARNINGS="ignore::DeprecationWarning",  # there is a second thread, and it cannot end now
    )
    assert sorted(span["name"] for span in capture_agent.spans) == ["child"] * 3 + ["parent"] * 2


def test_forks_while_other_threads_make_spans(capture_agent: CaptureAgent) -> None:
    run(
        capture_agent,
        """
writer = make(0.001)
stop = False
def work():
    while not stop:
        spans("parent")
        time.sleep(0.0005)
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
for _ in range(20):
    child = os.fork()
    if not child:
        spans("child")
        os._exit(0 if writer.flush(5.0) else 1)
    assert os.waitpid(child, 0)[1] == 0
stop = True
for thread in threads: thread.join()
assert writer.shutdown(5.0)
""",
        PYTHONWARNINGS="ignore::DeprecationWarning",
    )
    spans = capture_agent.spans
    assert len(spans) == len({span["span_id"] for span in spans})
    assert len([span for span in spans if span["name"] == "child"]) == 20
    assert len({span["meta"]["runtime-id"] for span in spans}) == 21


def test_the_interpreter_ends_with_a_thread_that_hangs(scripted: Any) -> None:
    server = scripted(lambda connection: server.ended.wait(20))
    began = time.monotonic()
    run(server, 'writer = make(0.01, timeout=15.0)\nspans("x")\ntime.sleep(0.3)\n')
    assert time.monotonic() - began < 5.0
    assert server.accepted == 1


def test_no_span_in_the_last_moments_of_the_interpreter_hurts(capture_agent: CaptureAgent) -> None:
    run(
        capture_agent,
        """
writer = make(0.01)
class Late:
    def __del__(self):
        spans("late")
sys.late = Late()
import atexit
atexit.register(lambda: spans("at exit"))
""",
    )
