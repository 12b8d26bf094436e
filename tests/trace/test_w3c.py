"""W3C Trace Context: the cases of the working group's test suite (level 2), as data, and Datadog's member."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer._core import SpanContext
from gossamer._trace.propagation import Propagation
from gossamer._trace.propagators.w3c import split_state

W3C = Propagation(("tracecontext",), ("tracecontext",))
TRACE, SPAN = "12345678901234567890123456789012", "1234567890123456"
GOOD = "00-%s-%s-01" % (TRACE, SPAN)


def extract(parent, *states):
    pairs = [] if parent is None else [("traceparent", parent)]
    return W3C.extract(pairs + [("tracestate", state) for state in states])


def inject(context):
    headers = {}
    W3C.inject(context, headers)
    return headers


# -- traceparent ------------------------------------------------------------------------------------------------------

VALID = [
    GOOD,
    " " + GOOD,
    "\t" + GOOD,
    GOOD + " ",
    GOOD + "\t",
    "\t " + GOOD + " \t",
    "cc" + GOOD[2:],
    "cc" + GOOD[2:] + "-what-the-future-will-be-like",
    "01" + GOOD[2:] + "-",
    "fe" + GOOD[2:],
    GOOD[:-2] + "ff",  # unknown flags are no error
]

INVALID = [
    "",
    "-",
    GOOD[:-1],
    GOOD + ".",
    GOOD + "-what-the-future-will-be-like",
    GOOD + "-",
    "cc" + GOOD[2:] + ".what-the-future-will-be-like",
    "cc" + GOOD[2:] + "0",
    "ff" + GOOD[2:],
    "ff" + GOOD[2:] + "-more",
    ".0" + GOOD[2:],
    "0." + GOOD[2:],
    "FE" + GOOD[2:],
    "0" + GOOD,
    "00" + GOOD,
    GOOD[1:],
    "00-" + "0" * 32 + "-" + SPAN + "-01",
    "00-." + TRACE[1:] + "-" + SPAN + "-01",
    "00-" + TRACE[:-1] + ".-" + SPAN + "-01",
    "00-" + TRACE + "3-" + SPAN + "-01",
    "00-" + TRACE[:-1] + "-" + SPAN + "-01",
    "00-" + "A" * 32 + "-" + SPAN + "-01",
    "00-" + TRACE + "-" + "0" * 16 + "-01",
    "00-" + TRACE + "-." + SPAN[1:] + "-01",
    "00-" + TRACE + "-" + SPAN[:-1] + ".-01",
    "00-" + TRACE + "-" + SPAN + "7-01",
    "00-" + TRACE + "-" + SPAN[:-1] + "-01",
    "00-" + TRACE + "-" + "B" * 16 + "-01",
    "00-" + TRACE + "-" + SPAN + "-.0",
    "00-" + TRACE + "-" + SPAN + "-0.",
    "00-" + TRACE + "-" + SPAN + "-001",
    "00-" + TRACE + "-" + SPAN + "-1",
    "00-" + TRACE + "-" + SPAN + "-0A",
    GOOD.replace("-", "_"),
    GOOD + "\n",
    "\u0660" * 2 + GOOD[2:],
    "00-" + "\uff11" * 32 + "-" + SPAN + "-01",
    GOOD + "," + GOOD,
]


@pytest.mark.parametrize("header", VALID)
def test_valid_traceparent(header):
    context = extract(header, "foo=1")
    assert (context.trace_id, context.span_id) == (int(TRACE, 16), int(SPAN, 16))
    assert context.is_remote and context.priority == 1 and context.tracestate == "foo=1"


@pytest.mark.parametrize("header", INVALID)
def test_invalid_traceparent_discards_both_headers(header):
    assert extract(header, "foo=1") is None


def test_neither_header_and_tracestate_alone():
    assert extract(None) is None
    assert extract(None, "foo=1") is None
    assert extract(None, "dd=s:2,foo=1") is None


def test_two_traceparent_headers_start_a_new_trace():
    other = "00-12345678901234567890123456789011-1234567890123456-01"
    assert W3C.extract([("traceparent", other), ("traceparent", GOOD)]) is None
    assert W3C.extract({"traceparent": [other, GOOD]}) is None


@pytest.mark.parametrize("name", ["TraceParent", "TrAcEpArEnT", "TRACEPARENT", "traceparent"])
def test_the_name_has_any_case(name):
    assert W3C.extract({name: GOOD}).trace_id == int(TRACE, 16)
    assert W3C.extract([(name, GOOD)]).trace_id == int(TRACE, 16)
    assert W3C.extract([(name.encode(), GOOD.encode())]).trace_id == int(TRACE, 16)


@pytest.mark.parametrize("name", ["trace-parent", "trace.parent", "trace_parent", " traceparent"])
def test_other_names_are_not_read(name):
    assert W3C.extract({name: GOOD}) is None


@pytest.mark.parametrize(
    ("flags", "priority", "random", "sent"),
    [
        ("00", 0, False, "00"),
        ("01", 1, False, "01"),
        ("02", 0, True, "02"),
        ("03", 1, True, "03"),
        ("fd", 1, False, "01"),
        ("fe", 0, True, "02"),
    ],
)
def test_flags(flags, priority, random, sent):
    context = extract(GOOD[:-2] + flags)
    assert (context.priority, context.random) == (priority, random)
    assert inject(context)["traceparent"] == GOOD[:-2] + sent  # the random flag is handed on, unknown ones are not


@pytest.mark.parametrize(("priority", "flag"), [(None, "00"), (-1, "00"), (0, "00"), (1, "01"), (2, "01")])
def test_the_sampled_flag_follows_the_priority(priority, flag):
    assert inject(SpanContext(1, 2, priority))["traceparent"] == "00-%032x-%016x-%s" % (1, 2, flag)


def test_a_context_without_ids_is_not_written():
    assert inject(SpanContext(0, 0, baggage={"a": "b"})) == {}
    assert inject(SpanContext(1, 0)) == {}


# -- tracestate -------------------------------------------------------------------------------------------------------

KEY = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
VALUE = "".join(chr(n) for n in range(0x20, 0x7F) if chr(n) not in ",=")
MEMBERS_32 = ["bar%02d=%02d" % (n, n) for n in range(1, 33)]

STATES = [
    (["foo=1,bar=2"], "foo=1,bar=2"),
    ([""], ""),
    (["foo=1", ""], "foo=1"),
    (["", "foo=1"], "foo=1"),
    ([" ", "\t,  ,foo=1,,"], "foo=1"),
    (["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3"),
    (["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
    (["foo=1\t \t,\t \tbar=2,\t \tbaz=3"], "foo=1,bar=2,baz=3"),
    ([" foo=1"], "foo=1"),
    (["\tfoo=1"], "foo=1"),
    (["foo=1 "], "foo=1"),
    (["\t foo=1 \t"], "foo=1"),
    (["foo= 1"], "foo= 1"),  # leading spaces belong to the value
    ([KEY + "=" + VALUE], KEY + "=" + VALUE),
    ([KEY + "@a-z0-9_-*/=" + VALUE], KEY + "@a-z0-9_-*/=" + VALUE),
    (["0foo=1"], "0foo=1"),  # level 2
    (["foo@=1,bar=2"], "foo@=1,bar=2"),  # level 2 knows no vendor format
    (["t@" + "v" * 15 + "=1"], "t@" + "v" * 15 + "=1"),
    (["foo=1", "z" * 256 + "=1"], "foo=1," + "z" * 256 + "=1"),
    (["foo=" + "x" * 256], "foo=" + "x" * 256),
    ([",".join(MEMBERS_32)], ",".join(MEMBERS_32)),
    ([",".join(MEMBERS_32[:10]), ",".join(MEMBERS_32[10:])], ",".join(MEMBERS_32)),
    # Invalid as a whole:
    (["foo=1,foo=1"], ""),
    (["foo=1,foo=2"], ""),
    (["foo=1", "foo=2"], ""),
    (["foo =1"], ""),
    (["FOO=1"], ""),
    (["foo.bar=1"], ""),
    (["@foo=1,bar=2"], ""),
    (["_foo=1,bar=2"], ""),
    (["foo=1", "z" * 257 + "=1"], ""),
    (["foo=bar=baz"], ""),
    (["foo=,bar=3"], ""),
    (["foo"], ""),
    (["=1"], ""),
    (["foo=" + "x" * 257], ""),
    (["foo=\u00e9"], ""),
    (["foo=a\tb"], ""),
    (["foo=a\nb"], ""),
    ([",".join(MEMBERS_32 + ["bar33=33"])], ""),
    (["dd=s:2,foo=bar=baz"], ""),
]


@pytest.mark.parametrize(("headers", "expected"), STATES)
def test_tracestate(headers, expected):
    context = extract(GOOD, *headers)
    assert context.trace_id == int(TRACE, 16)  # whatever the state is worth, the parent counts
    assert context.tracestate == expected


@pytest.mark.parametrize("name", ["trace-state", "trace.state"])
def test_other_names_of_the_state(name):
    assert W3C.extract({"traceparent": GOOD, name: "foo=1"}).tracestate == ""


@pytest.mark.parametrize("name", ["TraceState", "TrAcEsTaTe", "TRACESTATE"])
def test_any_case_of_the_state(name):
    assert W3C.extract({"traceparent": GOOD, name: "foo=1"}).tracestate == "foo=1"


def test_what_comes_in_goes_out_behind_our_member():
    context = extract(GOOD, "foo=1", "bar=2")
    state = inject(SpanContext(context.trace_id, 7, 1, tracestate=context.tracestate))["tracestate"]
    assert state == "dd=s:1;p:0000000000000007,foo=1,bar=2"


def test_our_member_moves_to_the_front_once():
    context = extract(GOOD, "foo=1,dd=s:2;o:rum,bar=2")
    assert (context.tracestate, context.priority, context.origin) == ("foo=1,bar=2", 2, "rum")
    state = inject(context)["tracestate"]
    assert state.startswith("dd=s:2;o:rum") and state.endswith(",foo=1,bar=2") and state.count("dd=") == 1


def test_with_32_members_of_others_the_last_gives_way():
    context = extract(GOOD, ",".join(MEMBERS_32))
    members = inject(context)["tracestate"].split(",")
    assert len(members) == 32
    assert members[0].startswith("dd=") and members[1:] == MEMBERS_32[:31]


def test_what_is_too_long_goes_long_members_first():
    long, short = "long=" + "x" * 200, ["k%02d=%s" % (n, "y" * 20) for n in range(14)]
    state = inject(SpanContext(1, 2, 1, tracestate=",".join(short[:2] + [long] + short[2:])))["tracestate"]
    members = state.split(",")
    assert len(state) <= 512 and long not in members and members[1:] == short
    more = ["k%02d=%s" % (n, "y" * 40) for n in range(20)]
    state = inject(SpanContext(1, 2, 1, tracestate=",".join(more)))["tracestate"]
    members = state.split(",")
    assert 450 < len(state) <= 512 and members[1:] == more[: len(members) - 1]


# -- the member dd ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "said", "priority", "mechanism"),
    [
        ("01", "s:2;t.dm:-4", 2, "-4"),
        ("01", "s:1;t.dm:-1", 1, "-1"),
        ("01", "s:0;t.dm:-1", 1, "-0"),  # sampled by somebody after the tracer that dropped it
        ("01", "s:-1;t.dm:-3", 1, "-0"),
        ("01", "t.dm:-4", 1, "-4"),
        ("01", "s:x;t.dm:-4", 1, "-4"),
        ("01", "s:;t.dm:-4", 1, "-4"),
        ("01", "s:3;t.dm:-4", 1, "-4"),
        ("00", "s:2;t.dm:-4", 0, None),
        ("00", "s:1;t.dm:-1", 0, None),
        ("00", "s:0", 0, None),
        ("00", "s:-1;t.dm:-3", -1, None),
        ("00", "o:rum", 0, None),
    ],
)
def test_sampled_flag_and_priority_are_reconciled(flag, said, priority, mechanism):
    context = extract(GOOD[:-2] + flag, "dd=" + said + ",foo=1")
    assert (context.priority, context.tags.get("_dd.p.dm")) == (priority, mechanism)


def test_parts_of_dd():
    context = extract(
        GOOD, "dd=s:2;o:r~um;p:00000000000000ab;t.dm:-4;t.usr.id:ba~~;t.bad;t.:x;;x:y;t.tid:0af7651916cd43dd"
    )
    assert context.origin == "r=um"
    assert context.tags == {"_dd.p.dm": "-4", "_dd.p.usr.id": "ba==", "_dd.parent_id": "00000000000000ab"}


@pytest.mark.parametrize("last", ["ab", "00000000000000AB", "00000000000000abc", "xyz"])
def test_a_malformed_last_parent_is_as_none(last):
    assert "_dd.parent_id" not in extract(GOOD, "dd=s:1;p:" + last).tags


def test_characters_are_substituted():
    tags = {
        "_dd.p.u s,r=": "a=b;c~d,e\u00e9 f",
        "_dd.p.dm": "-4",
        "_dd.p.tid": "0af7651916cd43dd",
        "_dd.x": "no",
        "_dd.p.e": "",
    }
    state = inject(SpanContext(1, 2, 2, "r=u;m~,\u00e9", tags))["tracestate"]
    assert state == "dd=s:2;o:r~u_m___;p:0000000000000002;t.u_s_r_:a~b_c_d_e_ f;t.dm:-4"


def test_dd_is_at_most_256_characters_and_keeps_whole_tags():
    tags = {"_dd.p.k%d" % n: "v" * 40 for n in range(20)}
    state = inject(SpanContext(1, 2, 2, tags=tags))["tracestate"]
    assert 200 < len(state) <= 259 and state.endswith("v" * 40)
    state = inject(SpanContext(1, 2, 2, origin="o" * 600))["tracestate"]
    assert len(state) <= 259 and split_state(state)[0]


def test_the_last_parent_is_the_span_that_sends_or_the_one_before_a_passthrough():
    assert ";p:0000000000000002" in inject(SpanContext(1, 2, 1))["tracestate"]
    assert inject(extract(GOOD, "dd=s:1;p:00000000000000ab"))["tracestate"] == "dd=s:1;p:00000000000000ab"
    assert inject(extract(GOOD, "dd=s:1"))["tracestate"] == "dd=s:1"


TAG = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E, blacklist_characters=",;~"), min_size=1, max_size=12
).filter(lambda text: text == text.strip())
IDENTIFIER = st.text("abcdefghijklmnopqrstuvwxyz_.0123456789", min_size=1, max_size=10)


@given(
    trace_id=st.integers(1, 2**128 - 1),
    span_id=st.integers(1, 2**64 - 1),
    priority=st.sampled_from([-1, 0, 1, 2]),
    origin=st.none() | TAG,
    tags=st.dictionaries(IDENTIFIER.filter(lambda key: key not in ("dm", "tid")), TAG, max_size=4),
    random=st.booleans(),
)
def test_round_trip(trace_id, span_id, priority, origin, tags, random):
    sent = SpanContext(
        trace_id, span_id, priority, origin, {"_dd.p." + key: value for key, value in tags.items()}, "foo=1"
    )
    sent.random = random
    got = W3C.extract(inject(sent))
    assert got.tags.pop("_dd.parent_id") == "%016x" % span_id
    got.is_remote = False
    assert got == sent


@given(st.text(max_size=80), st.text(max_size=600))
def test_anything_is_read_without_an_exception(parent, state):
    extract(parent, state)
    context = extract(GOOD, state)
    assert context.trace_id == int(TRACE, 16)
    out = inject(context)["tracestate"]
    assert all(" " <= c <= "~" for c in out)


@given(st.text("dd=s:2;o:rum;p:0t.,\t ~-", max_size=60))
def test_anything_like_dd(state):
    context = extract(GOOD, "dd=" + state)
    assert context.priority in (1, 2)
    assert len(inject(context)["tracestate"]) <= 512
