"""A small service end to end: Flask under gunicorn, a route that asks SQLite and Redis and fills a Jinja2 template.

Latency at a fixed rate (from the moment that a request was due), then the most that one worker answers, by wrk, and the
CPU time of the server for one request.
"""

from __future__ import annotations

import os
import sys
from typing import Dict, List

if __package__ in (None, ""):
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import side_by_side as bench
from apps import servers, serving

NAME = "service"
TITLE = "A small service under load: Flask, SQLite, Redis and Jinja2 under gunicorn, one worker"

PATH = "/users/7"


def cases(options: bench.Options) -> List[bench.Row]:
    """All rows of this benchmark."""
    names = [bench.BASE, *(name for name in options.tracers if name != bench.BASE)]
    rate, seconds, most = (60.0, 1.5, 1.0) if options.quick else (100.0, 5.0, 3.0)
    units = {
        "service, p50 at %.0f requests/s" % rate: "ms",
        "service, p99 at %.0f requests/s" % rate: "ms",
        "service, throughput": "1/s",
        "service, CPU of a request": "µs",
    }
    titles = list(units)
    wrk = serving.has_wrk()

    def once(server: serving.Server) -> Dict[str, float]:
        steady = server.fixed_rate(PATH, rate, seconds)
        found = {titles[0]: steady["p50"], titles[1]: steady["p99"]}
        if wrk:
            full = server.most(PATH, most)
            found.update({titles[2]: full["rate"], titles[3]: full["cpu"]})
        return found

    with servers.Servers("redis") as running:
        if running.missing:
            bench.say("left out: " + running.missing["redis"])
            return []
        with serving.Farm(names, "gunicorn", "app", running.environ) as farm:
            farm.check(PATH)
            found = farm.measure(once, options.pick(1, 7))
            return bench.rows(found, units, farm.notes) + bench.missing(farm.failed, units)


if __name__ == "__main__":
    bench.main(sys.modules[__name__])
