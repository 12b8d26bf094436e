"""Threads, forks, signals and the garbage collector, in the middle of everything; each in a process of its own."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from tests.native.helpers import SANITIZED, script

pytestmark = pytest.mark.usefixtures("native")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
needs_timer = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")
LESS = "5" if SANITIZED else "1"  # that much less to do

CHECKS = """
import collections
seen = collections.Counter()
parents = {}

def consume(batch):
    if batch is None:
        return
    encodings(batch)
    for chunk in batch:
        for span in chunk.spans:
            assert span.trace is chunk.trace and span.duration >= 0
            assert span.attributes.get("own", span.span_id) == span.span_id
            assert span.attributes.get("odd", "\\\\udc80") == "\\\\udc80", span.attributes
            seen[span.span_id] += 1
            parents[span.span_id] = span.parent_id

def work(count, made, text="x"):
    for n in range(count):
        with recorder.start("root", parent=None, attributes={"a": "b", "n": n}) as root:
            root.set_attribute("own", root.span_id)
            with recorder.start("child", "resource %d" % n, service="other") as child:
                child.set_attribute("own", child.span_id)
                child.set_attribute("odd", "\\udc80")
                child.add_event("e", {"n": n})
                assert child.parent is root and current_span() is child
            with recorder.start("shared", parent=shared, activate=False) as aside:
                aside.set_attribute("own", aside.span_id)
        made.extend((root.span_id, child.span_id, aside.span_id))

shared = recorder.start("shared root", parent=None, activate=False)
shared.trace.recorder.partial_flush_min_spans = 50
"""


def test_eight_threads_and_a_writer():
    script(CHECKS + """
sys.setswitchinterval(1e-5)
made, errors = [], []
done = threading.Event()

def guarded(function, *args):
    try:
        function(*args)
    except BaseException as error:
        errors.append(repr(error))
        raise

def write():
    while not done.is_set():
        consume(recorder.buffer.swap())

