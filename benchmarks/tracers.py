"""The tracers that are compared: where each lives, how it is pointed at the null agent, started, sampled out, disabled.

For a workload under automatic instrumentation:

    command, env = tracers.launch("ddtrace", "benchmarks/apps/shop.py", ["--count", "1000"], agent_port)
    result = bench.run(command, env)

and in the program itself, where a tracer's documented set-up is done in the application's code (Scout, Logfire, Sentry
and Elastic for some frameworks):

    tracers.attach("flask", app)        "flask", "fastapi", "starlette": once, when the application object is there
    tracers.django(settings_dict)       before django.setup(): adds what has to stand in the settings
    tracers.finish()                    before the end: sends what is pending, where the tracer knows how

`launch(..., mode="unsampled")` keeps the tracer but samples nothing; `mode="disabled"` switches it off by its own
setting. For spans made by hand, `start()` in a process that `worker` has described sets up its tracer.
Everything is done through documented settings and public API.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

if __package__ in (None, ""):
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import side_by_side as bench

NOBODY = {"none", "gossamer", "gossamer-pure"}


class Tracer(NamedTuple):
    """One tracer. `{url}` and `{port}` in its variables stand for the null agent."""

    name: str
    label: str
    # An environment of scripts/environments.py, and the distribution whose version the tables name.
    environment: str
    package: str
    # Trace everything, nothing but traces.
    variables: Dict[str, str]
    unsampled: Dict[str, str]
    disabled: Dict[str, str]
    # The program in the environment's bin/ that starts another one traced; empty: `bootstrap` does it in the process.
    launcher: Tuple[str, ...] = ()
    # What it is not able to do, or does differently; for the tables.
    note: str = ""


PYTHONPATH = {"PYTHONPATH": bench.SOURCE}
OURS = {"DD_TRACE_AGENT_URL": "{url}", "DD_SERVICE": "bench", **PYTHONPATH}
OFF = {"DD_TRACE_ENABLED": "false"}
OTLP = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "{url}",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_SERVICE_NAME": "bench",
}

TRACERS: Dict[str, Tracer] = {
    tracer.name: tracer
    for tracer in (
        Tracer("none", "no tracer", "bench", "", {}, {}, {}),
        Tracer(
            "gossamer", "Gossamer", "bench", "gossamer", OURS, {"DD_TRACE_SAMPLE_RATE": "0"}, OFF,
            launcher=("python", "-m", "gossamer", "run"),
        ),
        Tracer(
            "gossamer-pure", "Gossamer, pure core", "bench", "gossamer", {"GOSSAMER_PURE": "1", **OURS},
            {"DD_TRACE_SAMPLE_RATE": "0"}, OFF, launcher=("python", "-m", "gossamer", "run"),
        ),
        Tracer(
            "ddtrace", "ddtrace", "bench-ddtrace", "ddtrace",
            {
                "DD_TRACE_AGENT_URL": "{url}",
                "DD_SERVICE": "bench",
                "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
                "DD_REMOTE_CONFIGURATION_ENABLED": "false",
                "DD_CRASHTRACKING_ENABLED": "false",
                "DD_RUNTIME_METRICS_ENABLED": "false",
                "DD_TRACE_STATS_COMPUTATION_ENABLED": "false",
                "DD_TRACE_STARTUP_LOGS": "false",
            },
            {"DD_TRACE_SAMPLING_RULES": '[{"sample_rate":0}]'},
            OFF,
            launcher=("ddtrace-run",),
        ),
        Tracer(
            "opentelemetry", "OpenTelemetry", "bench-opentelemetry", "opentelemetry-sdk",
            OTLP, {"OTEL_TRACES_SAMPLER": "always_off"}, {"OTEL_SDK_DISABLED": "true"},
            launcher=("opentelemetry-instrument",),
        ),
        Tracer(
            "sentry", "Sentry", "bench-sentry", "sentry-sdk",
            {"SENTRY_DSN": "http://key@127.0.0.1:{port}/1"}, {"BENCH_SENTRY_RATE": "0"},
            {"SENTRY_DSN": "", "BENCH_SENTRY_RATE": ""},
        ),
        Tracer(
            "elastic", "Elastic APM", "bench-elastic", "elastic-apm",
            {
                "ELASTIC_APM_SERVER_URL": "{url}",
                "ELASTIC_APM_SERVICE_NAME": "bench",
                "ELASTIC_APM_CENTRAL_CONFIG": "false",
                "ELASTIC_APM_METRICS_INTERVAL": "0s",
                "ELASTIC_APM_BREAKDOWN_METRICS": "false",
                "ELASTIC_APM_CLOUD_PROVIDER": "none",
            },
            {"ELASTIC_APM_TRANSACTION_SAMPLE_RATE": "0"},
            {"ELASTIC_APM_ENABLED": "false"},
            launcher=("elasticapm-run",),
        ),
        Tracer(
            "newrelic", "New Relic", "bench-newrelic", "newrelic",
            {
                "NEW_RELIC_DEVELOPER_MODE": "true",
                "NEW_RELIC_LICENSE_KEY": "0" * 40,
                "NEW_RELIC_APP_NAME": "bench",
                "NEW_RELIC_LOG": "/dev/null",
                "NEW_RELIC_DISTRIBUTED_TRACING_SAMPLER_ROOT": "always_on",
                "NEW_RELIC_SPAN_EVENTS_MAX_SAMPLES_STORED": "10000",
                "NEW_RELIC_APPLICATION_LOGGING_ENABLED": "false",
            },
            {"NEW_RELIC_DISTRIBUTED_TRACING_SAMPLER_ROOT": "always_off"},
            {"NEW_RELIC_ENABLED": "false", "NEW_RELIC_MONITOR_MODE": "false", "NEW_RELIC_DEVELOPER_MODE": "false"},
            launcher=("newrelic-admin", "run-program"),
            note="developer mode: its collector wants TLS to a known host; spans are harvested, nothing is sent",
        ),
        Tracer(
            "logfire", "Logfire", "bench-logfire", "logfire",
            {
                **OTLP,
                "OTEL_BSP_MAX_QUEUE_SIZE": "1048576",
                "LOGFIRE_SEND_TO_LOGFIRE": "false",
                "LOGFIRE_CONSOLE": "false",
                "LOGFIRE_SERVICE_NAME": "bench",
                "LOGFIRE_IGNORE_NO_CONFIG": "1",
            },
            {"LOGFIRE_TRACE_SAMPLE_RATE": "0"},
            {"OTEL_SDK_DISABLED": "true"},
        ),
        Tracer(
            "scout", "Scout", "bench-scout", "scout-apm",
            {
                "SCOUT_MONITOR": "true",
                "SCOUT_KEY": "key",
                "SCOUT_NAME": "bench",
                "SCOUT_CORE_AGENT_LAUNCH": "false",
                "SCOUT_CORE_AGENT_DOWNLOAD": "false",
                "SCOUT_CORE_AGENT_SOCKET_PATH": "tcp://127.0.0.1:{port}",
            },
            {"SCOUT_SAMPLE_RATE": "0"},
            {"SCOUT_MONITOR": "false"},
        ),
    )
}  # fmt: skip
PEERS = tuple(name for name in TRACERS if name not in NOBODY)
MODES = ("on", "unsampled", "disabled")


# -- in the driver ----------------------------------------------------------------------------------------------------

_pythons: Dict[str, str] = {}
_unbuilt: Dict[str, str] = {}
# Why a tracer is not among those that `available` found.
left_out: Dict[str, str] = {}


def python(tracer: str) -> str:
    """The interpreter of a tracer's environment, built if needed.

    Raises:
        bench.Failure: it cannot be built.
    """
    name = TRACERS[tracer].environment
    if name in _unbuilt:
        raise bench.Failure(_unbuilt[name])
    if name not in _pythons:
        script = os.path.join(bench.ROOT, "scripts", "environments.py")
        done = subprocess.run([sys.executable, script, "python", name], capture_output=True)
        if done.returncode:
            last = done.stderr.decode().strip().splitlines()[-1:]
            _unbuilt[name] = "its environment cannot be built: " + "".join(last)
            raise bench.Failure(_unbuilt[name])
        _pythons[name] = done.stdout.decode().split("\n")[0]
    return _pythons[name]


def available(names: Optional[Sequence[str]] = None) -> List[str]:
    """The tracers of these names (default: all) that can run here; a line on stderr for each that cannot.

    "gossamer" is left out where the compiled core is not built: "gossamer-pure" is there in any case.

    Raises:
        ValueError: there is no tracer of that name.
    """
    unknown = [name for name in names or () if name not in TRACERS]
    if unknown:
        raise ValueError("no such tracer: %s; there are %s" % (", ".join(unknown), ", ".join(TRACERS)))
    found = []
    for name in names or TRACERS:
        try:
            interpreter = python(name)
        except bench.Failure as error:
            left_out[name] = str(error)
        else:
            if name == "gossamer" and core(interpreter) != "native":
                left_out[name] = "the compiled core is not built"
        if name in left_out:
            bench.say("%s left out: %s" % (name, left_out[name]))
        else:
            found.append(name)
    return found


def core(interpreter: str) -> str:
    """Which core this checkout has for an interpreter: "native" or "pure"."""
    code = "import gossamer._core as core; print(core.implementation())"
    done = subprocess.run([interpreter, "-c", code], env=bench.environment(**PYTHONPATH), stdout=subprocess.PIPE)
    return done.stdout.decode().strip()


def variables(tracer: str, agent_port: int, mode: str = "on") -> Dict[str, str]:
    """The whole environment of a process that runs under a tracer."""
    found = TRACERS[tracer]
    if mode not in MODES:
        raise ValueError("no such mode: %s; there are %s" % (mode, ", ".join(MODES)))
    own = dict(found.variables)
    own.update(getattr(found, mode) if mode != "on" else {})
    url = "http://127.0.0.1:%d" % agent_port
    # No format(): a value may be JSON.
    filled = {name: text.replace("{url}", url).replace("{port}", str(agent_port)) for name, text in own.items()}
    folder = os.path.dirname(python(tracer))
    path = folder + os.pathsep + os.environ.get("PATH", os.defpath)
    return bench.environment(PATH=path, BENCH_TRACER=tracer, BENCH_MODE=mode, **filled)


def launch(
    tracer: str, script: str, args: Sequence[str], agent_port: int, mode: str = "on"
) -> Tuple[List[str], Dict[str, str]]:
    """The command and the environment that run a script with automatic instrumentation.

    `script` may be "-m" with the module as the first of `args`. The command becomes (exec) or is the program: its
    process is the traced one.
    """
    found, interpreter = TRACERS[tracer], python(tracer)
    env = variables(tracer, agent_port, mode)
    folder = os.path.dirname(interpreter)
    if tracer == "none":
        command = [interpreter]
    elif found.launcher:
        command = [os.path.join(folder, found.launcher[0]), *found.launcher[1:], interpreter]
    else:
        command = [interpreter, os.path.abspath(__file__)]
    return [*command, script, *args], env


def worker(tracer: str, script: str, args: Sequence[str], agent_port: int) -> Tuple[List[str], Dict[str, str]]:
    """The command and the environment of a script that makes spans by hand, nothing instrumented."""
    return [python(tracer), script, *args], variables(tracer, agent_port)


# -- in the traced process --------------------------------------------------------------------------------------------


def current() -> str:
    """The tracer of this process."""
    return os.environ.get("BENCH_TRACER", "none")


def bootstrap(args: List[str]) -> None:
    """Start the tracer in the process, then run a script, or `-m module`, as the interpreter would."""
    automatic()
    sys.path.pop(0)
    if args[0] == "-m":
        sys.argv = args[1:]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(args[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = args
        sys.path.insert(0, os.path.dirname(os.path.abspath(args[0])))
        runpy.run_path(args[0], run_name="__main__")


def automatic() -> None:
    """The init that a tracer without a launcher documents as the first lines of a program."""
    name = current()
    if name == "sentry":
        init_sentry()
    elif name == "logfire":
        import logfire

        logfire.configure(inspect_arguments=False)
        for library in ("sqlite3", "redis", "requests", "httpx", "psycopg", "django"):
            try:
                getattr(logfire, "instrument_" + library)()
            except Exception as error:
                bench.say("logfire.instrument_%s: %s" % (library, error))
    elif name == "scout":
        import scout_apm.api

        scout_apm.api.install()


def init_sentry() -> None:
    """Tracing on, everything sampled."""
    import sentry_sdk

    text = os.environ.get("BENCH_SENTRY_RATE", "1")
    rate = float(text) if text else None
    sentry_sdk.init(traces_sample_rate=rate, auto_session_tracking=False, transport_queue_size=1 << 20)


def attach(framework: str, app: Any) -> None:
    """What a tracer's documentation has the application do with its own object."""
    name = current()
    if name == "logfire":
        import logfire

        getattr(logfire, "instrument_" + framework)(app)
    elif name == "elastic" and framework == "fastapi":  # the launcher knows Flask and Starlette
        import elasticapm
        from elasticapm.contrib.starlette import ElasticAPM, make_apm_client

        app.add_middleware(ElasticAPM, client=elasticapm.get_client() or make_apm_client())
    elif name == "scout" and framework == "flask":
        from scout_apm.flask import ScoutApm

        ScoutApm(app)
    elif name == "scout":
        from scout_apm.async_.starlette import ScoutMiddleware

        app.add_middleware(ScoutMiddleware)


