"""Several formats at once, and the carriers that a context travels in."""

from __future__ import annotations

import collections
import email.message
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer._core import Buffer, Recorder, SpanContext
from gossamer._trace.propagation import (
    FIELDS,
    Propagation,
    context_of,
    environ_getter,
    headers_getter,
    pairs_getter,
    setter,
)
from gossamer._trace.propagators import datadog, w3c
from gossamer._trace.sampler import Sampler

UPPER, LOW = 0x0AF7651916CD43DD, 0x8448EB211C80319C
TRACE = UPPER << 64 | LOW
SPAN = 0xB7AD6B7169203331
DATADOG = {
    "x-datadog-trace-id": str(LOW),
    "x-datadog-parent-id": "77",
    "x-datadog-sampling-priority": "2",
    "x-datadog-tags": "_dd.p.tid=0af7651916cd43dd,_dd.p.dm=-4",
}
W3C = {"traceparent": "00-%032x-%016x-01" % (TRACE, SPAN), "tracestate": "dd=s:1;p:00000000000000bb,foo=1"}
BOTH = dict(DATADOG, **W3C)
default = Propagation()


def headers_of(what):
    headers = {}
    default.inject(what, headers)
    return headers


# -- precedence -------------------------------------------------------------------------------------------------------


def test_the_first_format_decides_and_the_second_adds_its_state():
    context = default.extract(BOTH)
    assert (context.trace_id, context.priority, context.tracestate) == (TRACE, 2, "foo=1")
    # The header that every tracer rewrites names the nearest span.
    assert context.span_id == SPAN
    assert context.tags == {"_dd.p.dm": "-4", "_dd.parent_id": "00000000000000bb"}
    assert context.links == ()


def test_a_tracer_in_between_that_knows_only_traceparent():
    context = default.extract(dict(BOTH, tracestate="foo=1"))
    assert (context.span_id, context.tags["_dd.parent_id"]) == (SPAN, "%016x" % 77)


def test_the_same_span_in_both():
    context = default.extract(dict(BOTH, **{"x-datadog-parent-id": str(SPAN), "tracestate": "foo=1"}))
    assert (context.span_id, context.tags) == (SPAN, {"_dd.p.dm": "-4"})


def test_another_trace_becomes_a_link():
    context = default.extract(dict(BOTH, **{"x-datadog-trace-id": "99"}))
    assert (context.trace_id, context.span_id, context.tracestate) == (UPPER << 64 | 99, 77, "")
    (link,) = context.links
    assert (link.context.trace_id, link.context.span_id, link.context.tracestate) == (TRACE, SPAN, "foo=1")
    assert link.attributes == {"reason": "terminated_context", "context_headers": "tracecontext"}
    with Recorder(Buffer()).start("server", parent=context) as span:
        assert [found.context for found in span.links] == [link.context]
        assert span.trace_id == context.trace_id
    other = Propagation(extract_styles=("tracecontext", "datadog")).extract(dict(BOTH, **{"x-datadog-trace-id": "99"}))
    assert (other.trace_id, other.links[0].context.span_id) == (TRACE, 77)
    assert other.links[0].attributes["context_headers"] == "datadog"


def test_a_lost_upper_half_is_no_other_trace():
    context = default.extract(dict(BOTH, **{"x-datadog-tags": "_dd.p.dm=-4"}))
    assert (context.trace_id, context.links) == (TRACE, ())


def test_order_and_first_only():
    w3c_first = Propagation(extract_styles=("tracecontext", "datadog"))
    assert w3c_first.extract(BOTH).priority == 1
    only = Propagation(extract_styles=("datadog", "tracecontext", "baggage"), extract_first=True)
    context = only.extract(dict(BOTH, baggage="a=1"))
    assert (context.span_id, context.tracestate, context.baggage) == (77, "", {"a": "1"})


@pytest.mark.parametrize("styles", [(), ("none",), ("b4", "x"), "none", (None, 3)])
def test_no_formats(styles):
    nothing = Propagation(styles, styles)
    headers = {}
    nothing.inject(SpanContext(1, 2), headers)
    assert headers == {} and nothing.extract(BOTH) is None and nothing.fields == ()


