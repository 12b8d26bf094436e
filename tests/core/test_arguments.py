"""Whatever user code hands over: nothing is raised, and what is kept can be sent."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import uuid
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


class Text(str):
    def __len__(self):
        raise RuntimeError("len")

    def __getitem__(self, item):
        raise RuntimeError("item")

    def __str__(self):
        return "text"


class Number(int):
    def __str__(self):
        raise RuntimeError("str")


class Real(float):
    pass


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 3


class BrokenStr:
    def __str__(self):
        raise RuntimeError("str")

    __repr__ = __str__


class WrongStr:
    def __str__(self):
        return 5


class Recursive:
    def __str__(self):
        return str(self)


class BrokenBool:
    def __bool__(self):
        raise RuntimeError("bool")

    def __eq__(self, other):
        raise RuntimeError("eq")

    __hash__ = None


class Liar:
    @property
    def __class__(self):
        return str


class BrokenClass:
    @property
    def __class__(self):
        raise RuntimeError("class")


class Meta(type):
    def __hash__(cls):
        raise RuntimeError("hash")

    def __eq__(cls, other):
        raise RuntimeError("eq")


class BrokenMeta(metaclass=Meta):
    def __str__(self):
        raise RuntimeError("str")


class BrokenIterable(list):
    def __iter__(self):
        raise RuntimeError("iter")


class BrokenAttributes:
    def __getattribute__(self, name):
        raise RuntimeError(name)


class BrokenMapping(dict):
    def items(self):
        raise RuntimeError("items")

    __iter__ = keys = __len__ = __bool__ = items


class OddMapping(dict):
    def items(self):
        return [1, (2,), (3, 4, 5)]


HOSTILE = [
    Text("x"), Number(5), Real(1.5), Color.RED, Level.HIGH, BrokenStr(), WrongStr(), Recursive(), BrokenBool(), Liar(),
    BrokenClass(), BrokenMeta(), BrokenIterable([1]), BrokenAttributes(), BrokenMapping(a=1), OddMapping(), mock.Mock(),
    mock.Mock(spec=str), mock.Mock(spec=int), mock.MagicMock(), object(), object, lambda: 1, type, Ellipsis,
    NotImplemented, 2**70, -(2**70), 10**5000, float("nan"), float("inf"), 1j, b"\xff\x00", bytearray(b"x"),
    memoryview(b"x"), "\ud800", "\x00", "a" * 100000, b"b" * 100000, ["a" * 10000] * 100, list(range(10000)),
    {"a": [1]}, {1, 2}, frozenset((1,)), range(3), (x for x in [1]), [[1], [2]], [None, 1.5, True, "x", b"y"], [],
    (), {}, datetime.datetime(2020, 1, 1), decimal.Decimal("1.5"), uuid.UUID(int=5), collections.OrderedDict(a=1),
    ValueError("x"), KeyboardInterrupt(), ValueError, None, True, 0, "", b"",
]  # fmt: skip


class Pick:
    """Stands for one of the above: the generator of examples would stumble over it."""

    def __init__(self, index):
        self.index = index


def picked(value):
    return HOSTILE[value.index] if type(value) is Pick else value


SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers()
ANYTHING = st.one_of(
    SCALAR,
    st.builds(Pick, st.integers(0, len(HOSTILE) - 1)),
    st.recursive(
        SCALAR,
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
        max_leaves=8,
    ),
)
many = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


def plain(value, inside=False):
    """Whether an exporter can send it, and it is bounded."""
    kind = type(value)
    if kind is tuple and not inside:
        return len(value) <= 128 and all(plain(item, True) for item in value)
    if kind in (str, bytes):
        return len(value) <= 25000
    return kind in (bool, int, float)


def check(span):
    assert all(type(key) is str and len(key) <= 200 and plain(value) for key, value in span.attributes.items())
    assert type(span.status_message) is str and len(span.status_message) <= 1000 and type(span.error) is bool
    for event in span.events or ():
        assert type(event.name) is str and len(event.name) <= 200 and type(event.time) is int
        assert 0 <= event.time < 2**63
        assert all(type(key) is str and plain(value) for key, value in event.attributes.items())
    for link in span.links or ():
        assert link.context.trace_id and all(
            type(key) is str and plain(value) for key, value in link.attributes.items()
        )
    for key, value in (span.baggage or {}).items():
        assert type(key) is type(value) is str
    assert span.duration >= 0


def use(core, recorder, one, two):
    """Every method of a span, with these."""
    span = core.Span(recorder, "x")
    for _ in range(3):  # not begun, open, finished
        span.set_attribute(one, two)
        span.set_attribute("k", one)
        span.set_attribute("manual.keep", one)
        span.set_attributes(one)
        span.set_attributes({"a": one, "b": two})
        span.add_event(one, two, one)
        span.add_event("e", {"a": one})
        span.add_link(one, two)
        span.add_link(core.SpanContext(1, 2), one)
        span.record_exception(one, two)
        span.record_exception(ValueError(one), two)
        span.set_error(one)
        span.set_error(ValueError(one))
        span.set_baggage(one, two)
        repr(span)
        span.context
        span.recording
        if not span.span_id:
            span.begin(None)
        else:
            span.finish(one)
    check(span)
    return span


@pytest.mark.parametrize("index", range(len(HOSTILE)))  # pytest itself stumbles over some of them
def test_hostile_objects(core, recorder, index):
    value = HOSTILE[index]
    for other in ("x", value, {"k": value}):
        use(core, recorder, value, other)
        use(core, recorder, other, value)
    batch = recorder.buffer.swap()
    assert batch.span_count == 6


@many
@given(one=ANYTHING, two=ANYTHING)
def test_any_object_as_any_argument(core, recorder, one, two):
    use(core, recorder, picked(one), picked(two))
    assert recorder.buffer.swap().span_count == 1


VALUES = [
    ("text", "text"), (5, 5), (1.5, 1.5), (True, True), (b"x", b"x"), ((1,), (1,)), ([], ()),
    ([1, "a", 2.5, False, b"x"], (1, "a", 2.5, False, b"x")), ([None, [1]], ("None", "[1]")), (Text("x"), "text"),
    (Real(1.5), 1.5), (Level.HIGH, str(Level.HIGH)), (Color.RED, "Color.RED"), (decimal.Decimal("1.5"), "1.5"),
    (uuid.UUID(int=5), str(uuid.UUID(int=5))), (2**70, 2**70),
    (BrokenStr(), "<BrokenStr>"), (WrongStr(), "<WrongStr>"), (BrokenMeta(), "<BrokenMeta>"), ("\ud800", "\ud800"),
    (bytearray(b"x"), "x"), ({"a": 1}, "{'a': 1}"), ("x" * 30000, "x" * 25000), (b"x" * 30000, b"x" * 25000),
]  # fmt: skip


@pytest.mark.parametrize("index", range(len(VALUES)))
def test_values(recorder, index):
    value, kept = VALUES[index]
    with recorder.start("x") as span:
        span.set_attribute("k", value)
        assert span.attributes["k"] == kept and type(span.attributes["k"]) is type(kept)


def test_none_is_no_value(recorder):
    with recorder.start("x") as span:
        span.set_attribute("k", None)
        span.set_attributes({"a": None, "b": 1})
        span.add_event("e", {"a": None, "b": 1})
        assert span.attributes == {"b": 1} and span.events[0].attributes == {"b": 1}


def test_a_finished_span_does_not_change(core, recorder):
    with recorder.start("x") as span:
        span.set_attribute("k", 1)
    span.set_attribute("k", 2)
    span.set_attributes({"l": 3})
    span.add_event("e")
    span.add_link(core.SpanContext(1, 2))
    span.set_error("late")
    span.record_exception(ValueError())
    assert (span.attributes, span.events, span.links, span.error, span.status_message) == (
        {"k": 1},
        None,
        None,
        False,
        "",
    )


def test_counts_are_bounded(core, recorder):
    with recorder.start("x") as span:
        for _ in range(1000):
            span.add_event("e")
            span.add_link(core.SpanContext(1, 2))
        assert len(span.events) == len(span.links) == 128


def test_links(core, recorder):
    with recorder.start("other") as other:
        pass
    with recorder.start("x") as span:
        span.add_link(other, {"k": 1})
        span.add_link(core.SpanContext(5, 6))
        span.add_link(core.SpanContext(0, 0))
        span.add_link(core.Span(recorder, "not begun"))
        assert [(link.context.trace_id, link.context.span_id, link.attributes) for link in span.links] == [
            (other.trace_id, other.span_id, {"k": 1}),
            (5, 6, {}),
        ]


def test_links_of_the_message(core, recorder):
    context = core.SpanContext(5, 6)
    context.links = (core.Link(core.SpanContext(7, 8), {"reason": "x"}),)
    with recorder.start("x", parent=context) as span, recorder.start("y") as child:
        assert [link.context.trace_id for link in span.links] == [7] and child.links is None