def django(settings: Dict[str, Any]) -> Dict[str, Any]:
    """Add to Django's settings what a tracer's documentation puts there."""
    name = current()
    if name == "elastic":
        settings["INSTALLED_APPS"] = ["elasticapm.contrib.django", *settings.get("INSTALLED_APPS", ())]
        middleware = "elasticapm.contrib.django.middleware.TracingMiddleware"
        settings["MIDDLEWARE"] = [middleware, *settings.get("MIDDLEWARE", ())]
    elif name == "scout":
        settings["INSTALLED_APPS"] = ["scout_apm.django", *settings.get("INSTALLED_APPS", ())]
        settings.update(SCOUT_MONITOR=os.environ["SCOUT_MONITOR"] == "true", SCOUT_KEY="key", SCOUT_NAME="bench")
    return settings


def start() -> Callable[[], None]:
    """Set up the tracer of this process for spans made by hand; what it answers sends all pending spans.

    Queues are as long as the tracer's settings allow: a benchmark makes spans faster than a program does, and what is
    dropped would cost nothing.
    """
    return _STARTS[current()]()


def finish() -> None:
    """Send what is pending, where automatic instrumentation is on."""
    _FINISHES.get(current(), lambda: None)()


def _nothing() -> None:
    pass


def _start_gossamer() -> Callable[[], None]:
    import gossamer

    return lambda: bool(gossamer.flush()) and None