def test_styles_are_names_in_any_case_each_once():
    assert Propagation(("TraceContext", " datadog ", "datadog")).fields[:2] == ("traceparent", "tracestate")
    assert len(Propagation(("datadog", "datadog")).injectors) == 1


def test_a_malformed_format_does_not_hide_a_good_one():
    assert default.extract(dict(BOTH, **{"x-datadog-trace-id": "x"})).trace_id == TRACE
    assert default.extract(dict(BOTH, traceparent="x")).span_id == 77


# -- from a span ------------------------------------------------------------------------------------------------------


def test_a_span_sends_how_it_was_sampled():
    recorder = Recorder(Buffer(), Sampler(rate=1.0))
    with recorder.start("client", parent=None) as span:
        span.set_baggage("user", "7")
        headers = headers_of(span)
        assert headers["x-datadog-tags"].startswith("_dd.p.dm=-3,_dd.p.tid=")
        assert headers["x-datadog-sampling-priority"] == "2"
        assert headers["tracestate"] == "dd=s:2;p:%016x;t.dm:-3" % span.span_id
        assert headers["traceparent"] == "00-%032x-%016x-03" % (span.trace_id, span.span_id)
        assert headers["baggage"] == "user=7"
        got = default.extract(headers)
        assert (got.trace_id, got.span_id, got.priority) == (span.trace_id, span.span_id, 2)
        span.set_attribute("manual.drop", True)
        headers = headers_of(span)
        assert "dm" not in headers["x-datadog-tags"] and headers["traceparent"].endswith("-02")


def test_what_was_received_is_handed_on():
    with Recorder(Buffer(), Sampler(rate=0.0)).start(
        "server", parent=default.extract(dict(BOTH, baggage="a=1"))
    ) as span:
        headers = headers_of(span)
    assert headers["x-datadog-trace-id"] == str(LOW) and headers["x-datadog-parent-id"] == str(span.span_id)
    assert headers["x-datadog-sampling-priority"] == "2"
    assert headers["x-datadog-tags"] == "_dd.p.dm=-4,_dd.p.tid=0af7651916cd43dd"
    assert headers["tracestate"] == "dd=s:2;p:%016x;t.dm:-4,foo=1" % span.span_id
    assert headers["traceparent"] == "00-%032x-%016x-01" % (TRACE, span.span_id)
    assert headers["baggage"] == "a=1"


def test_tags_that_do_not_fit_leave_a_note_on_the_trace():
    context = default.extract(dict(DATADOG))
    context.tags["_dd.p.long"] = "x" * 600
    with Recorder(Buffer()).start("server", parent=context) as span:
        assert "x-datadog-tags" not in headers_of(span)
        assert span.trace.tags["_dd.propagation_error"] == "inject_max_size"


def test_a_span_that_has_not_begun_sends_nothing():
    from gossamer._core import Span

    assert headers_of(Span(Recorder(Buffer()), "x")) == {}


# -- carriers ---------------------------------------------------------------------------------------------------------


class CaseInsensitive(dict):
    def __setitem__(self, key, value):
        super().__setitem__(key.title(), value)


def message(headers):
    result = email.message.Message()
    for name, value in headers.items():
        result[name] = value
    return result


CARRIERS = [
    lambda headers: headers,
    lambda headers: {name.upper(): value for name, value in headers.items()},
    lambda headers: {name.title(): value for name, value in headers.items()},
    lambda headers: {name: [value] for name, value in headers.items()},
    lambda headers: {name.encode(): value.encode() for name, value in headers.items()},
    lambda headers: {name: bytearray(value.encode()) for name, value in headers.items()},
    lambda headers: types.MappingProxyType(headers),
    lambda headers: collections.UserDict(headers),
    lambda headers: collections.OrderedDict(headers),
    lambda headers: message(headers),
    lambda headers: list(headers.items()),
    lambda headers: tuple((name.upper(), value.encode()) for name, value in headers.items()),
    lambda headers: [(name.encode(), value.encode()) for name, value in headers.items()],
    lambda headers: [[name.title().encode(), value.encode()] for name, value in headers.items()],
    lambda headers: iter([("host", "x"), *headers.items()]),
    lambda headers: dict(headers, **{"other": object(), "x": None}),
    lambda headers: {**headers, 5: "int", None: "none", ("t",): 1},
]


