"""The benchmarks' own code: what figures and tables say of given measurements, and what a wrong name is told."""

import json
import os
import subprocess
import sys
import urllib.request

import pytest

HERE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "benchmarks")
pytestmark = pytest.mark.skipif(sys.version_info < (3, 10), reason="the benchmarks run on the newest interpreter")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(HERE)


def test_rounds_are_in_turn_and_a_failing_tracer_is_left_out():
    import side_by_side as bench

    calls = []

    def once(tracer):
        calls.append(tracer)
        if tracer == "b" and calls.count("b") == 2:
            raise bench.Failure("no more")
        return {"case": float(len(calls))}

    found, failed = bench.interleave(["a", "b", "c"], once, 3)
    assert calls == ["a", "b", "c", "c", "b", "a", "a", "c"]
    assert failed == {"b": "no more"}
    assert found == {"a": {"case": [1.0, 6.0, 7.0]}, "b": {"case": [2.0]}, "c": {"case": [3.0, 4.0, 8.0]}}


def test_what_is_added_is_the_difference_of_the_leasts_and_the_median_of_the_differences():
    import side_by_side as bench

    found = {"none": {"case": [10.0, 12.0, 20.0]}, "ddtrace": {"case": [15.0, 18.0, 30.0]}}
    (row,) = bench.added_rows(found, {"case": "µs"})
    assert (row.tracer, row.min, row.median, row.rounds) == ("ddtrace", 5.0, 6.0, 3)


def test_a_target_is_met_against_the_best_peer_that_did_all_the_work():
    import report
    from side_by_side import Row

    case = "span in a trace of ten, encoding included"

    def line(ours):
        rows = [Row(case, "gossamer", "µs", ours, ours), Row(case, "gossamer-pure", "µs", 3.0, 3.0)]
        rows += [Row(case, "ddtrace", "µs", 26.0, 25.0), Row(case, "sentry", "µs", 1.0, 1.0, note="3 % arrived")]
        text = next(text for text in report.targets(rows).splitlines() if text.startswith("| " + case))
        return [cell.strip() for cell in text.strip("|").split("|")][-9:]

    assert line(0.5) == ["25.0", "0.500", "3.00", "50.0x", "25x", "yes", "8.3x", "8x", "yes"]
    assert line(2.0)[3:6] == ["12.5x", "25x", "NO"]


def test_the_table_has_a_column_for_each_tracer_and_notes_below():
    import report
    from side_by_side import Row

    rows = [Row("a span", "ddtrace", "µs", 12.5, 12.0, 0.4, 3), Row("a span", "scout", "µs", None, note="a | b")]
    text = report.table("Spans", rows)
    assert "| case   | unit | ddtrace           | scout |" in text
    assert "| a span | µs   | 12.0, 12.5 ±0.400 | - [1] |" in text
    assert "[1] a / b" in text


def test_the_page_names_no_host_and_no_folder():
    import report

    rows = [{"case": "a", "tracer": "ddtrace", "unit": "µs", "median": 1.0}]
    results = {
        "quick": True, "machine": report.machine(), "tracers": {"ddtrace": "1.0"}, "libraries": {"flask": "3.1"},
        "left_out": {"scout": "its environment cannot be built"},
        "benchmarks": {"span": {"title": "Spans", "rows": rows}},
    }  # fmt: skip
    page = report.page(results)
    assert "| ddtrace (`ddtrace`) | 1.0 |" in page and "Left out: Scout, its environment cannot be built." in page
    assert os.uname().nodename not in page and HERE not in page


@pytest.mark.parametrize(
    "arguments, told",
    [(["nonsense"], "no such benchmark: nonsense"), (["span", "--tracers", "nobody"], "no such tracer: nobody")],
)
def test_a_wrong_name_is_told_which_there_are(arguments, told):
    command = [sys.executable, os.path.join(HERE, "run.py"), *arguments]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == 2
    assert told in done.stderr.decode() and "there are" in done.stderr.decode()


def test_every_tracer_has_words_for_its_spans_and_a_set_up():
    import span
    import startup
    import tracers

    assert set(span.WORDS) == set(tracers._STARTS) == set(startup.AUTO) == set(tracers.TRACERS)


def test_the_null_agent_counts_what_arrives():
    import side_by_side as bench

    with bench.null_agent("--keep") as port:
        url = "http://127.0.0.1:%d" % port

        def post(path, body, **headers):
            request = urllib.request.Request(url + path, body, headers, method="POST")
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.read()

        def get(path):
            with urllib.request.urlopen(url + path, timeout=10) as answer:
                return json.load(answer)

        assert "/v0.4/traces" in get("/info")["endpoints"]
        answer = post("/v0.4/traces", b"\x92\x91\x80\x92\x80\x80", **{"X-Datadog-Trace-Count": "2"})
        assert "rate_by_service" in json.loads(answer)
        assert get("/bench/spans") == {"spans": 3} and get("/bench/traces") == {"traces": 2}
        assert get("/bench/stats")["bytes"] == {"/v0.4/traces": 6}
        post("/bench/reset", b"")
        # Resource spans, scope spans, and two empty spans.
        assert post("/v1/traces", b"\x0a\x06\x12\x04\x12\x00\x12\x00") == b""
        assert get("/bench/spans") == {"spans": 2}
