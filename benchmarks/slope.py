"""Memory over many requests, with a collector that takes everything and with nobody listening.

Starlette requests in process, as fast as they go; the resident memory at ten points. What counts is the second half,
when buffers have reached their size: bytes for each further request, 0 for a tracer that holds nothing back. Ours makes
a million requests, the others a fifth of that; quick: 50,000 and 10,000, and only two of the others. Two programs run
at a time.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import List, Tuple

if __package__ in (None, ""):
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import side_by_side as bench
import tracers
from apps import servers, workers

NAME = "slope"
TITLE = "Memory over many requests"

OURS = ("gossamer", "gossamer-pure")
QUICK = ("ddtrace", "opentelemetry")
SLOPE = "memory slope, %s"
HELD = "memory grown since the warm-up, %s"
WITH, WITHOUT = "with a collector", "nobody listening"


def slope(tracer: str, count: int, listening: bool) -> Tuple[float, float]:
    """Bytes for each request of the second half, and MiB grown from the first point to the last."""
    script = os.path.join(workers.HERE, "slope_app.py")
    if listening:
        with bench.null_agent() as port:
            return _run(tracer, script, count, port)
    return _run(tracer, script, count, servers.free_port())


def _run(tracer: str, script: str, count: int, port: int) -> Tuple[float, float]:
    command, env = tracers.launch(tracer, script, [str(count)], port)
    held: List[int] = bench.run(command, workers.environ(env), timeout=3600)["resident"]
    half = len(held) // 2
    return (held[-1] - held[half]) / (count * (len(held) - 1 - half) / (len(held) - 1)), (held[-1] - held[0]) / 2**20


def cases(options: bench.Options) -> List[bench.Row]:
    """All rows of this benchmark."""
    ours, others = (50_000, 10_000) if options.quick else (1_000_000, 200_000)
    result: List[bench.Row] = []

    def one(work: Tuple[str, bool]) -> List[bench.Row]:
        tracer, listening = work
        count = ours if tracer in OURS else others
        where, note = WITH if listening else WITHOUT, "{:,} requests".format(count)
        try:
            per_request, grown = slope(tracer, count, listening)
        except bench.Failure as error:
            why = " ".join(str(error).split())[:200]
            return [bench.Row(SLOPE % where, tracer, "bytes/request", None, note=why)]
        return [
            bench.row(SLOPE % where, tracer, "bytes/request", [per_request], note),
            bench.row(HELD % where, tracer, "MiB", [grown], note),
        ]

    names = [bench.BASE, *(name for name in options.tracers if name != bench.BASE)]
    if options.quick:
        names = [name for name in names if name in (bench.BASE, *OURS, *QUICK)]
    with ThreadPoolExecutor(2) as pool:
        for rows in pool.map(one, [(name, listening) for listening in (True, False) for name in names]):
            result += rows
    return sorted(result, key=lambda row: row.case, reverse=True)


if __name__ == "__main__":
    bench.main(sys.modules[__name__])
