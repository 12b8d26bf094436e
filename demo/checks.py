"""What the demo must have recorded, asked of the viewer's own interface."""

import json
import time
import urllib.parse
import urllib.request


def get(address, path, **query):
    url = address + path + ("?" + urllib.parse.urlencode(query) if query else "")
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def rows(address, query, limit=200):
    return get(address, "/api/traces", q=query, limit=limit)["rows"]


class Trace:
    """The skeleton of a trace as a tree."""

    def __init__(self, address, trace_id):
        found = get(address, "/api/traces/" + trace_id)
        self.ops = [found["ops"][op] for op in found["op"]]  # service, name, resource, type, kind
        self.parent = found["parent"]
        self.errors = set(found["err"])

    def spans(self, **wanted):
        fields = ("service", "name", "resource", "type", "kind")
        return [
            row
            for row, op in enumerate(self.ops)
            if all(value in (op[fields.index(key)] or "") for key, value in wanted.items())
        ]

    def path(self, row):
        """The operations from a span up to the root."""
        found = []
        while row is not None and row >= 0:
            found.append(self.ops[row][1])
            row = self.parent[row]
        return found


def wait_for(address, query, count, seconds=15):
    deadline = time.monotonic() + seconds
    while True:
        found = rows(address, query)
        if len(found) >= count or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


# From the innermost query of a product page, through both services twice, to the root.
PRODUCT = ["sqlite.query", "flask.request", "http.request", "fastapi.request", "requests.request", "flask.request"]


def check(address, rounds, redis):
    """Sentences that say what is missing; none when all is well."""
    problems = []

    def expect(good, sentence):
        if not good:
            problems.append(sentence)

    for resource, count in (
        ("GET /", rounds),
        ("GET /product/<int:item>", 3 * rounds),
        ("POST /checkout", rounds),
        ("GET /report", rounds),
        ("GET /refund/<int:item>", rounds),
        ("GET /statistics", rounds),
    ):
        found = wait_for(address, 'root:name:flask.request root:resource:"%s"' % resource, count)
        expect(len(found) >= count, "%d of %d traces of %s" % (len(found), count, resource))

    products = wait_for(address, 'service:stock resource:"GET /stock/{item}"', 2 * rounds)
    expect(len(products) >= 2 * rounds, "%d product pages reach the stock" % len(products))
    # The two services send on their own time: what came last may be half of a trace still.
    for row in products[-3:]:
        trace = Trace(address, row["trace"])
        paths = [trace.path(span) for span in range(len(trace.ops))]
        expect(PRODUCT in paths, "a product page has not the parents that it should")
        expect(trace.parent.count(-1) == 1, "a product page falls apart into %d roots" % trace.parent.count(-1))
        expect(trace.spans(name="jinja2.render"), "a product page without its template")
        if redis:
            expect(trace.spans(name="redis.command"), "a product page without its cache")

    for row in rows(address, 'root:resource:"GET /report"')[:1]:
        queries = Trace(address, row["trace"]).spans(name="sqlite.query")
        expect(len(queries) >= 7, "a report of %d queries is no N+1" % len(queries))
    failed = wait_for(address, 'status:error "till is empty"', rounds)
    expect(len(failed) >= rounds, "%d errors of the refund" % len(failed))
    slow = rows(address, "name:sqlite.query duration:>5ms")
    expect(slow, "no slow query")
    return problems


def table(address):
    """A short table of what was recorded."""
    found = {}
    for row in rows(address, ""):
        key = (row["root"]["service"], row["root"]["resource"])
        entry = found.setdefault(key, [0, 0, 0, 0])
        entry[0] += 1
        entry[1] += row["spans"]
        entry[2] += row["errors"]
        entry[3] = max(entry[3], row["dur"])
    lines = ["%-9s %-28s %7s %7s %7s %9s" % ("service", "request", "traces", "spans", "errors", "slowest")]
    for (service, resource), (traces, spans, errors, slowest) in sorted(found.items()):
        slowest_text = "%.1f ms" % (slowest / 1000)
        lines.append("%-9s %-28s %7d %7d %7d %9s" % (service, resource, traces, spans, errors, slowest_text))
    return "\n".join(lines)
