"""Payloads of the compiled encoders on their way: to a socket, beside other threads, in a forked child."""

from __future__ import annotations

import gzip
import os
import sys
import threading
import time
from typing import Any, Callable, List

import pytest

native = pytest.importorskip("gossamer._core.native")

from gossamer._export.datadog import DatadogExporter  # noqa: E402
from gossamer._export.otlp import OTLPExporter  # noqa: E402
from gossamer._wire import datadog, otlp  # noqa: E402
from tests.export.scripted import OK, forever, scripted  # noqa: F401,E402
from tests.wire.build import Maker, process  # noqa: E402

OF = process()


def traces(count: int, first: int = 0) -> Any:
    """Spans with texts that come again, and others that do not; every hundredth is out of the ordinary."""
    maker = Maker(lambda trace, span: setattr(trace, "priority", 1), native)
    for number in range(first, first + count):
        attributes = {"http.request.method": "GET", "user.id": "user-%d" % number, "n": number, "plan": "gold"}
        span = maker.start("name %d" % (number % 7), resource="r%d" % (number % 50), attributes=attributes)
        if number % 100 == 0:
            span.add_event("odd", {"x": number})
        span.finish()
    return maker.batch()


ENCODERS = [
    pytest.param(lambda batch: bytes(datadog.encode_v04(batch, OF)), id="v0.4"),
    pytest.param(lambda batch: bytes(datadog.encode_v05(batch, OF)), id="v0.5"),
    pytest.param(lambda batch: bytes(otlp.encode_protobuf(batch, OF)), id="otlp"),
]


@pytest.mark.parametrize("count", [5, 5000])
def test_to_an_agent(scripted: Any, count: int) -> None:  # noqa: F811
    batch = traces(count)
    for version in ("v0.4", "v0.5"):
        server = scripted(forever(OK))
        exporter = DatadogExporter(server.url, version=version)
        exporter.export(batch, OF)
        exporter.export(batch, OF)
        exporter.close()
        expected = bytes((datadog.encode_v05 if version == "v0.5" else datadog.encode_v04)(batch, OF))
        sent = [request for request in server.requests if request.startswith(b"PUT")]
        assert [request.partition(b"\r\n\r\n")[2] for request in sent] == [expected] * 2
        assert all(b"Content-Length: %d\r\n" % len(expected) in request + b"\r\n" for request in sent)
        assert all(b"X-Datadog-Trace-Count: %d\r\n" % count in request for request in sent)


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("count", [5, 5000])
def test_to_a_collector(scripted: Any, compression: str, count: int) -> None:  # noqa: F811
    batch = traces(count)
    server = scripted(forever(OK))
    exporter = OTLPExporter(server.url + "/v1/traces", compression=compression)
    exporter.export(batch, OF)
    exporter.close()
    (request,) = server.requests
    body = request.partition(b"\r\n\r\n")[2]
    assert (gzip.decompress(body) if compression == "gzip" else body) == bytes(otlp.encode_protobuf(batch, OF))


@pytest.mark.parametrize("encode", ENCODERS)
def test_threads_that_encode_at_once(encode: Callable[[Any], bytes]) -> None:
    batches = [traces(300, 1000 * number) for number in range(4)]
    expected = [encode(batch) for batch in batches]
    wrong: List[Any] = []

    def work(place: int) -> None:
        for turn in range(30):
            which = (place + turn) % 4
            if encode(batches[which]) != expected[which]:
                wrong.append((place, turn))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
        for thread in threads:
            thread.start()
        # New spans meanwhile: the table of texts grows under the eyes of the encoders.
        while any(thread.is_alive() for thread in threads):
            traces(50, int(time.monotonic() * 1000) * 100)
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("encode", ENCODERS)
def test_a_child_that_is_forked_in_the_middle(encode: Callable[[Any], bytes]) -> None:
    large, small = traces(20000), traces(10)
    expected = encode(small)
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            encode(large)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if not child:
                os._exit(0 if encode(small) == expected else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        done.set()
        thread.join()


def test_a_chunk_that_fails_takes_no_other_along(monkeypatch: pytest.MonkeyPatch) -> None:
    maker = Maker(None, native)
    for number in range(3):
        span = maker.start("s%d" % number)
        span.add_event("odd")
        span.finish()
    batch = maker.batch()
    whole = datadog.Format.one

    def one(self: Any, trace: Any, span: Any, first: bool) -> bytes:
        if span.name == "s1":
            raise RuntimeError("broken")
        return whole(self, trace, span, first)

    monkeypatch.setattr(datadog.Format, "one", one)
    import msgpack

    traces_ = msgpack.unpackb(bytes(datadog.encode_v04(batch, process())))
    assert [[span["name"] for span in trace] for trace in traces_] == [["s0"], [], ["s2"]]
    _, rows = msgpack.unpackb(bytes(datadog.encode_v05(batch, process())), strict_map_key=False)
    assert [len(trace) for trace in rows] == [1, 0, 1]


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux")
@pytest.mark.parametrize("encode", ENCODERS)
def test_memory_is_used_again(encode: Callable[[Any], bytes]) -> None:
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    batch = traces(5000)
    for _ in range(5):
        size = len(encode(batch))
    before = resident()
    for _ in range(100):
        encode(batch)
    assert resident() - before < 4 * size  # a leak of one payload in ten would show
