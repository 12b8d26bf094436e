"""`gossamer doctor --cost`: what tracing costs in this interpreter, on this machine, measured now.

Everything happens in this process and is thrown away: a tracer of its own, an engine of its own, no writer. Each call
is measured without and with tracing, in many short rounds that take turns, and the medians are compared.
"""

from __future__ import annotations

import gc
import time
from importlib import import_module
from statistics import median

from gossamer import _start
from gossamer._cli import report
from gossamer._cli.cost_cases import CASES, asgi_call, nothing, plain_asgi, plain_wsgi, repeat, wsgi_call
from gossamer._cli.output import print_rows, write
from gossamer._instrument.conventions.http_server import WebServer
from gossamer._instrument.engine import Engine
from gossamer._instrument.protocols import asgi, wsgi
from gossamer._settings import Settings, settings
from gossamer.integrations import _index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

    from gossamer._cli.cost_cases import Case, Run
    from gossamer._trace.tracer import Tracer

ROUNDS = 7
FEWEST = 5
SECONDS = 0.15  # for one case, at most, once it has had its fewest rounds
_SLICE = 0.005  # of a round, without and with
_MOST = 5000

MEASURED, NOT_INSTALLED, NOT_MEASURED, OFF, FAILED = "measured", "not installed", "not measured", "off", "failed"
_COLUMNS = {
    "name": "what",
    "call": "call",
    "without_us": "without",
    "with_us": "with",
    "added_us": "added",
    "spans": "spans",
}

_here = getattr(time, "thread_time", time.process_time)


def measure() -> Dict[str, Any]:
    """Measure everything."""
    bench = Bench()
    found: Dict[str, Any] = {
        "unit": "microseconds of CPU time, medians",
        "note": "" if settings.trace_enabled else _off(),
    }
    with bench:
        found["spans"] = list(_spans(bench)) + list(_encoders(bench))
        found["requests"] = list(_requests(bench))
        found["libraries"] = [_library(bench, integration) for integration in bench.engine.load_all()]
    return found


def _off() -> str:
    return "tracing is off, by %s: no library is hooked" % settings.value(Settings.trace_enabled).origin