@pytest.mark.parametrize("make", CARRIERS)
def test_carriers_that_are_read(make):
    context = default.extract(make(dict(BOTH, baggage="a=1")))
    assert (context.trace_id, context.span_id, context.priority) == (TRACE, SPAN, 2)
    assert (context.tracestate, context.baggage) == ("foo=1", {"a": "1"})


def test_a_wsgi_environment():
    environ = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in BOTH.items()}
    environ.update({"REQUEST_METHOD": "GET", "wsgi.input": object()})
    assert default.extract_from(environ_getter(environ)) == default.extract(BOTH)
    assert default.extract_from(environ_getter({"REQUEST_METHOD": "GET"})) is None
    assert default.extract_from(environ_getter({"HTTP_TRACEPARENT": 5})) is None


def test_only_the_headers_that_matter_are_looked_up():
    asked = []
    assert default.extract_from(asked.append) is None
    assert asked == ["x-datadog-trace-id", "traceparent", "baggage"]
    asked.clear()
    default.extract_from(lambda name: asked.append(name) or BOTH.get(name))
    assert set(asked) <= set(FIELDS) and len(asked) == len(set(asked))


def test_repeated_headers_are_joined():
    get = pairs_getter([(b"tracestate", b"a=1"), (b"TraceState", b"b=2"), ("tracestate", "c=3"), (b"x", b"y")])
    assert get("tracestate") == "a=1,b=2,c=3" and get("x") is None


@pytest.mark.parametrize(
    "carrier",
    [
        None,
        5,
        "traceparent",
        object(),
        [1, 2],
        [()],
        {"traceparent": object()},
        [("traceparent",)],
        {"traceparent": float("nan")},
        [(None, None)],
        len,
    ],
)
def test_carriers_that_are_none(carrier):
    assert default.extract(carrier) is None


def test_a_carrier_that_raises():
    class Broken(dict):
        def items(self):
            raise RuntimeError("no")

        def __setitem__(self, key, value):
            raise RuntimeError("no")

        def __iter__(self):
            raise RuntimeError("no")

    def broken(name):
        raise RuntimeError(name)

    assert default.extract(Broken()) is None
    assert default.extract_from(broken) is None
    default.inject(SpanContext(1, 2), Broken())
    default.inject(SpanContext(1, 2), None)
    default.inject(SpanContext(1, 2), ())
    default.inject(SpanContext("x", "y"), {})
    default.inject(object(), {})


def test_carriers_that_are_written():
    context = SpanContext(TRACE, SPAN, 1)
    expected = headers_of(context)
    assert set(expected) == {
        "x-datadog-trace-id",
        "x-datadog-parent-id",
        "x-datadog-sampling-priority",
        "x-datadog-tags",
        "traceparent",
        "tracestate",
    }
    pairs = [("Host", "x"), ("Traceparent", "old")]
    default.inject(context, pairs)
    assert dict(pairs) == dict(expected, Host="x") and len(pairs) == len(expected) + 1
    raw = [(b"host", b"x"), (b"traceparent", b"old")]
    default.inject(context, raw)
    assert {name.decode(): value.decode() for name, value in raw} == dict(expected, host="x")
    empty = []
    default.inject(context, empty)
    assert dict(empty) == expected
    seen = {}
    default.inject(context, None, lambda name, value: seen.update({name: value}))
    assert seen == expected
    mapping = CaseInsensitive()
    default.inject(context, mapping)
    assert mapping["Traceparent"] == expected["traceparent"]