writer = threading.Thread(target=guarded, args=(write,))
writer.start()
threads = [threading.Thread(target=guarded, args=(work, 1500 // LESS, made)) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
done.set()
writer.join()
shared.finish()
consume(recorder.buffer.swap())
assert not errors, errors
assert len(made) == len(set(made)) == 1500 // LESS * 24
assert set(seen.values()) == {1} and set(seen) == set(made) | {shared.span_id}
assert recorder.buffer.dropped_spans == recorder.buffer.pending_spans == 0
""".replace("LESS", LESS))


def test_spans_are_ended_by_other_threads():
    script(CHECKS + """
import queue
sys.setswitchinterval(1e-5)
work_list = queue.Queue()
made = []

def end():
    while True:
        span = work_list.get()
        if span is None:
            return
        span.set_attribute("own", span.span_id)
        span.finish()
        span.finish()
        span.set_attribute("own", 5)

threads = [threading.Thread(target=end) for _ in range(4)]
[thread.start() for thread in threads]
for n in range(4000 // LESS):
    root = recorder.start("root", parent=None)
    child = recorder.start("child")
    made += [root.span_id, child.span_id]
    work_list.put(root)
    work_list.put(child)
    work_list.put(root)
    del root, child
    if n % 100 == 0:
        consume(recorder.buffer.swap())
for _ in threads:
    work_list.put(None)
[thread.join() for thread in threads]
consume(recorder.buffer.swap())
assert set(seen.values()) == {1} and set(seen) == set(made)
""".replace("LESS", LESS))


@needs_fork
def test_forks_while_threads_work_and_a_writer_encodes():
    script(CHECKS + """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads: that is the point
with recorder.start("first", parent=None):
    pass
consume(recorder.buffer.swap())  # imports what it needs: a child must not inherit the lock of an import
seen.clear()
made = []
stop = threading.Event()

def again():
    while not stop.wait(0.01):
        work(3, [])

def write():
    while not stop.wait(0.001):
        batch = recorder.buffer.swap()
        if batch is not None:
            encodings(batch)

threads = [threading.Thread(target=again) for _ in range(3)] + [threading.Thread(target=write)]
[thread.start() for thread in threads]
middle = recorder.start("middle", parent=None)
before = recorder.start("before")
ids = []
for n in range(12):
    read, to = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            recorder.buffer.clear()
            before.finish()
            middle.finish()
            assert recorder.buffer.swap() is None  # they are the parent's to send
            set_active(middle)
            own = recorder.start("own", parent=None)
            with recorder.start("of the child", parent=middle) as span:
                assert span.parent_id == middle.span_id and span.trace_id == middle.trace_id
            own.finish()
            work(50, made)
            consume(recorder.buffer.swap())
            assert {own.span_id, span.span_id} <= set(seen) and set(seen.values()) == {1}
            os.write(to, ("%d %d %d" % (own.span_id, own.trace_id, made[0])).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(to)
    answer = os.read(read, 1000).split()
    os.close(read)
    assert os.waitpid(child, 0)[1] == 0
    ids += answer
    ids.append(recorder.start("here", parent=None, activate=False).span_id)
stop.set()
[thread.join() for thread in threads]
assert len(ids) == len(set(ids)) == 48
before.finish()
middle.finish()
consume(recorder.buffer.swap())
assert seen[before.span_id] == seen[middle.span_id] == 1
""")


@needs_fork
def test_the_buffer_of_the_product_is_empty_in_a_child():
    script("""
import gossamer
with gossamer.trace("before"):
    with gossamer.trace("middle"):
        pass
    child = os.fork()
    pending = gossamer.tracer.recorder.buffer.pending_spans
    if not child:
        os._exit(pending)
assert os.waitpid(child, 0)[1] == 0
""", DD_TRACE_AGENT_URL="http://127.0.0.1:1")  # fmt: skip


@needs_timer
def test_a_signal_handler_that_makes_spans():
    script(CHECKS + """
import signal, time
made, handled = [], []

def handler(*args):
    with recorder.start("in the handler", parent=None, attributes={"odd": "\\udc80"}) as span:
        span.set_attribute("own", span.span_id)
        with recorder.start("below", parent=shared):
            pass
    handled.append(span.span_id)
    if len(handled) % 30 == 0:
        consume(recorder.buffer.swap())

signal.signal(signal.SIGVTALRM, handler)
signal.setitimer(signal.ITIMER_VIRTUAL, 0.0005, 0.0005)
deadline = time.monotonic() + 20
while len(handled) < 80 and time.monotonic() < deadline:
    work(20, made)
signal.setitimer(signal.ITIMER_VIRTUAL, 0)
shared.finish()
consume(recorder.buffer.swap())
assert len(handled) >= 50, len(handled)
assert set(seen.values()) == {1} and set(made) | set(handled) <= set(seen)
""")


def test_finalizers_that_make_spans():
    """The collector runs where objects are made, on older interpreters in the midst of the core."""
    script(CHECKS + """
made, collected = [], []
# Before 3.12, where the collector waits, CPython itself crashes when a context variable is set while it is being set.
activate = sys.version_info >= (3, 12)

class Noisy:
    def __init__(self):
        self.me = self

    def __del__(self):
        odd = {"odd": "\\udc80"}
        span = recorder.start("in a finalizer", parent=shared, attributes=dict(odd), activate=activate)
        span.set_attribute("own", span.span_id)
        span.finish()
        root = recorder.start("root in a finalizer", parent=None, attributes=dict(odd), activate=activate)
        root.add_event("e", odd)
        root.finish()
        shared.trace.flush()
        collected.extend((span.span_id, root.span_id))

gc.set_threshold(3, 2, 2)
try:
    for n in range(600):
        [Noisy() for _ in range(3)]
        work(2, made)
        # Names of many shapes, facts that are new: what is looked up runs most of the code.
        with recorder.start("name %d" % n, parent=SpanContext(5, 6, 1, "o", {"t": str(n)}, "a=%d" % n)) as span:
            span.set_attribute("odd", "\\udc80")
            span.add_link(shared, {"odd": "\\udc80"})
            span.resource = "\\udc81 %d" % n
        made.append(span.span_id)
        if n % 20 == 0:
            consume(recorder.buffer.swap())
finally:
    gc.set_threshold(700, 10, 10)
gc.collect()
shared.finish()
consume(recorder.buffer.swap())
assert len(collected) > 500
assert set(seen.values()) == {1} and set(made) | set(collected) <= set(seen)
""")


def test_values_whose_text_makes_spans():
    """What a program sets may run its code while it is turned into text: on setting, and on finishing."""
    script(CHECKS + """
class Odd:
    def __init__(self, name):
        self.name = name

    def __str__(self):
        with recorder.start("within", parent=shared) as span:
            span.set_attribute("own", span.span_id)
        shared.trace.flush()
        made.append(span.span_id)
        return self.name

class Text(str):
    def __str__(self):
        return str(Odd(str.__str__(self)))

made = []
for n in range(300):
    with recorder.start("root", parent=None, attributes={"value": Odd("v"), Odd("key"): 1, "list": [Odd("w")]}) as root:
        root.set_attribute("set", Odd("s"))
        with recorder.start(Odd("name"), resource=Text("r"), service=Odd("service"), type=Text("t")) as child:
            child.status_message = Odd("broken")
            child.error = True
            child.kind = Text("server")
        aside = recorder.start(Odd("name %d" % n), parent=shared, activate=False)
        aside.attributes = {"x": Odd("x")}
        aside.finish()
        root.trace.origin = Text("o")
        root.trace.tracestate = Odd("t")
    made += [root.span_id, child.span_id, aside.span_id]
    consume(recorder.buffer.swap())
shared.finish()
consume(recorder.buffer.swap())
assert set(seen.values()) == {1} and set(seen) == set(made) | {shared.span_id}
""")


def test_attributes_that_change_while_spans_finish():
    script(CHECKS + """
sys.setswitchinterval(1e-5)
stop = threading.Event()
given = {"k%d" % n: "v" for n in range(50)}

def change():
    n = 0
    while not stop.is_set():
        n += 1
        try:
            given["k%d" % (n % 70)] = [n, object, "\\udc80"][n % 3]
            given.pop("k%d" % ((n + 30) % 70), None)
            if n % 100 == 0:
                given.clear()
        except RuntimeError:  # the program's own fault, and its own to see
            pass

threads = [threading.Thread(target=change) for _ in range(3)]
[thread.start() for thread in threads]
for n in range(3000 // LESS):
    span = recorder.start("x", attributes=given, parent=None)
    span.finish()
    if n % 100 == 0:
        consume(recorder.buffer.swap())
stop.set()
[thread.join() for thread in threads]
consume(recorder.buffer.swap())
assert sum(seen.values()) + recorder.buffer.dropped_spans == 3000 // LESS
assert recorder.buffer.dropped_spans < 300
""".replace("LESS", LESS))


def test_tracing_and_profiling_functions_that_make_spans():
    script(CHECKS + """
inside = []

def watch(frame, event, argument):
    if not inside and event in ("c_call", "call", "line", "c_return"):
        inside.append(1)
        with recorder.start("watched", parent=None):
            pass
        inside.pop()
    return watch

made = []
sys.settrace(watch)
sys.setprofile(watch)
work(100, made)
sys.settrace(None)
sys.setprofile(None)
shared.finish()
consume(recorder.buffer.swap())
assert set(made) <= set(seen) and set(seen.values()) == {1} and len(seen) > 1000
""")


SUBINTERPRETERS = """
code = '''
import sys
sys.path[:0] = %r
import gossamer
from gossamer import _core
from gossamer._core import Buffer, Recorder
recorder = Recorder(Buffer())
with recorder.start("a") as span:
    span.set_attribute("k", "v")
assert recorder.buffer.swap().span_count == 1
print("core:", _core.implementation(), _core.why_pure(), flush=True)
''' % sys.path
with recorder.start("before"):
    pass
for _ in range(3):
    if hasattr(_testcapi, "run_in_subinterp"):
        assert _testcapi.run_in_subinterp(code) == 0
with recorder.start("after", parent=None) as span:
    span.set_attribute("k", "v")
assert recorder.buffer.swap().span_count == 2
"""


def test_sub_interpreters():
    """A core that belongs to one interpreter is replaced in others by the core in plain Python, which says so."""
    pytest.importorskip("_testcapi")
    result = script("import _testcapi\n" + SUBINTERPRETERS)
    lines = result.stdout.splitlines()
    assert len(lines) == 3, (result.stdout, result.stderr)
    for line in lines:
        assert line.startswith("core: native") or line.partition("core: pure ")[2].strip(), line


ENDINGS = {
    "open spans": "",
    "in a thread": """
import time
started = threading.Event()
def forever():
    while True:
        with recorder.start("thread", parent=None, attributes={"k": "v"}):
            started.set()
threading.Thread(target=forever, daemon=True).start()
started.wait()
""",
    "in a cycle": "cycle = [kept]; cycle.append(cycle); del cycle",
    "in finalizers": """
class Late:
    def __del__(self):
        with recorder.start("late", attributes={"k": "v"}) as span:
            span.set_error(ValueError("x"))
        kept[0].finish()
late = Late()
late.me = late
""",
    "at exit": """
import atexit
atexit.register(lambda: [span.finish() for span in kept])
atexit.register(lambda: encodings(recorder.buffer.swap()) if recorder.buffer.pending_spans else None)
""",
    "in modules": "sys.open_spans = kept; import builtins; builtins.open_spans = kept; os.open_spans = kept",
    "in a context": """
import contextvars
variable = contextvars.ContextVar("x")
variable.set(kept)
context = contextvars.copy_context()
""",
    "a batch half read": """
for _ in range(10):
    recorder.start("x", parent=None).finish()
batch = recorder.buffer.swap()
reading = iter(batch)
next(reading)
""",
}  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_interpreter_ends(ending):
    result = script(
        "kept = [recorder.start('open %d' % n, attributes={'k': n}) for n in range(100)]\n" + ENDINGS[ending]
        + "\nwith recorder.start('last'):\n    pass\n"
    )  # fmt: skip
    assert result.stderr == ""


@pytest.mark.skipif(sys.version_info < (3, 8), reason="new in Python 3.8")
def test_exceptions_that_nobody_raised_do_not_stay():
    """After any use, no error is left set in the interpreter: a debug build would abort, others raise it later."""
    script("""
for value in ("\\udc80", 10 ** 5000, 1 << 70, "x" * 30000, b"x" * 30000, (1, (2, (3, (4, 5)))), object(), None):
    for key in ("k", "\\udc80", "k" * 300, 5):
        with recorder.start("x", resource=value, attributes={"given": value}, parent=None) as span:
            span.set_attribute(key, value)
            span.attributes["raw"] = value
            span.add_event(key, {key: value})
            span.add_link(SpanContext(1, 2), {key: value})
            span.status_message = value
            span.error = True
        iter([]).__length_hint__()
        encodings(recorder.buffer.swap())
""")
