"""Spans of every shape, for hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from gossamer._core import pure
from gossamer._core.pure import Batch
from tests.wire.build import Maker, remote

texts = st.text(st.characters(), max_size=40)  # lone surrogates included
keys = st.one_of(
    st.sampled_from(
        ["http.request.method", "http.method", "url.full", "url.path", "url.query", "url.scheme", "server.address"]
        + ["server.port", "network.peer.address", "db.query.text", "db.statement", "db.system.name", "db.namespace"]
        + ["http.status_code", "http.response.status_code", "http.request.header.accept", "env", "team", "version"]
        + [
            "component",
            "error.type",
            "_dd.measured",
            "span.kind",
            "operation.name",
            "span.type",
            "process_id",
            "x",
            "x.0",
            "",
            "language",
        ]
    ),
    texts,
)
scalars = st.one_of(
    texts,
    st.booleans(),
    st.integers(),
    st.integers(-(2**54), 2**54),
    st.floats(allow_nan=False),
    st.just(float("nan")),  # one of the many: their bits differ
    st.binary(max_size=20),
    st.just("work"),
)
values = st.one_of(scalars, st.lists(scalars, max_size=4).map(tuple))
attributes = st.dictionaries(keys, values, max_size=6)
kinds = st.sampled_from(["internal", "server", "client", "producer", "consumer"])
services = st.sampled_from([None, "shop", "Shop", "redis", "bank", ""])
types = st.sampled_from([None, "web", "sql", "redis", "mongodb", "http", ""])
integrations = st.sampled_from([None, "flask", "redis", "sqlite3"])


def _decide(draw: Any) -> Any:
    decisions = [(None, None, None), (1, 0, None), (1, 1, 0.5), (2, 4, None), (0, 1, 0.1), (-1, 4, None)]
    decision = draw(st.sampled_from(decisions))

    def sampler(trace: Any, span: Any) -> None:
        trace.priority, trace.mechanism, trace.rate = decision

    return sampler


@st.composite
def batches(draw: Any, max_spans: int = 4, core: Any = pure) -> Batch:
    """One to four spans, in a tree."""
    maker = Maker(_decide(draw), core)
    caller = remote(priority=1, origin="rum", tracestate="a=b", tags={"_dd.p.x": "y"})
    parents = [draw(st.sampled_from([None, remote(), caller]))]
    opened = []
    for _ in range(draw(st.integers(1, max_spans))):
        span = maker.start(
            draw(texts),
            draw(st.sampled_from(parents)),
            resource=draw(st.one_of(st.none(), texts)),
            service=draw(services),
            type=draw(types),
            kind=draw(kinds),
            integration=draw(integrations),
            attributes=draw(attributes),
        )
        if draw(st.integers(0, 3)) == 0:
            span.add_event(draw(texts), draw(attributes))
        if draw(st.integers(0, 3)) == 0:
            span.add_link(remote(priority=draw(st.sampled_from([None, 0, 1]))), draw(attributes))
        if draw(st.integers(0, 3)) == 0:
            span.set_error(draw(st.sampled_from([None, "failed", ValueError("\udc80"), KeyError()])))
        parents.append(span)
        opened.append(span)
    for span in reversed(opened):
        span.finish()
    return maker.batch()