def test_headers_that_are_passed_on_are_not_sent_twice():
    # A proxy hands the received headers, in their case, to its own request.
    received = {"Host": "x", "Traceparent": "old", "X-Datadog-Trace-Id": "1", "x-datadog-parent-id": "2", 5: "odd"}
    context = SpanContext(TRACE, SPAN, 1)
    default.inject(context, received)
    assert received == {**headers_of(context), "Host": "x", 5: "odd"}
    assert sum(1 for name in received if str(name).lower() == "traceparent") == 1
    assert received["x-datadog-trace-id"] == str(LOW) and "X-Datadog-Trace-Id" not in received


def test_setter_of_a_dict_is_its_own():
    carrier = {}
    assert setter(carrier) == carrier.__setitem__
    assert headers_getter({"traceparent": 7})("traceparent") == "7"


@given(
    st.integers(1, 2**128 - 1).filter(lambda number: number & 2**64 - 1),
    st.integers(1, 2**64 - 1),
    st.sampled_from([-1, 0, 1, 2]),
    st.dictionaries(
        st.text("abcdefgh", min_size=1), st.text(st.characters(blacklist_categories=("Cs",)), max_size=8), max_size=4
    ),
    st.sampled_from(CARRIERS),
)
def test_round_trip_through_all_formats(trace_id, span_id, priority, baggage, make):
    sent = SpanContext(trace_id, span_id, priority, "rum", {"_dd.p.a": "1"}, "foo=1", baggage)
    got = default.extract(make(headers_of(sent)))
    assert got.tags.pop("_dd.parent_id") == "%016x" % span_id
    got.is_remote = False
    assert got == sent


@given(
    st.dictionaries(
        st.sampled_from(FIELDS),
        st.text(max_size=70) | st.binary(max_size=70) | st.lists(st.text(max_size=5)) | st.none(),
    )
)
def test_any_headers_are_read_without_an_exception(headers):
    default.extract(headers)


def test_the_tracer_continues_whatever_was_extracted():
    from gossamer._trace.tracer import Tracer

    tracer = Tracer(Recorder(Buffer()))
    with tracer.trace("x", parent=tracer.extract({"baggage": "a=1"})) as span:
        assert span.baggage == {"a": "1"} and span.trace_id and span.parent_id == 0
    with tracer.trace(
        "x", parent=tracer.extract({"x-datadog-trace-id": "7", "x-datadog-origin": "synthetics"})
    ) as span:
        assert (span.trace_id, span.parent_id, span.trace.origin) == (7, 0, "synthetics")
    with tracer.start_span("x", start_time=float("inf")) as span:
        assert span.start_time > 0


# -- what is kept from one message to the next ------------------------------------------------------------------------


@given(
    trace_id=st.integers(1, 2**128 - 1).filter(lambda number: number & 2**64 - 1),
    priority=st.sampled_from([None, -1, 0, 1, 2]),
    mechanism=st.sampled_from([None, 0, 1, 3, 4]),
    origin=st.sampled_from([None, "rum", "a\nb", "o" * 250, "feedc0defeedc0de"]),
    tags=st.dictionaries(
        st.sampled_from(["_dd.p.dm", "_dd.p.a", "_dd.p.tid", "_dd.parent_id", "x"]),
        st.sampled_from(["-4", "x" * 300, "b,c", "00000000000000bb"]),
    ),
    tracestate=st.sampled_from(["", "foo=1", "foo=" + "x" * 250 + ",bar=" + "y" * 250, "foo=feedc0defeedc0de"]),
    baggage=st.sampled_from([{}, {"a": "1"}]),
    styles=st.sampled_from([("datadog", "tracecontext", "baggage"), ("tracecontext", "datadog"), ("tracecontext",)]),
)
def test_a_span_sends_what_its_context_says(trace_id, priority, mechanism, origin, tags, tracestate, baggage, styles):
    """What was written for one span serves for others, and is each time what the propagators would write."""
    parent = SpanContext(trace_id, 5, priority, origin, tags, tracestate, baggage)
    propagation = Propagation(styles)
    for _ in range(2):
        with Recorder(Buffer()).start("client", parent=parent) as span:
            span.trace.mechanism = mechanism
            expected = {}
            context = context_of(span)
            context.tags = dict(context.tags)
            for propagator in propagation.injectors:
                propagator.inject(context, expected.__setitem__)
            headers = {}
            propagation.inject(span, headers)
            assert list(headers.items()) == list(expected.items())


