"""What a finished span keeps in memory until it is sent: 7 attributes, the agent taking nothing.

    python benchmarks/memory.py [--quick] [--tracers gossamer,ddtrace] [--rounds 3]

Held is what the process has allocated and not freed, asked of the C library: every allocation of Python and of
compiled code goes through malloc for that (PYTHONMALLOC=malloc; some bytes of malloc's own for each object are in it).
Resident is what the process grows by with Python's own allocator. Where the second half of the spans adds next to
nothing, the tracer drops, and the figure is of the first half.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import sys
from typing import Dict, List, Sequence, Tuple

if __package__ in (None, ""):
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import side_by_side as bench
import span as spans
import tracers

NAME = "memory"
TITLE = "Memory held by a finished span until it is sent (7 attributes)"
LOW = "bytes held per finished span, 1,000 pending"
HIGH = "bytes held per finished span, 10,000 pending"
RESIDENT = "resident growth per finished span, 10,000 pending"
CASES: Dict[str, Tuple[int, bool]] = {LOW: (1000, True), HIGH: (10000, True), RESIDENT: (10000, False)}
UNITS = {case: "bytes" for case in CASES}
# More pending spans than these are dropped or held up by design, or take minutes to make.
LIMITS = {"scout": 400, "newrelic": 2000, "logfire": 300, "sentry": 500}
# Nothing is sent by the clock while we look.
SLOW = {
    "DD_TRACE_WRITER_INTERVAL_SECONDS": "600",
    "OTEL_BSP_SCHEDULE_DELAY": "600000",
    "ELASTIC_APM_API_REQUEST_TIME": "600s",
}


class Mallinfo(ctypes.Structure):
    """glibc's struct mallinfo2."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


def in_use() -> int:
    """Bytes that malloc has given out, mapped blocks included."""
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = Mallinfo
    found = mallinfo()
    return int(found.uordblks + found.hblkhd)


def resident() -> int:
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def measure(count: int, exact: bool) -> List[float]:
    """Bytes for each span, of the first half and of the second."""
    tracers.start()
    make = spans.scenarios(tracers.current())[spans.TAGGED]
    read = in_use if exact else resident
    make(200)
    found = []
    gc.collect()
    before = read()
    for _ in range(2):
        make(count // 2)
        gc.collect()
        after = read()
        found.append((after - before) / (count // 2))
        before = after
    return found


def cases(options: bench.Options) -> List[bench.Row]:
    rows: List[bench.Row] = []
    names = [name for name in options.tracers if name != bench.BASE]
    with bench.null_agent("--stall") as port:
        for case, (count, exact) in CASES.items():
            rows += one(case, count, exact, names, port, options.pick(1, 3))
    return rows


def one(case: str, count: int, exact: bool, names: Sequence[str], port: int, rounds: int) -> List[bench.Row]:
    """The rows of one case."""

    def once(tracer: str) -> Dict[str, float]:
        few = min(count, LIMITS.get(tracer, count))
        command, env = tracers.worker(tracer, os.path.abspath(__file__), ["--worker", str(few), str(int(exact))], port)
        env.update(SLOW)
        if exact:
            env.update(PYTHONMALLOC="malloc", MALLOC_ARENA_MAX="1")
        first, second = bench.run(command, env)
        return {"first": first, "second": second}

    found, failed = bench.interleave(names, once, rounds)
    rows = []
    for tracer, values in found.items():
        if values:
            drops = count > 1000 and min(values["second"]) < 0.1 * min(values["first"]) and min(values["first"]) > 10
            both = [(one + two) / 2 for one, two in zip(values["first"], values["second"])]
            note = "with %d pending" % LIMITS[tracer] if LIMITS.get(tracer, count) < count else ""
            note = note or ("in memory allocated beforehand" if exact and min(both) < 10 else "")
            note = "drops: figure of the first half" if drops and not note else note
            rows.append(bench.row(case, tracer, "bytes", values["first"] if drops else both, note))
    return rows + bench.missing(failed, {case: "bytes"})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps(measure(int(sys.argv[2]), sys.argv[3] == "1")), flush=True)
        os._exit(0)
    bench.main(sys.modules[__name__])
