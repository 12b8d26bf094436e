"""Any program through both cores, with the same ids and the same clock: what is sent is the same, byte for byte."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import contextmanager
from typing import Any, Dict, List

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gossamer._wire.datadog import encode_v04, encode_v05
from gossamer._wire.otlp import encode_json, encode_protobuf
from tests.native.helpers import SANITIZED
from tests.wire.build import process, remote
from tests.wire.strategies import attributes, integrations, keys, kinds, services, texts, types, values

pytestmark = pytest.mark.usefixtures("native")
OF = process()
START = 1700000000000000000


@contextmanager
def fixed(core: Any, seed: int) -> Any:
    """Ids and times come from counters; each read of the clock is some time later."""
    state: Dict[str, int] = {}

    def new_id(bits: int = 64) -> int:
        state["id"] = (state["id"] * 6364136223846793005 + 1442695040888963407) & (1 << 64) - 1
        return state["id"] or 1

    def clock() -> int:
        state["now"] += 1 + state["id"] % 1000
        return state["now"]

    def wall() -> int:
        """What the clock will say next: nothing is between the two."""
        return state["now"] + 1 + state["id"] % 1000

    def begin() -> None:
        state.update(id=seed, now=START)

    begin()
    patches = []
    if core.NATIVE:
        core.test_hooks(clock=clock, ids=new_id, wall=wall)
    for module in [] if core.NATIVE else list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("gossamer._core.") and not getattr(module, "NATIVE", False):
            # What a module remembers of the clock, too.
            patches += [(module, name, value) for name, value in vars(module).items() if type(value) is int]
            for name, new in (("_getrandbits", new_id), ("perf_counter_ns", clock), ("time_ns", wall)):
                if hasattr(module, name):
                    patches.append((module, name, getattr(module, name)))
                    setattr(module, name, new)
    try:
        # The cores look at the wall clock when a trace begins, each at times of its own: once here, and no more.
        core.Recorder(core.Buffer()).start("first", parent=None, activate=False)
        begin()
        yield
    finally:
        if core.NATIVE:
            core.test_hooks()
        for module, name, old in patches:
            setattr(module, name, old)


def raised(error: Exception) -> Exception:
    """The exception, with a traceback."""
    try:
        raise error
    except Exception as caught:
        return caught


class Odd:
    """A value that no exporter knows."""

    def __str__(self) -> str:
        return "odd"


ERRORS = [raised(ValueError("broken \udc80")), raised(KeyError()), raised(OSError(2, "x" * 3000)), "a message", None, 5]
ERRORS += [KeyboardInterrupt(), GeneratorExit(), SystemExit(0), SystemExit(1)]
odd_values = st.sampled_from([Odd(), None, 10**30, -(10**500), bytearray(b"x")])
any_values = st.one_of(values, st.lists(values, max_size=3), odd_values)
any_attributes = st.dictionaries(keys, any_values, max_size=5)
times = st.one_of(st.none(), st.integers(START - 10**10, START + 10**10), st.sampled_from([0, -1, 2**63, 1.5, "soon"]))
which = st.integers(0, 7)  # of the spans so far, counted from the last
contexts = [
    remote(), remote(priority=2, origin="rum", tags={"_dd.p.dm": "-4", "_dd.p.tid": "0" * 16}, tracestate="dd=s:2,a=b"),
    remote(priority=0), remote(priority=-1, baggage={"k": "v"}),
    remote(priority=1, origin="\udc80", tracestate="\xe9=1"),
]  # fmt: skip

remotes = st.sampled_from(contexts)
decisions = st.sampled_from(["manual.keep", "manual.drop"])
fields = st.sampled_from(["name", "resource", "service", "type", "status_message"])
facts = st.sampled_from([("priority", 2), ("origin", "x"), ("tags", {"a": "b"}), ("rate", 0.25)])

operations = st.one_of(
    st.tuples(
        st.just("start"), texts, st.one_of(st.none(), texts), services, types, kinds, attributes, integrations,
        st.one_of(st.just("active"), st.just("root"), which, remotes), st.booleans(),
    ),
    st.tuples(st.just("begin"), texts, which, times),
    st.tuples(st.just("finish"), which, times),
    st.tuples(st.just("leave"), which, st.sampled_from(ERRORS[:3] + ERRORS[6:] + [None])),
    st.tuples(st.just("set_attribute"), which, st.one_of(keys, decisions), any_values),
    st.tuples(st.just("set_attributes"), which, any_attributes),
    st.tuples(st.just("raw"), which, any_attributes),
    st.tuples(st.just("add_event"), which, texts, st.one_of(st.none(), any_attributes), times),
    st.tuples(st.just("add_link"), which, st.one_of(which, remotes), st.one_of(st.none(), any_attributes)),
    st.tuples(st.just("set_error"), which, st.sampled_from(ERRORS)),
    st.tuples(st.just("record_exception"), which, st.sampled_from(ERRORS), st.one_of(st.none(), any_attributes)),
    st.tuples(st.just("set_baggage"), which, texts, texts),
    st.tuples(st.just("field"), which, fields, texts),
    st.tuples(st.just("trace"), which, facts),
    st.tuples(st.just("detach"), which),
    st.tuples(st.just("activate"), which),
    st.tuples(st.just("flush"), which),
)  # fmt: skip

recorders = st.fixed_dictionaries(
    {
        "partial_flush_min_spans": st.sampled_from([300, 1, 2, 3]),
        "keep_unsampled": st.booleans(),
        "ids_128": st.booleans(),
        "service": st.sampled_from(["shop", ""]),
        "decision": st.sampled_from([None, None, (1, 0, None), (1, 1, 0.5), (2, 4, None), (0, 1, 0.1), (-1, 3, 0.0)]),
        "processors": st.sampled_from([(), (), (lambda spans: spans,), (lambda spans: [spans[0]],)]),
    }
)


class Program:
    """Runs operations on one core."""

    def __init__(self, core: Any, options: Dict[str, Any]) -> None:
        self.core = core
        self.recorder = core.Recorder(core.Buffer(1 << 40))
        for name, value in options.items():
            setattr(self.recorder, name, value)
        self.spans: List[Any] = []
        self.payloads: List[bytes] = []

    def run(self, program: List[Any]) -> List[bytes]:
        """The payloads."""
        self.core.set_active(None)
        for operation in program:
            getattr(self, "do_" + operation[0], self.call)(*operation)
            self.take()  # at once: a chunk of the pure core sees what happens to its trace afterwards
        for span in reversed(self.spans):
            span.finish()
            self.take()
        self.core.set_active(None)
        return self.payloads

    def take(self) -> None:
        """Encode what has come out since the last time."""
        batch = self.recorder.buffer.swap()
        if batch is not None:
            self.payloads.append(b"%d %d" % (len(batch), batch.span_count))
            found = [encode_v04(batch, OF), encode_v04(batch, OF, native_events=True), encode_v05(batch, OF)]
            found += [encode_protobuf(batch, OF), encode_json(batch, OF)]
            self.payloads += map(bytes, found)

    def span(self, place: int) -> Any:
        return self.spans[-1 - place % len(self.spans)]

    def call(self, name: str, place: int, *args: Any) -> None:
        if self.spans:
            getattr(self.span(place), name)(*args)

    def do_start(self, _: str, name: str, *facts: Any) -> None:
        resource, service, type_, kind, given, integration, parent, activate = facts
        if parent == "active" or (type(parent) is int and not self.spans):
            parent = self.core.ACTIVE
        elif parent == "root":
            parent = None
        elif type(parent) is int:
            parent = self.span(parent)
        given = dict(given) or None
        self.spans.append(
            self.recorder.start(name, resource, service, type_, kind, given, integration, None, parent, activate)
        )

    def do_begin(self, _: str, name: str, place: int, time: Any) -> None:
        self.spans.append(self.core.Span(self.recorder, name).begin(self.core.ACTIVE, place % 2 == 0, time))

    def do_leave(self, _: str, place: int, error: Any) -> None:
        if self.spans:
            self.span(place).__exit__(type(error), error, None)

    def do_add_link(self, _: str, place: int, to: Any, given: Any) -> None:
        if self.spans:
            self.span(place).add_link(self.span(to) if type(to) is int else to, given)

    def do_raw(self, _: str, place: int, given: Any) -> None:
        if self.spans and self.span(place).live:
            self.span(place).attributes.update((key, value) for key, value in given.items() if type(value) in PLAIN)

    def do_field(self, _: str, place: int, name: str, value: str) -> None:
        if self.spans and self.span(place).live:
            setattr(self.span(place), name, value)

    def do_trace(self, _: str, place: int, fact: Any) -> None:
        if self.spans and self.span(place).live:
            setattr(self.span(place).trace, *fact)

    def do_activate(self, _: str, place: int) -> None:
        if self.spans:
            self.core.set_active(self.span(place))

    def do_flush(self, _: str, place: int) -> None:
        if self.spans:
            self.span(place).trace.flush()


PLAIN = (str, int, float, bool, bytes, tuple)
examples = int(os.environ.get("TEST_EXAMPLES", "60" if SANITIZED else "150"))


@given(recorders, st.lists(operations, min_size=1, max_size=25), st.integers(1, 1 << 60))
@settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_program(options: Dict[str, Any], program: List[Any], seed: int) -> None:
    found = []
    for name in ("pure", "native"):
        core = importlib.import_module("gossamer._core." + name)
        with fixed(core, seed):
            found.append(Program(core, options).run(program))
    pure, native = found
    assert len(pure) == len(native)
    for left, right in zip(pure, native):
        assert left == right
