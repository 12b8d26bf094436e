"""What it costs to write a span: CPU time and bytes for each of our formats, beside OpenTelemetry's encoder.

    python benchmarks/encode.py [--quick] [--tracers gossamer,gossamer-pure,opentelemetry] [--rounds 9]

Both cores; the traces are of ten spans each: bare; with five texts (one of them different in each span) and two
numbers; with five values that are all different. The other tracers have no public encoder; what theirs cost is in the
figures of `span.py`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, Callable, Dict, List, Tuple

if __package__ in (None, ""):
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import side_by_side as bench
import tracers

NAME = "encode"
TITLE = "Encoding a span: CPU time and bytes"
FORMATS = ("v0.4", "v0.5", "OTLP protobuf", "OTLP JSON")
COST, SIZE = "encode {}, {}", "bytes of {}, {}"
PER_TRACE = 10


def tagged(number: int) -> Dict[str, Any]:
    return {
        "http.request.method": "GET", "http.route": "/users/<id>", "server.address": "cache.internal",
        "user.id": "user-%d" % number, "plan": "gold", "cart.items": number % 7, "http.response.status_code": 200,
    }  # fmt: skip


def different(number: int) -> Dict[str, Any]:
    return {"key %d" % place: "value %d of %d" % (place, number) for place in range(5)}


KINDS: Dict[str, Callable[[int], Dict[str, Any]]] = {
    "bare": lambda number: {},
    "5 texts and 2 numbers": tagged,
    "all different": different,
}
UNITS: Dict[str, str] = {
    **{COST.format(name, kind): "µs" for kind in KINDS for name in FORMATS},
    **{SIZE.format(name, kind): "bytes" for kind in KINDS for name in FORMATS},
}


# -- in the worker ----------------------------------------------------------------------------------------------------


def gossamer(count: int, attributes: Callable[[int], Dict[str, Any]]) -> Dict[str, Callable[[], Any]]:
    """An encoder for each format, over one batch: a request and what it calls."""
    from gossamer._core import Buffer, Recorder
    from gossamer._wire.datadog import encode_v04, encode_v05
    from gossamer._wire.info import Process
    from gossamer._wire.otlp import encode_json, encode_protobuf

    process = Process("shop", "production", "1.2", tags={"team": "blue"}, tracer_version="0.1.0")
    recorder = Recorder(Buffer(1 << 40), lambda trace, span: setattr(trace, "priority", 1))
    for first in range(0, count, PER_TRACE):
        root = recorder.start(
            "flask.request", "GET /users/<id>", None, "web", "server", attributes(first), "flask", parent=None
        )
        for number in range(first + 1, first + PER_TRACE):
            recorder.start("redis.command", "GET", "redis", "redis", "client", attributes(number), "redis").finish()
        root.finish()
    batch = recorder.buffer.swap()
    assert batch is not None and batch.span_count == count
    return {
        "v0.4": lambda: encode_v04(batch, process),
        "v0.5": lambda: encode_v05(batch, process),
        "OTLP protobuf": lambda: encode_protobuf(batch, process),
        "OTLP JSON": lambda: encode_json(batch, process),
    }


def opentelemetry(count: int, attributes: Callable[[int], Dict[str, Any]]) -> Dict[str, Callable[[], Any]]:
    """The exporter's encoder, over the same traces."""
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.trace import SpanKind

    exporter = InMemorySpanExporter()
    resource = Resource.create({"service.name": "shop", "service.version": "1.2", "team": "blue"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    start = provider.get_tracer("bench").start_as_current_span
    for first in range(0, count, PER_TRACE):
        with start("GET /users/<id>", kind=SpanKind.SERVER, attributes=attributes(first)):
            for number in range(first + 1, first + PER_TRACE):
                with start("GET", kind=SpanKind.CLIENT, attributes=attributes(number)):
                    pass
    spans = exporter.get_finished_spans()
    return {"OTLP protobuf": lambda: encode_spans(spans).SerializeToString()}


def measure(count: int) -> Dict[str, float]:
    """By case, for each span."""
    make = opentelemetry if tracers.current() == "opentelemetry" else gossamer
    result: Dict[str, float] = {}
    for kind, attributes in KINDS.items():
        for name, encode in make(count, attributes).items():
            result[SIZE.format(name, kind)] = len(encode()) / count
            result[COST.format(name, kind)] = min(timed(encode) for _ in range(3)) / count
    return result


def timed(encode: Callable[[], Any]) -> float:
    """CPU microseconds of one call, memory that it uses a second time included."""
    began = time.process_time_ns()
    body = encode()
    taken = time.process_time_ns() - began
    del body
    return taken / 1e3


# -- in the driver ----------------------------------------------------------------------------------------------------


def cases(options: bench.Options) -> List[bench.Row]:
    able: Tuple[str, ...] = ("gossamer", "gossamer-pure", "opentelemetry")
    count = 2000 if options.quick else 20000

    def once(tracer: str) -> Dict[str, float]:
        command, env = tracers.worker(tracer, os.path.abspath(__file__), ["--worker", str(count)], 9)
        result: Dict[str, float] = bench.run(command, env)
        return result

    found, failed = bench.interleave([name for name in options.tracers if name in able], once, options.pick(2, 9))
    return bench.rows(found, UNITS) + bench.missing(failed, UNITS)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps(measure(int(sys.argv[2]))), flush=True)
        os._exit(0)
    bench.main(sys.modules[__name__])
