"""What a workload asks of the tracer of its process, by public API: a transaction, and what is being recorded.

The rest, what a tracer's set-up leaves to the program, is in `tracers.py`.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, ContextManager, Set

import tracers


class Tracing:
    """No tracer. The others answer the same calls."""

    def __init__(self) -> None:
        self._watching = False
        self._seen: Set[Any] = set()

    def transaction(self, name: str) -> ContextManager[Any]:
        """What a tracer needs round calls of libraries so that it records them: a trace, root span or transaction."""
        return contextlib.nullcontext()

    def end(self) -> None:
        """What a tracer without a flush does at the end of the program."""

    def current(self) -> Any:
        """The id of what is being recorded now; None if nothing is."""

    def look(self) -> None:
        """Called in each request: while watching, note what is being recorded."""
        if self._watching:
            found = self.current()
            if found:
                self._seen.add(found)

    def watch(self) -> None:
        """Note ids from now on."""
        self._watching = True
        self._seen.clear()

    def watched(self) -> int:
        """How many different ids were seen since `watch`."""
        self._watching = False
        return len(self._seen)


class Gossamer(Tracing):
    """Ours."""

    def __init__(self) -> None:
        super().__init__()
        import gossamer

        self.api = gossamer

    def transaction(self, name: str) -> ContextManager[Any]:
        return self.api.trace(name)

    def current(self) -> Any:
        span = self.api.current_span()
        return span and span.trace.recording and span.span_id


class Datadog(Tracing):
    """ddtrace."""

    def __init__(self) -> None:
        super().__init__()
        from ddtrace.trace import tracer

        self.tracer = tracer

    def transaction(self, name: str) -> ContextManager[Any]:
        return self.tracer.trace(name)  # type: ignore[no-any-return]

    def current(self) -> Any:
        span = self.tracer.current_span()
        return span and span.span_id


class OpenTelemetry(Tracing):
    """The OpenTelemetry SDK."""

    def __init__(self) -> None:
        super().__init__()
        from opentelemetry import trace

        self.api = trace
        self.tracer = trace.get_tracer("benchmark")

    def transaction(self, name: str) -> ContextManager[Any]:
        return self.tracer.start_as_current_span(name)

    def current(self) -> Any:
        span = self.api.get_current_span()
        return span.get_span_context().span_id if span.is_recording() else None


class Logfire(OpenTelemetry):
    """Logfire, whose spans are OpenTelemetry's."""

    def transaction(self, name: str) -> ContextManager[Any]:
        import logfire

        return logfire.span(name)


class Sentry(Tracing):
    """Sentry."""

    def __init__(self) -> None:
        super().__init__()
        import sentry_sdk

        self.sdk = sentry_sdk

    def transaction(self, name: str) -> ContextManager[Any]:
        return self.sdk.start_transaction(op="task", name=name)

    def current(self) -> Any:
        span = self.sdk.get_current_span()
        return span.span_id if span is not None and span.sampled else None


class Elastic(Tracing):
    """Elastic's agent; the client is the launcher's, or made where only libraries are used."""

    def __init__(self) -> None:
        super().__init__()
        import elasticapm

        self.api = elasticapm

    @contextlib.contextmanager
    def transaction(self, name: str) -> Any:
        client = self.api.get_client() or self.api.Client()
        client.begin_transaction("task")
        yield
        client.end_transaction(name, "success")

    def current(self) -> Any:
        return self.api.get_transaction_id()


class NewRelic(Tracing):
    """New Relic's agent. It has no flush: what is left is sent by `end`."""

    def __init__(self) -> None:
        super().__init__()
        import newrelic.agent

        self.api = newrelic.agent
        self.application = newrelic.agent.register_application(timeout=10.0)

    def transaction(self, name: str) -> ContextManager[Any]:
        return self.api.BackgroundTask(self.application, name)  # type: ignore[no-any-return]

    def end(self) -> None:
        self.api.shutdown_agent(timeout=10.0)

    def current(self) -> Any:
        return self.api.current_span_id()


class Scout(Tracing):
    """Scout's agent."""

    def transaction(self, name: str) -> ContextManager[Any]:
        from scout_apm.api import BackgroundTransaction

        return BackgroundTransaction(name)  # type: ignore[no-any-return]


KINDS = {
    "gossamer": Gossamer, "gossamer-pure": Gossamer, "ddtrace": Datadog, "sentry": Sentry, "scout": Scout,
    "opentelemetry": OpenTelemetry, "logfire": Logfire, "elastic": Elastic, "newrelic": NewRelic,
}  # fmt: skip


def of_process() -> Tracing:
    """The tracer of this process; a disabled one is told nothing."""
    if os.environ.get("BENCH_MODE") == "disabled":
        return Tracing()
    return KINDS.get(tracers.current(), Tracing)()