def _start_ddtrace() -> Callable[[], None]:
    from ddtrace.trace import tracer

    return tracer.flush


def _start_opentelemetry() -> Callable[[], None]:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), max_queue_size=1 << 20))
    trace.set_tracer_provider(provider)
    return lambda: provider.force_flush() and None


def _start_sentry() -> Callable[[], None]:
    import sentry_sdk

    init_sentry()
    return lambda: sentry_sdk.flush(timeout=60)


def _start_elastic() -> Callable[[], None]:
    import elasticapm

    return elasticapm.Client().close  # a closed client is not used again: `start()` makes another one


def _start_newrelic() -> Callable[[], None]:
    import newrelic.agent

    newrelic.agent.initialize()
    newrelic.agent.register_application(timeout=10.0)
    return lambda: newrelic.agent.shutdown_agent(timeout=60)


def _start_logfire() -> Callable[[], None]:
    import logfire

    logfire.configure(inspect_arguments=False)
    return lambda: logfire.force_flush(60000) and None


def _start_scout() -> Callable[[], None]:
    import scout_apm.api

    scout_apm.api.install()
    return settle


def settle() -> None:
    """For a tracer that sends by itself and has no flush: wait, idle, until the process is."""
    idle = 0
    while idle < 2:
        before = time.process_time()
        time.sleep(0.05)
        idle = idle + 1 if time.process_time() - before < 0.0005 else 0


