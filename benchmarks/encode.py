"""What it costs to write a span: CPU time and bytes for each of our formats.

    python benchmarks/encode.py [--quick] [--json]

Each figure is the median over the rounds, with the least one in brackets. The traces: one span; ten bare spans; ten
spans with five texts (one of them different in each span) and two numbers; ten spans whose values are all different.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import time
from typing import Any, Callable, Dict, List

if __package__ in (None, ""):
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import side_by_side as bench

if bench.SOURCE not in sys.path:
    sys.path.insert(0, bench.SOURCE)

from gossamer._core.pure import Batch, Buffer, Recorder
from gossamer._wire.datadog import encode_v04, encode_v05
from gossamer._wire.info import Process
from gossamer._wire.otlp import encode_json, encode_protobuf

PROCESS = Process("shop", "production", "1.2", tags={"team": "blue"}, tracer_version="0.1.0")
FORMATS: Dict[str, Callable[[Batch], bytes]] = {
    "v0.4": lambda batch: encode_v04(batch, PROCESS),
    "v0.5": lambda batch: encode_v05(batch, PROCESS),
    "OTLP protobuf": lambda batch: encode_protobuf(batch, PROCESS),
    "OTLP JSON": lambda batch: encode_json(batch, PROCESS),
}


def batch(count: int, per_trace: int, attributes: Callable[[int], Dict[str, Any]]) -> Batch:
    """Traces of so many spans: a request and what it calls."""
    recorder = Recorder(Buffer(1 << 40), lambda trace, span: setattr(trace, "priority", 1))
    number = 0
    for _ in range(count // per_trace):
        root = recorder.start(
            "flask.request", "GET /users/<id>", None, "web", "server", attributes(number), "flask", parent=None
        )
        for _ in range(per_trace - 1):
            number += 1
            recorder.start("redis.command", "GET", "redis", "redis", "client", attributes(number), "redis").finish()
        number += 1
        root.finish()
    found = recorder.buffer.swap()
    assert found is not None
    return found


def tagged(number: int) -> Dict[str, Any]:
    return {
        "http.request.method": "GET", "http.route": "/users/<id>", "server.address": "cache.internal",
        "user.id": "user-%d" % number, "plan": "gold", "cart.items": number % 7, "http.response.status_code": 200,
    }  # fmt: skip


def different(number: int) -> Dict[str, Any]:
    return {"key %d" % place: "value %d of %d" % (place, number) for place in range(5)}


def batches(count: int) -> Dict[str, Batch]:
    return {
        "a trace of one": batch(count, 1, lambda number: {}),
        "bare": batch(count, 10, lambda number: {}),
        "tagged (5 str, 2 num)": batch(count, 10, tagged),
        "all different (5 str)": batch(count, 10, different),
    }


def measure(encode: Callable[[Batch], bytes], given: Batch, rounds: int) -> List[float]:
    """CPU nanoseconds a span, one figure a round."""
    encode(given)
    found = []
    for _ in range(rounds):
        began = time.process_time()
        encode(given)
        found.append((time.process_time() - began) / given.span_count * 1e9)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer spans and rounds")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    options = parser.parse_args()
    given = batches(2000 if options.quick else 20000)
    rounds = 3 if options.quick else 9
    times = {
        name: {kind: bench.summary(measure(encode, one, rounds)) for kind, one in given.items()}
        for name, encode in FORMATS.items()
    }
    sizes: Dict[str, Dict[str, Dict[str, float]]] = {}
    for name, encode in FORMATS.items():
        sizes[name] = {}
        for kind, one in given.items():
            body = encode(one)
            packed = len(gzip.compress(body, 6)) / one.span_count
            sizes[name][kind] = {"median": len(body) / one.span_count, "min": packed}
    if options.json:
        print(json.dumps({"ns_per_span": times, "bytes_per_span": sizes}))
        return
    bench.show("CPU ns per span, median (least)", list(FORMATS), list(given), times)
    print()
    bench.show("bytes per span (with gzip)", list(FORMATS), list(given), sizes)


if __name__ == "__main__":
    main()
