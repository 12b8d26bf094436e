"""What a tracer's background takes from the program: the lock held for each span, and the longest pause.

    python benchmarks/pauses.py [--quick] [--tracers gossamer,ddtrace] [--rounds 3]

The main thread makes a batch of spans while no other thread may run, then reads clocks in a tight loop until the
background has sent them. Where it stands still and has waited for the interpreter's lock (a voluntary switch, not the
scheduler's), the CPU time that the other threads used meanwhile is the time for which they held it. Taking CPU time
rather than wall-clock time keeps out what the machine does beside: a pause lasts at least that long.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from typing import Dict, List, Tuple

if __package__ in (None, ""):
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import side_by_side as bench
import span as spans
import tracers

NAME = "pauses"
TITLE = "What the background takes from a busy main thread"
HELD = "GIL held in the background per span"
PAUSE = "longest pause, batch of {:,}"
BATCHES = {"quick": (1000, 10000), "full": (1000, 10000, 100000)}
# Longer queues are dropped, or take minutes to make. New Relic sends once a minute.
LIMITS = {"scout": 400, "newrelic": 0, "logfire": 10000, "sentry": 1000, "elastic": 10000}
SOON = {
    "DD_TRACE_WRITER_INTERVAL_SECONDS": "0.3",
    "DD_TRACE_WRITER_BUFFER_SIZE_BYTES": "400000000",
    "OTEL_BSP_SCHEDULE_DELAY": "300",
    "ELASTIC_APM_API_REQUEST_TIME": "300ms",
}
# The background is done when it has used less than this in a window that is longer than the intervals above.
QUIET, WINDOW, LONGEST = 3e6, 0.5, 10.0
# What is no pause, in nanoseconds: the loop itself takes two thousand.
SHORT = 20000


def measure(count: int) -> List[float]:
    """Microseconds of the lock for each span, and milliseconds of the longest pause."""
    tracers.start()
    make = spans.scenarios(tracers.current())[spans.TEN]
    make(100)
    time.sleep(0.4)
    gc.collect()
    gc.freeze()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    make(count)
    sys.setswitchinterval(interval)
    held, longest = watch()
    return [held / count / 1e3, longest / 1e6]


def watch() -> Tuple[int, int]:
    """Nanoseconds of CPU that other threads used while this one waited for the lock: in all, and at most at a time."""
    process_time, thread_time = time.process_time_ns, time.thread_time_ns
    usage, own = resource.getrusage, resource.RUSAGE_THREAD
    held = longest = taken = 0
    # A switch shows in the counts that are read before and after the time that it took.
    earlier = waits = usage(own).ru_nvcsw
    before = at_start = process_time() - thread_time()
    time.sleep(0)  # a thread that waits since the switch interval was long would wait on
    end = time.perf_counter()
    last = end + LONGEST
    while end < last:
        end += WINDOW
        while time.perf_counter() < end:
            now_waits = usage(own).ru_nvcsw
            if taken > SHORT and now_waits != earlier:
                held += taken
                longest = max(longest, taken)
            others = process_time() - thread_time()
            taken, before = others - before, others
            earlier, waits = waits, now_waits
        if before - at_start < QUIET:
            break
        at_start = before
    return held, longest


def cases(options: bench.Options) -> List[bench.Row]:
    rows: List[bench.Row] = []
    names = [name for name in options.tracers if name != bench.BASE]
    with bench.null_agent() as port:
        for count in BATCHES["quick" if options.quick else "full"]:

            def once(tracer: str, count: int = count) -> Dict[str, float]:
                few = min(count, LIMITS.get(tracer, count))
                command, env = tracers.worker(tracer, os.path.abspath(__file__), ["--worker", str(few)], port)
                env.update(SOON)
                held, longest = bench.run(command, env)
                return {HELD: held, PAUSE.format(count): longest}

            fits = [name for name in names if LIMITS.get(name, count) >= min(count, 1000)]
            found, failed = bench.interleave(fits, once, options.pick(1, 5))
            units = {PAUSE.format(count): "ms"}
            if count == 10000:
                units[HELD] = "µs"
            notes = {name: "batch of %d" % limit for name, limit in LIMITS.items() if limit < count}
            rows += bench.rows(found, units, notes) + bench.missing(failed, units)
    return rows


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        print(json.dumps(measure(int(sys.argv[2]))), flush=True)
        os._exit(0)
    bench.main(sys.modules[__name__])
