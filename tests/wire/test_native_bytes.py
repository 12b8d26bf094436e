"""The compiled encoders write what the ones in plain Python make of the same spans, byte for byte."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

native = pytest.importorskip("gossamer._core.native")

from gossamer._wire import datadog, otlp  # noqa: E402
from gossamer._wire.info import Process  # noqa: E402
from gossamer._wire.pack import array_header  # noqa: E402
from tests.wire.build import Maker, process, remote, v04, v05  # noqa: E402
from tests.wire.strategies import batches  # noqa: E402
from tests.wire.test_datadog import GOLDEN, request_trace  # noqa: E402

OF = process()


def pure_v04(batch: Any, of: Process, native_events: bool = False) -> bytes:
    return b"".join(datadog._chunks(batch, datadog._V04(of, native_events)))


def pure_v05(batch: Any, of: Process) -> bytes:
    form = datadog._V05(of)
    traces = datadog._chunks(batch, form)
    return b"".join([b"\x92", array_header(len(form.table.order)), *form.table.order, *traces])


def same(batch: Any, of: Process = OF, times: int = 2) -> None:
    """Every format of `batch` by both, twice: the second time the compiled encoder knows everything."""
    for _ in range(times):
        assert bytes(datadog.encode_v04(batch, of)) == pure_v04(batch, of)
        assert bytes(datadog.encode_v04(batch, of, True)) == pure_v04(batch, of, True)
        assert bytes(datadog.encode_v05(batch, of)) == pure_v05(batch, of)
        assert bytes(otlp.encode_protobuf(batch, of)) == otlp._encode(batch, of)
    sizes = [len(chunk.spans) for chunk in batch if chunk.trace.priority is None or chunk.trace.priority > 0]
    assert otlp.sampled(batch) == (len(sizes), sum(sizes))


def spans(*given: Dict[str, Any]) -> Any:
    """Traces of one span each."""
    maker = Maker(None, native)
    for facts in given:
        maker.start(**facts).finish()
    return maker.batch()


@given(batches(core=native))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_span(batch: Any) -> None:
    same(batch)


@given(st.lists(batches(core=native), min_size=1, max_size=6), st.sampled_from([process(), process(env="", tags={})]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_caches_from_payload_to_payload(given: List[Any], of: Process) -> None:
    for batch in given:
        same(batch, of)


@pytest.mark.parametrize("decode", [v04, v05])
def test_the_golden_trace(decode: Any) -> None:
    own = ("trace_id", "span_id", "parent_id", "start", "duration")  # differ from run to run
    (found,) = decode(request_trace(native))
    assert {span["trace_id"] for span in found} == {found[0]["trace_id"]}
    assert [span["parent_id"] for span in found] == [0, found[0]["span_id"], found[0]["span_id"]]
    assert found[0]["start"] <= found[1]["start"] <= found[2]["start"]
    assert found[0]["duration"] > found[1]["duration"] > 0
    assert len(found[0]["meta"].pop("_dd.p.tid")) == 16
    for span, golden in zip(found, GOLDEN):
        expected = {key: value for key, value in golden.items() if key not in own}
        expected["meta"] = {key: value for key, value in expected["meta"].items() if key != "_dd.p.tid"}
        assert {key: value for key, value in span.items() if key not in own} == expected


VALUES = [
    "text", "", "é\U0001f600", "\ud800 lone", "x" * 31, "x" * 32, "x" * 255, "x" * 256, "x" * 30000, "é" * 30000,
    "x" * 70000, True, False, 0, -1, 127, 2**53,
    2**53 + 1, -(2**53), -(2**53) - 1, 2**63 - 1, -(2**63), 2**63, -(10**30),
    0.0, -0.0, 0.1, -1e300, float("inf"), float("-inf"), float("nan"), b"caf\xc3\xa9 \xff", b"",
    ("a", 2, True, b"b", 1.5), (), ("\ud800", float("nan"), 2**70),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=[repr(value)[:20] for value in VALUES])
def test_values(value: Any) -> None:
    same(spans({"attributes": {"before": "it", "x": value, "after": 1}}, {"attributes": {"x": value}}))


SERVER = [
    {"server.address": "shop.example", "url.scheme": "https", "url.path": "/a", "url.query": "b=c", "server.port": 443},
    {"server.address": "shop.example", "url.scheme": "https", "url.path": "/a", "server.port": 80},
    {"server.address": "::1", "url.scheme": "http", "url.path": "/a", "server.port": "80"},
    {"server.address": "[::1]", "url.path": "/é", "server.port": 8080},
    {"url.path": "/"},
    {"url.query": ""},
    {"url.path": "/a", "url.full": "http://other/"},
    {"url.path": "/a", "http.url": "http://other/"},
    {"url.path": "/a", "server.port": 1.5},
    {"url.path": ("a", "b"), "url.scheme": True},
    {"url.path": "x" * 25000, "url.scheme": "https"},
    {"server.address": "alone", "server.port": 1},
]


@pytest.mark.parametrize("attributes", SERVER, ids=[",".join(attributes)[:40] for attributes in SERVER])
@pytest.mark.parametrize("kind", ["server", "client", "internal"])
def test_urls(attributes: Dict[str, Any], kind: str) -> None:
    batch = spans({"attributes": dict(attributes, x="y"), "kind": kind}, {"attributes": attributes, "kind": kind})
    same(batch)
    same(batch, process(tags={"http.url": "odd"}))


def test_texts_of_queries() -> None:
    query = {"db.query.text": "SELECT 1", "db.system.name": "sqlite"}
    same(
        spans(
            {"resource": "SELECT 1", "type": "sql", "kind": "client", "attributes": query},
            {"resource": "other", "type": "sql", "kind": "client", "attributes": query},
            {"resource": None, "name": "SELECT 1", "type": "sql", "attributes": query},
            {"resource": "GET", "type": "redis", "kind": "client", "attributes": query},
        )
    )


def test_long_names_and_resources() -> None:
    for size in (4999, 5000, 5001, 20000):
        for letter in ("n", "é", "\U0001f600"):
            same(spans({"name": letter * size}, {"name": "a", "resource": letter * size}))


def failing(error: Optional[BaseException], message: object = None, **facts: Any) -> Any:
    maker = Maker(None, native)
    span = maker.start(**facts)
    span.set_error(error if error is not None else message)
    span.finish()
    return maker.batch()


class Own(Exception):
    pass


ERRORS = [ValueError("bad é"), Own("x"), KeyError(), OSError(2, ""), RuntimeError("y" * 30000)]


@pytest.mark.parametrize("error", ERRORS, ids=[type(error).__name__ for error in ERRORS])
def test_errors(error: BaseException) -> None:
    same(failing(error))
    same(failing(error, attributes={"url.path": "/", "x": 1}, kind="server"))
    same(failing(error, attributes={"error.type": "own"}))


def test_messages_and_events() -> None:
    same(failing(None, "it failed"))
    same(failing(None, None))
    same(failing(None, ""))
    maker = Maker(None, native)
    span = maker.start()
    span.record_exception(ValueError("handled"))
    span.finish()
    span = maker.start()
    span.record_exception(KeyError("first"), {"exception.type": 3})
    span.finish()
    span = maker.start()
    span.set_error()
    span.record_exception(KeyError("first"), {"exception.type": 3})
    span.finish()
    span = maker.start()
    span.add_event("before")
    span.set_error(ValueError("second"))
    span.add_link(remote(priority=1, tracestate="a=b"), {"why": "batch"})
    span.finish()
    same(maker.batch())


@pytest.mark.parametrize("count", [1, 15, 16, 17, 255, 256, 300, 66000])
def test_many(count: int) -> None:
    times = 2 if count < 1000 else 1
    same(spans({"attributes": {"t%d" % number: "x" for number in range(count)}}), times=times)
    if count < 1000:
        same(spans({"attributes": {"n%d" % number: number for number in range(count)}}))
        same(spans(*[{"name": "n%d" % number} for number in range(count)]))
    maker = Maker(None, native)
    maker.recorder.partial_flush_min_spans = 1 << 30
    root = maker.start("root")
    for number in range(count):
        maker.start("child", root, resource="r%d" % number).finish()
    root.finish()
    same(maker.batch(), times=times)


def test_processes_and_traces() -> None:
    tags = {"_dd.p.dm": "-4", "_dd.p.tid": "6543b2a100000000", "_dd.p.usr": "x"}
    callers = None, remote(), remote(priority=2, origin="rum", tags=tags), remote(priority=-1, tags={"a": "b"})
    for of in (OF, process(env="", version="", tags={}, hostname="box"), process(service="Other")):
        for caller in callers:
            maker = Maker(None, native)
            maker.recorder.ids_128 = caller is not None
            root = maker.start("root", caller, service="shop")
            child = maker.start("child", root, service="bank", kind="client", integration="x", type="web")
            maker.start("grandchild", child, service="bank").finish()
            child.finish()
            root.finish()
            same(maker.batch(), of)


def test_requests_of_otlp() -> None:
    def decide(trace: Any, span: Any) -> None:
        trace.priority = len(span.name) - 2

    maker = Maker(decide, native)
    for name in ("", "a", "bb", "ccc", "dddd"):
        for service in (None, "shop", "bank", "é"):
            for integration in (None, "redis"):
                for kind in ("server", "client", "odd"):
                    given = {"http.request.method": "PUT", "x": (1, ("é", b"b", 2**70), True, -1, 1.5), "b": b"\xff"}
                    facts = {"service": service, "integration": integration, "kind": kind, "type": "http"}
                    maker.start(name, attributes=given, **facts).finish()
                    maker.start(name, resource=name, attributes={"http.request.method": 5}, **facts).finish()
                    maker.start(name, attributes={"span.type": 1, "a": "b", "operation.name": "x"}, **facts).finish()
    for size in range(100, 400, 3):
        maker.start("sizes", attributes={"x": "x" * size}).finish()
        maker.start("sizes", attributes={"x": "x" * (size * 50)}).finish()
    span = maker.start("sized", remote(priority=1, tracestate="c=d"))
    for size in range(60, 190):
        span.add_event("e", {"x": "x" * size}, size)
        span.add_link(remote(priority=size % 3 or None, tracestate="a=b" if size % 2 else ""), {"x": "y" * size})
    span.finish()
    same(maker.batch())


def test_a_full_generation_of_texts() -> None:
    maker = Maker(None, native)
    for number in range(10000):
        attributes = {"key %d" % (number % 6000): "value %d" % number, "k": "value %d" % (number // 2)}
        maker.start("name %d" % (number % 3000), resource="r%d" % (number // 2), attributes=attributes).finish()
    same(maker.batch())


def test_a_payload_is_a_buffer_that_lives_as_long_as_it_is_looked_at() -> None:
    batch = spans({"name": "a"})
    expected = pure_v04(batch, OF)
    payload = datadog.encode_v04(batch, OF)
    assert len(payload) == len(expected)
    view = memoryview(payload)
    del payload
    others = [datadog.encode_v04(spans({"name": "b" * 50}), OF) for _ in range(5)]
    assert view.nbytes == len(expected) and bytes(view) == expected
    assert len({bytes(other) for other in others}) == 5
    with pytest.raises(TypeError):
        view[0] = 1


@pytest.mark.parametrize("order", [(1.5, float("inf")), (float("inf"), 1.5), (2**60, 1), (1, "text", ("a",))])
def test_texts_enter_the_table_in_one_order_whatever_came_before(order: Any) -> None:
    keys = [{"n": value, "x": "after %r" % (value,), "env": "own"} for value in order]
    same(spans(*[{"attributes": {"n": value, "x": "after %r" % (value,)}} for value in order * 2]))
    same(spans(*[{"attributes": attributes} for attributes in keys * 2]))
