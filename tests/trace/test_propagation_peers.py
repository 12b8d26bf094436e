"""Headers to and from the released ddtrace and OpenTelemetry SDK, in an environment of their own."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from gossamer._core import SpanContext
from gossamer._trace.propagation import Propagation

PEER = r"""
import json, logging, sys
logging.disable(logging.CRITICAL)
style, jobs = sys.argv[1], json.load(sys.stdin)
answers = []
if style == "otel":
    from opentelemetry import baggage, trace
    from opentelemetry.baggage.propagation import W3CBaggagePropagator
    from opentelemetry.propagators.composite import CompositePropagator
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    both = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
    for headers in jobs:
        context = both.extract(headers)
        span = trace.get_current_span(context).get_span_context()
        out = {}
        both.inject(out, context)
        answers.append({"trace_id": span.trace_id, "span_id": span.span_id, "sampled": span.trace_flags.sampled,
                        "state": dict(span.trace_state), "baggage": dict(baggage.get_all(context)), "headers": out})
else:
    from ddtrace.propagation.http import HTTPPropagator
    for headers in jobs:
        context = HTTPPropagator.extract(headers)
        out = {}
        HTTPPropagator.inject(context, out)
        answers.append({"trace_id": context.trace_id, "span_id": context.span_id, "priority": context.sampling_priority,
                        "origin": context._meta.get("_dd.origin"), "dm": context._meta.get("_dd.p.dm"),
                        "links": [link.trace_id for link in context._span_links],
                        "baggage": dict(context._baggage), "headers": out})
json.dump(answers, sys.stdout)
"""

CONTEXTS = [
    SpanContext(
        2**127 + 2**64 - 3, 2**64 - 1, 2, "rum", {"_dd.p.dm": "-4", "_dd.p.usr.id": "a=b"}, "foo=1,bar=x y", {"k": "v"}
    ),
    SpanContext(5, 6, 1, None, {"_dd.p.dm": "-1"}, "", {"key one": '\u00e9, ;="\\ %'}),
    SpanContext(2**100 + 7, 8, 0),
    SpanContext(2**100 + 7, 8, -1),
    SpanContext(2**64 + 9, 1, 1, tracestate=",".join("k%d=v" % n for n in range(31))),
]
for _context in CONTEXTS[:3]:
    _context.random = True


def ask(python, style, jobs):
    environment = dict(
        os.environ, DD_INSTRUMENTATION_TELEMETRY_ENABLED="false", DD_REMOTE_CONFIGURATION_ENABLED="false"
    )
    environment.pop("PYTHONPATH", None)
    answer = subprocess.run(
        [python, "-c", PEER, style],
        input=json.dumps(jobs).encode(),
        stdout=subprocess.PIPE,
        env=environment,
        timeout=60,
        check=True,
    )
    return json.loads(answer.stdout.decode())


def headers(context, *styles):
    carrier = {}
    Propagation(styles or ("datadog", "tracecontext", "baggage")).inject(context, carrier)
    return carrier


def test_opentelemetry_reads_ours_and_we_read_its(peers_python):
    for context, answer in zip(CONTEXTS, ask(peers_python, "otel", [headers(context) for context in CONTEXTS])):
        assert (answer["trace_id"], answer["span_id"]) == (context.trace_id, context.span_id)
        assert answer["sampled"] == (context.priority > 0)
        state = dict(member.split("=", 1) for member in context.tracestate.split(",") if member)
        assert {key: value for key, value in answer["state"].items() if key != "dd"} == state
        assert answer["baggage"] == context.baggage
        back = Propagation().extract(answer["headers"])
        assert (back.trace_id, back.span_id, back.priority) == (context.trace_id, context.span_id, context.priority)
        # OpenTelemetry writes a space in baggage as "+", which the specification does not know.
        baggage = {key.replace(" ", "+"): value.replace(" ", "+") for key, value in context.baggage.items()}
        assert (back.tracestate, back.baggage, back.origin, back.random) == (
            context.tracestate, baggage, context.origin, context.random,
        )  # fmt: skip
        assert back.tags.get("_dd.p.dm") == context.tags.get("_dd.p.dm")


@pytest.mark.parametrize("styles", [("datadog",), ("tracecontext",), ("datadog", "tracecontext", "baggage")])
def test_ddtrace_reads_ours_and_we_read_its(peers_python, styles):
    answers = ask(peers_python, "ddtrace", [headers(context, *styles) for context in CONTEXTS])
    for context, answer in zip(CONTEXTS, answers):
        assert (answer["trace_id"], answer["span_id"]) == (context.trace_id, context.span_id)
        assert (answer["priority"], answer["origin"]) == (context.priority, context.origin)
        assert answer["dm"] == context.tags.get("_dd.p.dm") and answer["links"] == []
        if "baggage" in styles:
            assert answer["baggage"] == context.baggage
        back = Propagation().extract(answer["headers"])
        assert (back.trace_id, back.span_id, back.priority, back.origin) == (
            context.trace_id, context.span_id, context.priority, context.origin,
        )  # fmt: skip
        assert {key: value for key, value in back.tags.items() if key.startswith("_dd.p.")} == context.tags
        if "tracecontext" in styles:
            assert back.tracestate == context.tracestate


def test_ddtrace_and_we_agree_on_headers_that_disagree(peers_python):
    ours = headers(CONTEXTS[0], "datadog")
    jobs = [
        dict(
            ours,
            traceparent="00-%032x-00000000000000aa-01" % CONTEXTS[0].trace_id,
            tracestate="dd=s:1;p:00000000000000bb,foo=1",
        ),
        dict(ours, traceparent="00-%032x-00000000000000aa-00" % 77),
        dict(headers(CONTEXTS[1]), tracestate="dd=s:2;o:x;t.dm:-4,foo=1"),
        {
            "x-datadog-trace-id": "7",
            "x-datadog-parent-id": "0",
            "x-datadog-origin": "synthetics",
            "x-datadog-sampling-priority": "1",
        },
        {"traceparent": "00-%032x-00000000000000aa-00" % 77, "tracestate": "dd=s:2"},
        {"traceparent": "00-%032x-00000000000000aa-01" % 77, "tracestate": "foo=1"},
    ]
    for job, answer in zip(jobs, ask(peers_python, "ddtrace", jobs)):
        got = Propagation().extract(job)
        assert (got.trace_id, got.span_id, got.priority, got.origin) == (
            answer["trace_id"], answer["span_id"] or 0, answer["priority"], answer["origin"],
        ), job  # fmt: skip
        assert [link.context.trace_id for link in got.links] == answer["links"]
