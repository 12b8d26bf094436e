"""`gossamer doctor --cost`: that it measures everything, sends nothing, and says what it cannot measure."""

from __future__ import annotations

import json
import math
import sys
from types import ModuleType
from typing import Any, Dict, Iterator

import pytest

from gossamer import _core, _start
from gossamer._cli import cost, cost_cases
from tests.services.capture import CaptureAgent
from tests.services.process import run, run_python

DOCTOR = (sys.executable, "-m", "gossamer", "doctor")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As few rounds as there can be, and the hooks of the other tests' process left as they were."""
    monkeypatch.setattr(cost, "ROUNDS", 3)
    monkeypatch.setattr(cost, "SECONDS", 0.0)
    monkeypatch.setattr(cost, "_SLICE", 0.0002)
    yield
    assert not _start.tracer.recorder.buffer.pending_spans


def check(row: Dict[str, Any]) -> None:
    """The numbers are numbers."""
    assert row["with_us"] > 0 and row["added_us"] >= 0, row
    assert math.isfinite(row["with_us"]) and math.isfinite(row["added_us"]), row
    if row["without_us"] is not None:
        assert row["without_us"] > 0 and math.isfinite(row["without_us"]), row


def test_all_of_it(quick: None) -> None:
    found = cost.measure()
    assert [row["name"] for row in found["spans"]] == [
        "span", "span in a trace of ten", "span with 5 strings and 2 numbers", "decorated function",
        "encode a span, Datadog", "encode a span, OTLP",
    ]  # fmt: skip
    assert [row["name"] for row in found["requests"]] == ["WSGI request", "ASGI request"]
    for row in found["spans"] + found["requests"]:
        check(row)
        assert row["spans"] in (1.0, None), row
        assert row["added_us"] > 0, row
    rows = {row["name"]: row for row in found["libraries"]}
    assert set(rows) == {integration.name for integration in _start.engine.load_all()}
    for name, row in rows.items():
        if "configured already" in row.get("detail", ""):
            continue  # Django takes one configuration a process, and that of its own tests came first
        assert row["state"] in (cost.MEASURED, cost.NOT_INSTALLED, cost.NOT_MEASURED), row
        if row["state"] == cost.MEASURED:
            check(row)
            assert row["spans"] == (0 if name in ("logging", "threads", "futures") else 1), row
    for name in ("sqlite3", "httplib", "logging", "threads", "futures"):
        assert rows[name]["state"] == cost.MEASURED


def test_every_case_belongs_to_an_integration() -> None:
    assert set(cost_cases.CASES) <= {integration.name for integration in _start.engine.load_all()}


def test_the_command_and_that_nothing_is_sent(capture_agent: CaptureAgent) -> None:
    result = run(
        [*DOCTOR, "--cost", "--format", "json"],
        timeout=100,
        DD_TRACE_AGENT_URL=capture_agent.url,
        DD_TRACE_DISABLED_INSTRUMENTATIONS="requests,httpx,flask,fastapi,django,urllib3,starlette,redis,jinja2,threads",
    )
    assert result.returncode == 0, result
    found = json.loads(result.stdout)
    assert found["core"] == _core.implementation() and bool(found["why_pure"]) == (found["core"] == "pure")
    rows = {row["name"]: row for row in found["libraries"]}
    assert rows["sqlite3"]["state"] == "measured"
    assert (rows["threads"]["state"], rows["threads"]["detail"]) == ("off", "off by DD_TRACE_DISABLED_INSTRUMENTATIONS")
    assert not capture_agent.spans and not capture_agent.payloads


def test_the_table(quick: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> Any:
        raise RuntimeError("no\nconnection")

    cases = {"sqlite3": cost_cases.CASES["sqlite3"], "logging": cost_cases.Case("logging", "", broken)}
    monkeypatch.setattr(cost, "CASES", cases)
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setattr(cost.report, "availability", lambda one: ("1.0", "", one.name != "redis"))
    cost.show(cost.measure())
    shown = capsys.readouterr().out
    assert "failed: logging: RuntimeError: no connection\n" in shown
    assert "not measured: httplib: has no call that needs no server\n" in shown
    assert "not installed: redis\n" in shown
    assert any(line.split()[:3] == ["sqlite3", "SELECT", "1"] for line in shown.splitlines())


def test_a_library_that_cannot_be_imported(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "CASES", {"sqlite3": cost_cases.Case("no_such_module", "", ModuleType)})  # type: ignore
    rows = {row["name"]: row for row in cost.measure()["libraries"]}
    assert rows["sqlite3"]["state"] == "failed" and "no_such_module" in rows["sqlite3"]["detail"]


def test_tracing_that_is_off() -> None:
    result = run_python(
        "from gossamer._cli import cost\ncost.SECONDS, cost.ROUNDS = 0.0, 3\ncost.show(cost.measure())",
        DD_TRACE_ENABLED="false",
    )
    assert result.returncode == 0, result
    assert "tracing is off, by DD_TRACE_ENABLED" in result.stdout and "off: sqlite3: tracing is off" in result.stdout


def test_wrong_usage() -> None:
    result = run([*DOCTOR, "--cost", "--fast"])
    assert result.returncode == 2 and "unrecognized arguments: --fast" in result.stderr
    result = run([*DOCTOR, "--cost", "--format", "xml"])
    assert result.returncode == 2 and "invalid choice: 'xml'" in result.stderr
    result = run([*DOCTOR, "--cost", "python", "app.py"])
    assert result.returncode == 2 and "takes no command" in result.stderr and not result.stdout


def test_doctor_says_which_core_runs_and_why() -> None:
    result = run([*DOCTOR, sys.executable, "-c", ""], GOSSAMER_PURE="1", timeout=60)
    assert "core: pure (GOSSAMER_PURE is set)\n" in result.stdout
