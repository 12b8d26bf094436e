"""What tracing adds to one request of a web framework, under automatic instrumentation.

In process: the application is called as a server calls it, 200 requests a round, then what is pending is sent.
Under a real server (not in quick mode; needs wrk): CPU time of the server for each request, and requests a second.
"""

from __future__ import annotations

import os
import sys
from typing import Dict, List, Sequence

if __package__ in (None, ""):
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import side_by_side as bench
from apps import serving, workers

NAME = "web"
TITLE = "One request of a web framework: CPU time of the process, the sending included"

FRAMEWORKS = {"web:flask": "Flask request", "web:django": "Django request", "web:starlette": "Starlette request",
              "web:fastapi": "FastAPI request"}  # fmt: skip
SERVERS = {"Flask under gunicorn": ("gunicorn", "trivial"), "FastAPI under uvicorn": ("uvicorn", "trivial_fastapi")}


def traced(case: str, tracer: str, found: workers.Checked) -> str:
    """Every request made a span that arrived."""
    if tracer == bench.BASE:
        return "spans without a tracer" if found.sent else ""
    if tracer in workers.SENDS_NOTHING:  # its API is asked instead
        return "" if found.seen == found.calls else "spans for %d of %d requests" % (found.seen, found.calls)
    if found.sent < found.calls:
        return "no spans" if not found.sent else "%d spans of %d requests" % (found.sent, found.calls)
    return ""


def unsampled(case: str, tracer: str, found: workers.Checked) -> str:
    """Unsampled spans may still be sent, for an agent's statistics: the note tells."""
    return ""


def silent(case: str, tracer: str, found: workers.Checked) -> str:
    """Nothing was recorded or sent."""
    return "%d spans although disabled" % found.sent if found.sent else ""


def in_process(options: bench.Options, names: Sequence[str]) -> List[bench.Row]:
    """All frameworks traced; Flask sampled out; Flask with the tracer disabled."""
    rounds, count = options.pick(4, 40), 200
    result = []
    for mode, verdict, titles in (
        ("on", traced, FRAMEWORKS),
        ("unsampled", unsampled, {"web:flask": "Flask request, sampled out"}),
        ("disabled", silent, {"web:flask": "Flask request, tracer disabled"}),
    ):
        with workers.Fleet(names, list(titles), mode) as fleet:
            fleet.load()
            fleet.check(count, verdict)
            found = fleet.measure(rounds, dict.fromkeys(titles, count))
            result += fleet.rows(found, titles)
    return result


def served(options: bench.Options, names: Sequence[str]) -> List[bench.Row]:
    """Under real servers, by wrk: what is measured is the whole server, so these figures are not differences."""
    result = []
    for title, (kind, name) in SERVERS.items():
        units = {"%s, CPU of a request" % title: "µs", "%s, throughput" % title: "1/s"}
        cpu, rate = units

        def once(server: serving.Server) -> Dict[str, float]:
            full = server.most("/users/7", 4.0)
            return {cpu: full["cpu"], rate: full["rate"]}

        with serving.Farm(names, kind, name) as farm:
            farm.check("/users/7")
            found = farm.measure(once, options.pick(1, 7))
            result += bench.rows(found, units) + bench.missing(farm.failed, units)
    return result


def cases(options: bench.Options) -> List[bench.Row]:
    """All rows of this benchmark."""
    names = [bench.BASE, *(name for name in options.tracers if name != bench.BASE)]
    result = in_process(options, names)
    if not options.quick and serving.has_wrk():
        result += served(options, names)
    return result


if __name__ == "__main__":
    bench.main(sys.modules[__name__])
