"""v0.4 and v0.5, read back with another implementation of MessagePack."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gossamer._core import pure
from gossamer._wire.datadog import encode_v04, encode_v05
from gossamer._wire.datadog_span import constants
from tests.wire.build import START, TRACE_ID, Maker, one, only, process, remote, v04, v05

LOW = TRACE_ID & (1 << 64) - 1


def request_trace(core: Any = pure) -> Any:
    def sampler(trace: Any, span: Any) -> None:
        trace.priority, trace.mechanism, trace.rate = 1, 1, 0.5

    maker = Maker(sampler, core)
    attributes = {"http.request.method": "GET", "http.route": "/users/<id>", "http.response.status_code": 200}
    root = maker.start(
        "flask.request", None, resource="GET /users/<id>", type="web", kind="server", integration="flask",
        attributes=dict(attributes, **{"url.full": "http://x/users/3", "user_agent.original": "curl"}),
    )  # fmt: skip
    query = maker.start(
        "redis.command", root, resource="GET", service="redis", type="redis", kind="client", integration="redis",
        attributes={
            "db.system.name": "redis", "server.address": "cache", "server.port": 6379, "db.query.text": "GET ?",
        },
    )  # fmt: skip
    inner = maker.start("price", root, attributes={"cart.items": 3, "ratio": 0.25, "vip": True})
    for span in (query, inner, root):
        span.finish()
    return maker.batch()


GOLDEN = [
    {
        "service": "shop", "name": "flask.request", "resource": "GET /users/<id>", "type": "web",
        "trace_id": LOW, "span_id": 1, "parent_id": 0, "start": START + 1, "duration": 1000, "error": 0,
        "meta": {
            "env": "test", "version": "1.2", "team": "blue", "span.kind": "server", "component": "flask",
            "language": "python", "runtime-id": "ab" * 16, "_dd.p.tid": "6543b2a100000000", "_dd.p.dm": "-1",
            "http.method": "GET", "http.route": "/users/<id>", "http.status_code": "200",
            "http.url": "http://x/users/3", "http.useragent": "curl",
        },
        "metrics": {
            "_dd.measured": 1.0, "_dd.top_level": 1.0, "process_id": 77.0, "_sampling_priority_v1": 1.0,
            "_dd.agent_psr": 0.5,
        },
    },
    {
        "service": "redis", "name": "redis.command", "resource": "GET", "type": "redis",
        "trace_id": LOW, "span_id": 2, "parent_id": 1, "start": START + 2, "duration": 2000, "error": 0,
        "meta": {
            "env": "test", "_dd.base_service": "shop", "team": "blue", "span.kind": "client", "component": "redis",
            "db.system": "redis", "out.host": "cache", "redis.raw_command": "GET ?",
        },
        "metrics": {"_dd.measured": 1.0, "_dd.top_level": 1.0, "network.destination.port": 6379.0},
    },
    {
        "service": "shop", "name": "price", "resource": "price",
        "trace_id": LOW, "span_id": 3, "parent_id": 1, "start": START + 3, "duration": 3000, "error": 0,
        "meta": {"env": "test", "version": "1.2", "team": "blue", "vip": "true"},
        "metrics": {"cart.items": 3.0, "ratio": 0.25},
    },
]  # fmt: skip


@pytest.mark.parametrize("decode", [v04, v05])
def test_golden(decode: Any) -> None:
    assert decode(request_trace()) == [GOLDEN]


def test_numbers_have_their_widths() -> None:
    payload = encode_v04(one("a"), process())
    for marked in (b"trace_id\xcf", b"span_id\xcf", b"parent_id\xcf", b"start\xd3", b"duration\xd3", b"error\x00"):
        assert marked in payload
    assert b"process_id\xcb" in payload


def test_the_same_bytes_twice() -> None:
    # The second time everything comes from the caches.
    batch, of = request_trace(), process()
    assert encode_v04(batch, of) == encode_v04(batch, of)
    assert encode_v05(batch, of) == encode_v05(batch, of)


def test_caches_are_bounded() -> None:
    from gossamer._wire import datadog

    maker = Maker()
    for number in range(10000):
        name = "name %d" % number
        maker.start(name, resource="r%d" % number, attributes={"key %d" % number: "value %d" % number}).finish()
    batch = maker.batch()
    assert [span["resource"] for (span,) in v04(batch)] == ["r%d" % number for number in range(10000)]
    form = datadog._kept
    assert form is not None
    assert max(len(form.texts), len(form.shapes), *map(len, form.keys.values())) <= datadog.MAX_CACHED
    assert [span["meta"]["key %d" % number] for number, (span,) in enumerate(v05(batch))][-1] == "value 9999"


def test_the_local_root_is_first_and_carries_the_facts_of_the_trace() -> None:
    maker = Maker()
    tags = {"_dd.p.dm": "-4", "_dd.p.tid": "6543b2a100000000", "_dd.p.usr": "x"}
    root = maker.start("root", remote(priority=2, origin="rum", tags=tags))
    child = maker.start("child", root)
    child.finish()
    root.finish()
    batch = maker.batch()
    ((first, second),) = v04(batch)
    assert v05(batch) == [[first, second]]
    assert (first["name"], second["name"]) == ("root", "child")
    assert first["parent_id"] == 0xFEDCBA9876543210
    facts = {"_dd.p.dm": "-4", "_dd.p.tid": "6543b2a100000000", "_dd.p.usr": "x", "_dd.origin": "rum"}
    assert {key: first["meta"][key] for key in facts} == facts
    assert first["metrics"]["_sampling_priority_v1"] == 2.0
    assert not set(facts) & set(second["meta"]) and "_sampling_priority_v1" not in second["metrics"]
    assert "_dd.top_level" in first["metrics"] and "_dd.top_level" not in second["metrics"]


def test_a_chunk_without_the_local_root_carries_the_facts_as_well() -> None:
    maker = Maker()
    maker.recorder.partial_flush_min_spans = 2
    root = maker.start("root", remote(priority=1))
    for name in ("a", "b"):
        maker.start(name, root).finish()
    ((first, second),) = v04(maker.batch())
    assert (first["name"], second["name"]) == ("a", "b")
    assert first["metrics"] == {"_sampling_priority_v1": 1.0} and second["metrics"] == {}
    assert first["meta"]["_dd.p.tid"] and "runtime-id" not in first["meta"]


@pytest.mark.parametrize(
    "mechanism, metric", [(0, "_dd.agent_psr"), (1, "_dd.agent_psr"), (3, "_dd.rule_psr"), (11, "_dd.rule_psr")]
)
def test_the_applied_rate(mechanism: int, metric: str) -> None:
    def sampler(trace: Any, span: Any) -> None:
        trace.priority, trace.mechanism, trace.rate = 1, mechanism, 0.25

    maker = Maker(sampler)
    maker.start().finish()
    span = only(maker.batch())
    assert span["metrics"][metric] == 0.25
    assert span["meta"]["_dd.p.dm"] == "-%d" % mechanism


def test_a_dropped_trace_has_no_decision_maker() -> None:
    def sampler(trace: Any, span: Any) -> None:
        trace.priority, trace.mechanism = 0, 1

    maker = Maker(sampler)
    maker.start().finish()
    span = only(maker.batch())
    assert span["metrics"]["_sampling_priority_v1"] == 0.0 and "_dd.p.dm" not in span["meta"]


def test_services() -> None:
    maker = Maker()
    root = maker.start("root", service="SHOP")
    other = maker.start("other", root, service="bank")
    inside = maker.start("inside", other, service="bank")
    back = maker.start("back", inside)
    for span in (back, inside, other, root):
        span.finish()
    ((root_, *rest),) = v04(maker.batch())
    found = {span["name"]: span for span in [root_, *rest]}
    assert [found[name]["service"] for name in ("root", "other", "inside", "back")] == ["SHOP", "bank", "bank", "shop"]
    assert "_dd.base_service" not in root_["meta"] and root_["meta"]["version"] == "1.2"
    assert found["other"]["meta"]["_dd.base_service"] == "shop" and "version" not in found["other"]["meta"]
    top = {name for name, span in found.items() if "_dd.top_level" in span["metrics"]}
    assert top == {"root", "other", "back"}


def test_a_service_named_and_the_default_are_the_same() -> None:
    maker = Maker()
    root = maker.start("root")
    child = maker.start("child", root, service="shop")
    child.finish()
    root.finish()
    ((_, child_),) = v04(maker.batch())
    assert "_dd.top_level" not in child_["metrics"]


def test_process_facts_that_are_missing_are_left_out() -> None:
    span = only(one(), process(env="", version="", tags={}, hostname="box"))
    assert span["meta"] == {
        "language": "python", "runtime-id": "ab" * 16, "_dd.hostname": "box", "_dd.p.tid": "6543b2a100000000",
    }  # fmt: skip


VALUES = [
    ("text", "text", None),
    (True, "true", None),
    (False, "false", None),
    (3, None, 3.0),
    (-1.5, None, -1.5),
    (2**53, None, float(2**53)),
    (2**53 + 1, "9007199254740993", None),
    (-(10**30), str(-(10**30)), None),
    (float("nan"), "nan", None),
    (float("inf"), "inf", None),
    (float("-inf"), "-inf", None),
    (b"caf\xc3\xa9 \xff", "café \ufffd", None),
    ("\ud800 lone", "\\ud800 lone", None),
    ("", "", None),
    ("x" * 30000, "x" * 25000, None),
    ("é" * 25000, "é" * 25000, None),
]


@pytest.mark.parametrize("value, text, number", VALUES, ids=[repr(value)[:20] for value, _, _ in VALUES])
def test_values(value: Any, text: Any, number: Any) -> None:
    span = only(one(attributes={"x": value, "after": "it"}))
    assert (span["meta"].get("x"), span["metrics"].get("x")) == (text, number)
    assert span["meta"]["after"] == "it"


def test_sequences_become_one_attribute_each() -> None:
    span = only(one(attributes={"x": ("a", 2, True, b"b"), "none": ()}))
    texts = {key: value for key, value in span["meta"].items() if key[0] == "x"}
    assert texts == {"x.0": "a", "x.2": "true", "x.3": "b"}
    assert span["metrics"]["x.1"] == 2.0
    assert not [key for key in span["meta"] if key.startswith("none")]


def test_lengths_are_bounded() -> None:
    span = only(one("n" * 9000, {"k" * 300: "v"}, resource="r" * 9000))
    assert (len(span["name"]), len(span["resource"])) == (5000, 5000)
    assert span["meta"]["k" * 200] == "v"


def test_times_out_of_range() -> None:
    batch = one()
    span = next(iter(batch)).spans[0]
    for start, duration in ((-(2**70), 5), (2**70, 2**70), (START, None)):
        span._start, span.duration = start, duration
        found = only(batch)  # the checks of its types are the test
        assert found["duration"] == min(duration or 0, 2**63 - 1)


def test_a_broken_span_does_not_take_its_neighbours_along() -> None:
    maker = Maker()
    for name in ("a", "b", "c"):
        maker.start(name).finish()
    batch = maker.batch()
    batch.chunks[1].spans[0].name = object()  # type: ignore[assignment]
    batch.chunks[1].spans[0].attributes = None  # type: ignore[assignment]
    batch.chunks[1].spans[0].span_id = "no number"  # type: ignore[assignment]
    for decode in (v04, v05):
        assert [[span["name"] for span in trace] for trace in decode(batch)] == [["a"], [], ["c"]]


# -- errors, events, links ----------------------------------------------------------------------------------------


def test_an_exception() -> None:
    maker = Maker()
    span = maker.start()
    try:
        raise ValueError("bad é")
    except ValueError as error:
        span.fail(error)
    span.finish()
    found = only(maker.batch())
    assert found["error"] == 1
    assert found["meta"]["error.type"] == "builtins.ValueError"
    assert found["meta"]["error.message"] == "bad é"
    assert found["meta"]["error.stack"].endswith("ValueError: bad é\n")
    assert "events" not in found["meta"]


def test_the_last_exception_counts_and_the_others_stay_events() -> None:
    maker = Maker()
    span = maker.start()
    span.record_exception(KeyError("first"))
    span.set_error(json.JSONDecodeError("last", "", 0))
    span.finish()
    found = only(maker.batch())
    assert found["meta"]["error.type"] == "json.decoder.JSONDecodeError"
    (event,) = json.loads(found["meta"]["events"])
    assert (event["name"], event["attributes"]["exception.type"]) == ("exception", "KeyError")


def test_a_handled_exception_is_an_event() -> None:
    maker = Maker()
    span = maker.start()
    span.record_exception(ValueError("handled"))
    span.finish()
    found = only(maker.batch())
    assert found["error"] == 0 and "error.type" not in found["meta"]
    assert json.loads(found["meta"]["events"])[0]["attributes"]["exception.message"] == "handled"


def test_an_error_with_a_message_alone() -> None:
    maker = Maker()
    span = maker.start(attributes={"error.type": "500"})
    span.set_error("it failed")
    span.finish()
    meta = only(maker.batch())["meta"]
    assert (meta["error.message"], meta["error.type"]) == ("it failed", "500")


def event_span() -> Any:
    maker = Maker()
    span = maker.start()
    attributes = {"s": "x", "b": True, "i": 3, "f": 0.5, "l": ("a", 1), "big": 2**70, "nan": float("nan")}
    span.add_event("retry", attributes, START)
    span.add_event("plain", None, START + 1)
    span.finish()
    return maker.batch()


def test_events_as_json() -> None:
    span = only(event_span())
    assert json.loads(span["meta"]["events"], parse_constant=pytest.fail) == [
        {
            "name": "retry", "time_unix_nano": START,
            "attributes": {"s": "x", "b": True, "i": 3, "f": 0.5, "l": ["a", 1], "big": 2**70, "nan": "nan"},
        },
        {"name": "plain", "time_unix_nano": START + 1, "attributes": {}},
    ]  # fmt: skip


def test_events_of_an_agent_that_knows_them() -> None:
    (((span,),),) = (v04(event_span(), native_events=True),)
    assert "events" not in span["meta"]
    retry, plain = span["span_events"]
    assert plain == {"time_unix_nano": START + 1, "name": "plain"}
    assert (retry["time_unix_nano"], retry["name"]) == (START, "retry")
    assert retry["attributes"] == {
        "s": {"type": 0, "string_value": "x"},
        "b": {"type": 1, "bool_value": True},
        "i": {"type": 2, "int_value": 3},
        "f": {"type": 3, "double_value": 0.5},
        "l": {"type": 4, "array_value": {"values": [{"type": 0, "string_value": "a"}, {"type": 2, "int_value": 1}]}},
        "big": {"type": 0, "string_value": str(2**70)},
        "nan": {"type": 0, "string_value": "nan"},
    }


def test_links() -> None:
    maker = Maker()
    span = maker.start("with links", type="worker")
    span.add_link(remote(priority=1, tracestate="a=b"), {"why": "batch", "n": (1, True)})
    span.add_link(remote())
    span.finish()
    batch = maker.batch()
    (((found,),),) = (v04(batch),)
    assert found["span_links"] == [
        {
            "trace_id": LOW, "trace_id_high": TRACE_ID >> 64, "span_id": 0xFEDCBA9876543210, "tracestate": "a=b",
            "flags": 0x80000001, "attributes": {"why": "batch", "n.0": "1", "n.1": "true"},
        },
        {"trace_id": LOW, "trace_id_high": TRACE_ID >> 64, "span_id": 0xFEDCBA9876543210},
    ]  # fmt: skip
    (((found,),),) = (v05(batch),)
    assert json.loads(found["meta"]["_dd.span_links"]) == [
        {
            "trace_id": "%032x" % TRACE_ID, "span_id": "fedcba9876543210", "tracestate": "a=b", "flags": 1,
            "attributes": {"why": "batch", "n.0": "1", "n.1": "true"},
        },
        {"trace_id": "%032x" % TRACE_ID, "span_id": "fedcba9876543210"},
    ]  # fmt: skip


def test_what_the_program_sets_wins_over_what_we_say() -> None:
    attributes = {"env": "mine", "version": 2, "component": "own", "team": "red", "_dd.measured": 1}
    span = only(one(attributes=attributes, kind="client", integration="requests"))
    assert (span["meta"]["env"], span["meta"]["component"], span["meta"]["team"]) == ("mine", "own", "red")
    assert span["meta"]["version"] == "2"


@pytest.mark.parametrize("count", [15, 16, 200, 255, 256, 300, 70000])
def test_many_attributes(count: int) -> None:
    texts = {"t%d" % number: "x" for number in range(count)}
    assert len(only(one(attributes=texts), process(tags={}))["meta"]) == count + 5
    numbers = {"n%d" % number: number for number in range(count)}
    assert len(only(one(attributes=numbers))["metrics"]) == count + 2


def test_the_same_fact_under_both_names() -> None:
    span = only(one(attributes={"http.method": "PUT", "http.request.method": "GET"}))
    assert span["meta"]["http.method"] == "GET"
    span = only(one(attributes={"http.method": "PUT"}))
    assert span["meta"]["http.method"] == "PUT"


def test_constants_of_an_inner_span_are_few() -> None:
    assert constants(None, "internal", None, 0, process(env="", version="", tags={})) == ({}, {})