def test_a_decision_taken_between_two_messages_shows_in_the_second():
    with Recorder(Buffer(), Sampler()).start("client", parent=None) as span:
        assert headers_of(span)["x-datadog-sampling-priority"] == "1"
        span.trace.keep()
        headers = headers_of(span)
        assert headers["x-datadog-sampling-priority"] == "2" and headers["x-datadog-tags"].startswith("_dd.p.dm=-4")
        span.trace.origin = "rum"
        assert headers_of(span)["x-datadog-origin"] == "rum"
        span.set_baggage("a", "1")
        assert headers_of(span)["baggage"] == "a=1"


def test_what_is_kept_has_an_end():
    propagation = Propagation()
    for number in range(600):
        parent = SpanContext(7, 5, 1, None, {"_dd.p.n": str(number)}, "foo=%d" % number)
        propagation.inject(Recorder(Buffer()).start("client", parent=parent), {"X-%d" % number: "1"})
        state = "dd=s:1;p:00000000000000bb;t.n:%d" % number
        tags = "_dd.p.tid=0af7651916cd43dd,_dd.p.n=%d" % number
        context = propagation.extract(dict(BOTH, **{"tracestate": state, "x-datadog-tags": tags}))
        assert context.tags == {"_dd.p.n": str(number), "_dd.parent_id": "00000000000000bb"}
    assert len(propagation._forms) <= 256
    assert len(datadog._read) <= 256 and len(w3c._states) <= 256


@pytest.mark.parametrize(
    "header, tags",
    [
        ("_dd.p.dm=-4,_dd.p.tid=0af7651916cd43dd", {"_dd.p.dm": "-4"}),
        ("_dd.p.tid=0af7651916cd43dd,_dd.p.dm=-4", {"_dd.p.dm": "-4"}),
        ("_dd.p.a=1,_dd.p.tid=0af7651916cd43dd,_dd.p.dm=-4", {"_dd.p.a": "1", "_dd.p.dm": "-4"}),
        ("_dd.p.tid=0af7651916cd43dd", {}),
        (",_dd.p.tid=0af7651916cd43dd", {"_dd.propagation_error": "decoding_error"}),
        ("_dd.p.tid=0af7651916cd43dd,", {"_dd.propagation_error": "decoding_error"}),
        ("_dd.p.a=1,,_dd.p.tid=0af7651916cd43dd", {"_dd.propagation_error": "decoding_error"}),
    ],
)
def test_the_upper_half_wherever_it_stands(header, tags):
    for _ in range(2):  # read, and read again from what was kept
        context = Propagation(("datadog",), ("datadog",)).extract(dict(DATADOG, **{"x-datadog-tags": header}))
        assert context.tags == tags
        assert context.trace_id == (LOW if "_dd.propagation_error" in tags else TRACE)
        context.tags["_dd.p.mine"] = "1"  # must not show in the next one


@pytest.mark.parametrize(
    "state, tags",
    [
        ("dd=s:1;p:00000000000000bb;t.dm:-4", {"_dd.p.dm": "-4", "_dd.parent_id": "00000000000000bb"}),
        ("dd=s:1;t.p:00000000000000bb", {"_dd.p.p": "00000000000000bb"}),
        ("dd=p:00000000000000bbb", {}),
        ("dd=p:00000000000000bb;p:0000000000000000", {"_dd.parent_id": "0000000000000000"}),
    ],
)
def test_the_last_span_in_our_member(state, tags):
    for _ in range(2):
        context = Propagation(("tracecontext",), ("tracecontext",)).extract(dict(W3C, tracestate=state))
        assert context.tags == tags
        context.tags["_dd.p.mine"] = "1"
