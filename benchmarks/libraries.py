"""What tracing adds to one call of a client library, under automatic instrumentation.

Twenty calls stand in one transaction (trace, root span), which some tracers need to record anything: a twentieth of it
is in each figure, for all tracers alike. Real servers, started by the benchmark: Redis, PostgreSQL, and an HTTP
responder that keeps connections open.
"""

from __future__ import annotations

import os
import sys
from typing import List

if __package__ in (None, ""):
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import side_by_side as bench
from apps import servers, workers

NAME = "libraries"
TITLE = "One call of a client library: CPU time of the process, the sending included"

LIBRARIES = {"lib:sqlite3": "sqlite3 query", "lib:redis": "redis GET", "lib:requests": "requests GET",
             "lib:httpx": "httpx GET", "lib:psycopg": "psycopg SELECT 1"}  # fmt: skip
COUNTS = {"lib:sqlite3": 600, "lib:redis": 200, "lib:requests": 60, "lib:httpx": 60, "lib:psycopg": 200}
NEEDS = {"lib:redis": "redis", "lib:psycopg": "psycopg"}
CALLS = 20


def traced(case: str, tracer: str, found: workers.Checked) -> str:
    """Every call made a span that arrived, beside the span of the transaction."""
    if tracer == bench.BASE:
        return "spans without a tracer" if found.sent else ""
    if tracer in workers.SENDS_NOTHING:
        return ""
    if found.sent < found.calls:
        return "no spans" if found.sent <= found.calls // CALLS else "%d spans of %d calls" % (found.sent, found.calls)
    return ""


def cases(options: bench.Options) -> List[bench.Row]:
    """All rows of this benchmark."""
    names = [name for name in options.tracers if name != bench.BASE]
    with servers.Servers() as running:
        titles = {case: title for case, title in LIBRARIES.items() if NEEDS.get(case) not in running.missing}
        for why in running.missing.values():
            bench.say("left out: " + why)
        with workers.Fleet([bench.BASE, *names], list(titles), servers=running.environ) as fleet:
            fleet.load()
            fleet.check(CALLS * 5, traced)
            found = fleet.measure(options.pick(10, 40), COUNTS)
            return fleet.rows(found, titles)


if __name__ == "__main__":
    bench.main(sys.modules[__name__])