def _finish_elastic() -> None:
    import elasticapm

    client = elasticapm.get_client()
    if client is not None:
        client.close()


def _finish_gossamer() -> None:
    import gossamer

    gossamer.flush()


def _finish_opentelemetry() -> None:
    from opentelemetry import trace

    flush = getattr(trace.get_tracer_provider(), "force_flush", None)
    if flush is not None:
        flush()


def _finish_logfire() -> None:
    import logfire

    logfire.force_flush()


def _finish_sentry() -> None:
    import sentry_sdk

    sentry_sdk.flush()


_STARTS: Dict[str, Callable[[], Callable[[], None]]] = {
    "none": lambda: _nothing,
    "gossamer": _start_gossamer,
    "gossamer-pure": _start_gossamer,
    "ddtrace": _start_ddtrace,
    "opentelemetry": _start_opentelemetry,
    "sentry": _start_sentry,
    "elastic": _start_elastic,
    "newrelic": _start_newrelic,
    "logfire": _start_logfire,
    "scout": _start_scout,
}
_FINISHES: Dict[str, Callable[[], None]] = {
    "gossamer": _finish_gossamer,
    "gossamer-pure": _finish_gossamer,
    "ddtrace": lambda: _start_ddtrace()(),
    "opentelemetry": _finish_opentelemetry,
    "sentry": _finish_sentry,
    "elastic": _finish_elastic,
    "logfire": _finish_logfire,
    "newrelic": settle,
    "scout": settle,
}


if __name__ == "__main__":
    bootstrap(sys.argv[1:])