class Bench:
    """A tracer that nobody listens to, with an engine, and the measuring."""

    def __init__(self) -> None:
        self.tracer: Tracer = _start.new_tracer()
        self.engine = Engine(self.tracer, _index.MODULES, _start.configure)
        self.buffer = self.tracer.recorder.buffer

    def __enter__(self) -> Bench:
        _start.engine.uninstall()  # under `gossamer run` this process is traced itself
        gc.collect()
        gc.freeze()  # what is there already is not looked through by each collection
        return self

    def __exit__(self, *exception: object) -> None:
        gc.unfreeze()
        self.unhook()

    def hook(self) -> None:
        """Let the hooks be in, as the settings say."""
        if settings.trace_enabled:
            self.engine.install()

    def unhook(self) -> None:
        """Take them out."""
        self.engine.uninstall()

    def compare(
        self,
        without: Run,
        traced: Run,
        inside: bool = False,
        clock: Callable[[], float] = _here,
        switch: Tuple[Callable[[], None], Callable[[], None]] = (nothing, nothing),
    ) -> Dict[str, float]:
        """The cost of a call without and with tracing, and the spans that it makes.

        Args:
            inside: whether the calls are made within a trace.
            switch: what switches tracing off and on, where that is not part of the calls themselves.
        """
        off, on = switch
        on()
        count = -(-_calls(traced, clock) // 10) * 10  # whole traces of ten
        self.take()
        warm = count // 2  # the interpreter forgets what it knew of a class when hooks go in or out
        plain: List[float] = []
        dearer: List[float] = []
        spans = 0.0
        deadline = time.monotonic() + SECONDS
        for turn in range(ROUNDS):
            for kind in ((0, 1), (1, 0))[turn & 1]:
                if kind:
                    on()
                    dearer.append(self._traced(traced, warm, count, inside, clock))
                    spans = self.take() - inside
                else:
                    off()
                    without(warm)
                    plain.append(_timed(without, count, clock))
            if turn + 1 >= FEWEST and time.monotonic() > deadline:
                break
        less, more = median(plain), median(dearer)
        return {
            "without_us": _micro(less, count),
            "with_us": _micro(more, count),
            "added_us": _micro(max(0.0, more - less), count),
            "spans": round(max(0.0, spans) / count, 2),
        }

    def _traced(self, run: Run, warm: int, count: int, inside: bool, clock: Callable[[], float]) -> float:
        run(warm)
        self.take()
        if not inside:
            return _timed(run, count, clock)
        with self.tracer.trace("doctor.cost"):
            return _timed(run, count, clock)

    def take(self) -> int:
        """Throw away what was recorded, and tell how many spans that were."""
        batch = self.buffer.swap()
        return 0 if batch is None else batch.span_count


def _timed(run: Run, count: int, clock: Callable[[], float]) -> float:
    begun = clock()
    run(count)
    return clock() - begun


def _calls(run: Run, clock: Callable[[], float]) -> int:
    """How many calls make up a slice."""
    run(1)
    count = 1
    while count < _MOST:
        took = _timed(run, count, clock)
        if took >= _SLICE / 4:
            return max(1, min(_MOST, int(count * _SLICE / took)))
        count *= 4
    return _MOST


def _micro(seconds: float, count: int = 1) -> float:
    return round(seconds / count * 1e6, 3)


# -- spans ------------------------------------------------------------------------------------------------------------

_ATTRIBUTES = {
    "http.request.method": "GET",
    "url.path": "/items/7",
    "server.address": "localhost",
    "user.id": "u-4711",
    "cart.state": "open",
    "http.response.status_code": 200,
    "cart.value": 12.5,
}


def _spans(bench: Bench) -> Iterator[Dict[str, Any]]:
    trace = bench.tracer.trace

    def bare(count: int) -> None:
        for _ in range(count):
            pass

    def root(count: int) -> None:
        for _ in range(count):
            with trace("job"):
                pass

    def ten(count: int) -> None:
        for _ in range(count // 10 or 1):
            with trace("job"):
                for _ in range(9):
                    with trace("step"):
                        pass

    def filled(count: int) -> None:
        for _ in range(count):
            with trace("job") as span:
                set_attribute = span.set_attribute
                for key, value in _ATTRIBUTES.items():
                    set_attribute(key, value)

    decorated = repeat(trace("job")(nothing))
    for name, plain, run in (
        ("span", bare, root),
        ("span in a trace of ten", bare, ten),
        ("span with 5 strings and 2 numbers", bare, filled),
        ("decorated function", repeat(nothing), decorated),
    ):
        row: Dict[str, Any] = {"name": name, "call": ""}
        row.update(bench.compare(plain, run))
        yield row


class _Nowhere:
    """In the place of the exporters' HTTP client: accepts all, sends nothing."""

    def request(self, *arguments: Any, **more: Any) -> Any:
        from gossamer._export.http import Response

        return Response(200, {}, b"{}")


def _encoders(bench: Bench) -> Iterator[Dict[str, Any]]:
    from gossamer._export.datadog import DatadogExporter
    from gossamer._export.otlp import OTLPExporter
    from gossamer._wire.info import Process

    process = Process("doctor")
    exporters: List[Tuple[str, Any]] = [
        ("encode a span, Datadog", DatadogExporter("http://localhost:8126")),
        ("encode a span, OTLP", OTLPExporter("http://localhost:4318/v1/traces")),
    ]
    for name, exporter in exporters:
        exporter.client = _Nowhere()
        row: Dict[str, Any] = {"name": name, "call": "within a batch of 500"}
        times = []
        for _ in range(ROUNDS):
            bench.take()
            for _ in range(50):
                with bench.tracer.trace("job"):
                    for _ in range(9):
                        with bench.tracer.trace("step", attributes=_ATTRIBUTES):
                            pass
            batch = bench.buffer.swap()
            if batch is None:  # tracing is off
                return
            begun = _here()
            exporter.export(batch, process)
            times.append((_here() - begun) / batch.span_count)
        cost = _micro(median(times))
        row.update(without_us=None, with_us=cost, added_us=cost, spans=None)
        yield row


# -- requests and libraries -------------------------------------------------------------------------------------------


def _requests(bench: Bench) -> Iterator[Dict[str, Any]]:
    web = wsgi.Requests(WebServer(bench.tracer, "wsgi.request", "wsgi", None, settings))

    def traced_wsgi(environ: Any, start_response: Any) -> Any:
        return web.call(plain_wsgi, environ, start_response)

    row: Dict[str, Any] = {"name": "WSGI request", "call": "the smallest application"}
    row.update(bench.compare(wsgi_call(plain_wsgi), wsgi_call(traced_wsgi)))
    yield row

    other = asgi.Requests(WebServer(bench.tracer, "asgi.request", "asgi", None, settings))

    async def traced_asgi(scope: Any, receive: Any, send: Any) -> Any:
        return await asgi.call(other, plain_asgi, scope, receive, send)

    (plain, close_plain), (traced, close_traced) = asgi_call(plain_asgi), asgi_call(traced_asgi)
    row = {"name": "ASGI request", "call": "the smallest application"}
    try:
        row.update(bench.compare(plain, traced))
    finally:
        close_plain()
        close_traced()
    yield row


def _library(bench: Bench, integration: Any) -> Dict[str, Any]:
    """What is known of one integration: the figures, or the reason why there are none."""
    version, _, there = report.availability(integration)
    case = CASES.get(integration.name)
    row: Dict[str, Any] = {"name": integration.name, "version": version, "call": "", "state": MEASURED, "detail": ""}
    if not there:
        row["state"] = NOT_INSTALLED
    elif not settings.trace_enabled:
        row.update(state=OFF, detail="tracing is off")
    elif not _start.configure(integration).enabled:
        row.update(state=OFF, detail=_start.configure(integration).reason)
    elif case is None:
        row.update(state=NOT_MEASURED, detail="has no call that needs no server")
    else:
        row["call"] = case.call
        try:
            row.update(_measure(bench, case))
        except (Exception, SystemExit) as error:
            row.update(state=FAILED, detail=" ".join(("%s: %s" % (type(error).__name__, error)).split())[:200])
    return row


def _measure(bench: Bench, case: Case) -> Dict[str, float]:
    import_module(case.module)
    bench.unhook()
    closers: List[Callable[[], object]] = []
    try:
        plain, close = case.make()
        closers.append(close)
        bench.hook()
        traced, close = case.make()
        closers.append(close)
        clock: Callable[[], float] = time.process_time if case.everywhere else _here
        switch = (nothing, nothing) if case.kept else (bench.unhook, bench.hook)
        return bench.compare(plain, traced, not case.request, clock, switch)
    finally:
        bench.unhook()
        for close in closers:
            close()


# -- what is shown ----------------------------------------------------------------------------------------------------


def show(found: Dict[str, Any]) -> None:
    """Print the figures as a table, and below it what was not measured."""
    write("Microseconds of CPU time for one call, without and with tracing. Measured here and now; nothing was sent.\n")
    if found["note"]:
        write(found["note"] + "\n")
    write("\n")
    measured = [row for row in found["libraries"] if row["state"] == MEASURED]
    print_rows([_formatted(row) for row in found["spans"] + found["requests"] + measured], _COLUMNS, "table")
    write("\n")
    for state in (NOT_MEASURED, OFF, FAILED):
        for row in found["libraries"]:
            if row["state"] == state:
                write("%s: %s: %s\n" % (state, row["name"], row["detail"]))
    missing = [row["name"] for row in found["libraries"] if row["state"] == NOT_INSTALLED]
    if missing:
        write("not installed: %s\n" % ", ".join(missing))


def _formatted(row: Dict[str, Any]) -> Dict[str, Optional[str]]:
    shown: Dict[str, Optional[str]] = {"name": row["name"], "call": row["call"]}
    for key in ("without_us", "with_us", "added_us"):
        number = row[key]
        shown[key] = None if number is None else "%.2f" % number if number < 100 else "%.0f" % number
    shown["spans"] = None if row["spans"] is None else "%g" % row["spans"]
    return shown
