"""The other commands, and the manners of all of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

from gossamer._cli import misspelt
from gossamer._cli.run import Failure, environment, parse
from tests.services.capture import CaptureAgent
from tests.services.ports import free_port
from tests.services.process import ROOT, Result, clean_environment, run

PYTHON = sys.executable
NOWHERE = "http://127.0.0.1:9"


def cli(*words: Any, **options: Any) -> Result:
    return run([PYTHON, "-m", "gossamer", *words], **options)


# --- usage -----------------------------------------------------------------------------------------------------------


def test_version_and_help() -> None:
    assert cli("--version").stdout.startswith("gossamer 2.")
    result = cli("help")
    assert result.returncode == 0 and result.stderr == ""
    for command in ("run", "viewer", "doctor", "integrations", "settings"):
        assert f"  {command} " in result.stdout
        detailed = cli(command, "--help")
        assert detailed.returncode == 0 and f"gossamer {command}" in detailed.stdout


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        ([], 2, "usage: gossamer COMMAND"),
        (["runn"], 2, "did you mean 'run'?"),
        (["settings", "--format", "xml"], 2, "invalid choice"),
        (["doctor", "--what"], 2, "unrecognized arguments"),
        (["run"], 2, "no command was given"),
        (["run", "--"], 2, "no command was given"),
        (["run", "--service"], 2, "--service needs a value"),
        (["run", "--what", "python"], 2, "there is no option --what"),
        (["run", "-m", "shop"], 2, "did you mean `python -m ...`?"),
        (["run", "no-such-command"], 127, "no-such-command: command not found"),
        (["run", "./no/such/file"], 127, "no such file"),
        (["run", "app.py"], 127, "did you mean `python app.py`?"),
        (["run", "./app.py"], 126, "did you mean `python ./app.py`?"),
        (["run", "/"], 126, "is a directory"),
        (["run", "./broken"], 126, "./broken: "),
        (["run", ""], 127, "the command is empty"),
    ],
)
def test_wrong_usage(words: list[str], code: int, hint: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("pass")
    (tmp_path / "broken").write_text("#!/no/such/interpreter\n")
    (tmp_path / "broken").chmod(0o755)
    result = cli(*words, cwd=tmp_path)
    if words == ["run", "./broken"]:
        assert result.returncode in (126, 127)
    else:
        assert result.returncode == code
    assert hint in result.stderr and result.stdout == ""
    assert "Traceback" not in result.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{PYTHON} -m gossamer settings --format json | head -n 1; exit ${{PIPESTATUS[0]}}"
    for _ in range(3):
        result = run(["bash", "-c", command])
        assert result.stderr == "" and result.returncode in (0, 141)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_messages_survive_a_full_disk() -> None:
    result = run(["bash", "-c", f"{PYTHON} -m gossamer run no-such-command 2>/dev/full"])
    assert result.returncode == 127


def test_options_end_at_the_command() -> None:
    request = parse(["--service", "a", "--env=b", "--view", "python", "--service", "c"])
    assert request.command == ["python", "--service", "c"]
    assert request.variables == {"DD_SERVICE": "a", "DD_ENV": "b"} and request.view
    assert parse(["--", "--view"]).command == ["--view"]
    with pytest.raises(Failure):
        parse(["--service"])


def test_the_path_is_prefixed_once() -> None:
    ours = str(ROOT / "src" / "gossamer" / "_bootstrap")
    once = environment({"PYTHONPATH": f"/a{os.pathsep}/b", "X": "1"}, {"Y": "2"})
    assert once["PYTHONPATH"] == os.pathsep.join([ours, "/a", "/b"]) and once["X"] == "1" and once["Y"] == "2"
    assert environment(once, {})["PYTHONPATH"] == once["PYTHONPATH"]
    assert environment({}, {})["PYTHONPATH"] == environment({"PYTHONPATH": ""}, {})["PYTHONPATH"] == ours
    assert environment({"PYTHONPATH": f"/a{os.pathsep}"}, {})["PYTHONPATH"] == f"{ours}{os.pathsep}/a{os.pathsep}"


# --- settings --------------------------------------------------------------------------------------------------------


def rows(result: Result) -> Dict[str, Any]:
    return {row["name"]: row for row in json.loads(result.stdout)["settings"]}


def test_settings() -> None:
    result = cli("settings", "--format", "json", DD_SERVICE="shop", OTEL_SERVICE_NAME="other", DD_TRACE_RATE_LIMIT="x")
    found = rows(result)
    assert (found["service"]["value"], found["service"]["origin"]) == ("shop", "DD_SERVICE")
    assert found["service"]["ignored"] == ["OTEL_SERVICE_NAME"]
    assert (found["rate_limit"]["value"], found["rate_limit"]["origin"]) == ("100", "default")
    assert "DD_TRACE_RATE_LIMIT='x'" in found["rate_limit"]["problems"][0]
    assert result.returncode == 0 and result.stderr == ""


def test_settings_as_a_table_with_notes_after_it() -> None:
    result = cli(
        "settings", DD_TRACE_SMAPLE_RATE="1", DD_SERVICE="a", OTEL_SERVICE_NAME="b", DD_TRACE_ENABLED="perhaps"
    )
    assert result.stdout.splitlines()[0].split()[:3] == ["setting", "value", "origin"]
    assert "\033" not in result.stdout
    assert "service: DD_SERVICE counts, not OTEL_SERVICE_NAME" in result.stderr
    assert "DD_TRACE_SMAPLE_RATE: there is no such setting; did you mean DD_TRACE_SAMPLE_RATE?" in result.stderr
    assert result.stderr.count("DD_TRACE_ENABLED='perhaps' is not true or false; using the default, true") == 1


def test_settings_hide_secrets() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=hunter2",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:hunter2@collector:4318",
        "DD_TRACE_AGENT_URL": "http://user:hunter2@agent:8126",
    }
    for format in ("table", "json", "tsv", "md"):
        result = cli("settings", "--format", format, **environ)
        assert "hunter2" not in result.stdout + result.stderr and "(hidden)" in result.stdout


def test_settings_of_integrations() -> None:
    found = rows(cli("settings", "--format", "json", DD_TRACE_FLASK_ENABLED="false", DD_FLASK_SERVICE="web"))
    assert found["flask.enabled"]["origin"] == "DD_TRACE_FLASK_ENABLED" and found["flask.enabled"]["value"] == "false"
    assert found["flask.service"]["value"] == "web"


@pytest.mark.parametrize("format", ["tsv", "md"])
def test_listing_formats(format: str) -> None:
    lines = cli("settings", "--format", format).stdout.splitlines()
    separator = "\t" if format == "tsv" else "|"
    assert len({line.count(separator) for line in lines}) == 1 and len(lines) > 30


INTEGRATIONS = [("redis", ["query_limit"]), ("http_client", [])]


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("DD_TRACE_AGNET_URL", "DD_TRACE_AGENT_URL"),
        ("DD_SERVCE", "DD_SERVICE"),
        ("DD_TAG", "DD_TAGS"),
        ("OTEL_SERVICE_NAMES", "OTEL_SERVICE_NAME"),
        ("OTEL_EXPORTER_OTLP_ENDPIONT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("DD_TRACE_REDIS_ENABLE", "DD_TRACE_REDIS_ENABLED"),
        ("GOSSAMER_REDIS_QUERY_LIMITS", "GOSSAMER_REDIS_QUERY_LIMIT"),
        ("GOSSAMER_SOMETHING_ELSE_ALTOGETHER", ""),
        ("DD_TRACE_SAMPLING_RULES", ""),
    ],
)
def test_misspelt_names(variable: str, meant: str) -> None:
    assert misspelt.unknown({variable: "x"}, INTEGRATIONS) == [(variable, meant)]


@pytest.mark.parametrize(
    "variable",
    ["DD_API_KEY", "DD_SITE", "DD_SERVICE", "DD_TRACE_REDIS_ENABLED", "GOSSAMER_REDIS_QUERY_LIMIT",
     "DD_HTTP_CLIENT_SERVICE", "OTEL_METRICS_EXPORTER", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
     "OTEL_EXPORTER_OTLP_LOGS_HEADERS", "PATH", "OTEL_TRACES_SAMPLER_ARG", "DD_PROFILING_ENABLED", "DD_LOGS_ENABLED"],
)  # fmt: skip
def test_names_that_mean_something_elsewhere_are_left_alone(variable: str) -> None:
    assert misspelt.unknown({variable: "x"}, INTEGRATIONS) == []


# --- integrations ----------------------------------------------------------------------------------------------------


def test_integrations() -> None:
    result = cli("integrations", "--format", "json")
    flask = next(row for row in json.loads(result.stdout) if row["name"] == "flask")
    assert flask["automatic"] is True and flask["versions"].startswith("flask >=")
    assert flask["switch"] == "DD_TRACE_FLASK_ENABLED"
    table = cli("integrations").stdout
    assert any(line.split()[0] == "flask" for line in table.splitlines())


# --- doctor ----------------------------------------------------------------------------------------------------------

LIBRARY = "def call():\n    return 1\n"


def examine(*words: Any, **options: Any) -> Dict[str, Any]:
    result = cli("doctor", "--format", "json", *words, **options)
    facts: Dict[str, Any] = json.loads(result.stdout)
    assert result.returncode == (1 if facts["problems"] else 0), result
    facts["rows"] = {row["library"]: row for row in facts["libraries"]}
    facts["stderr"] = result.stderr
    return facts


def test_doctor_finds_all_well(capture_agent: CaptureAgent) -> None:
    pytest.importorskip("flask")
    facts = examine(DD_TRACE_AGENT_URL=capture_agent.url)
    assert facts["problems"] == [], facts["problems"]
    flask = facts["rows"]["flask"]
    assert flask["state"] == "hooked" and flask["version"] and flask["supported"]
    assert facts["destinations"][0]["reachable"] and facts["destinations"][0]["detail"] == "version 7.60.0"
    assert facts["core"] in ("pure", "native")


def test_doctor_as_a_table(capture_agent: CaptureAgent) -> None:
    result = cli("doctor", DD_TRACE_AGENT_URL=capture_agent.url)
    assert "reachable (version 7.60.0)" in result.stdout and "library" in result.stdout


def test_doctor_reports_what_is_switched_off(capture_agent: CaptureAgent) -> None:
    pytest.importorskip("flask")
    facts = examine(DD_TRACE_AGENT_URL=capture_agent.url, DD_TRACE_FLASK_ENABLED="false")
    row = facts["rows"]["flask"]
    assert row["state"] == "disabled" and "DD_TRACE_FLASK_ENABLED" in row["detail"] and not facts["problems"]
    facts = examine(DD_TRACE_ENABLED="false", DD_TRACE_AGENT_URL=capture_agent.url)
    assert facts["problems"] == ["tracing is off, by DD_TRACE_ENABLED"] and facts["rows"]["flask"]["state"] == "off"


def test_doctor_reports_an_unreachable_agent_and_bad_settings() -> None:
    facts = examine(DD_TRACE_AGENT_URL=NOWHERE, DD_TRACE_RATE_LIMIT="x")
    assert any(NOWHERE in problem for problem in facts["problems"])
    assert any("DD_TRACE_RATE_LIMIT" in problem for problem in facts["problems"])


def test_doctor_asks_a_collector(capture_agent: CaptureAgent) -> None:
    pytest.importorskip("opentelemetry.proto.collector")
    facts = examine(OTEL_EXPORTER_OTLP_ENDPOINT=capture_agent.otlp_url)
    assert [(row["kind"], row["reachable"]) for row in facts["destinations"]] == [("otlp", True)]


def test_doctor_reports_an_unsupported_version(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    (tmp_path / "flask-0.1.dist-info").mkdir()
    (tmp_path / "flask.py").write_text("__version__ = '0.1'")
    path = os.pathsep.join([str(tmp_path), str(ROOT / "src")])
    facts = examine(DD_TRACE_AGENT_URL=capture_agent.url, PYTHONPATH=path)
    row = facts["rows"]["flask"]
    assert (row["state"], row["version"]) == ("unsupported", "0.1")
    assert any(problem.startswith("flask: ") for problem in facts["problems"])


def test_doctor_of_a_program(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    path = tmp_path / "app.py"
    path.write_text("import http.client; print('output')")
    facts = examine(PYTHON, path, DD_TRACE_AGENT_URL=capture_agent.url)
    assert facts["exit_code"] == 0 and facts["processes"] == 1 and facts["service"] == "app"
    assert facts["stderr"] == "output\n"
    assert facts["rows"]["httplib"]["state"] == "hooked"
    if "flask" in facts["rows"]:
        assert facts["rows"]["flask"]["state"] == "not imported"


def test_doctor_shows_the_line_of_an_import_that_came_too_early(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    """With a library of the standard library's kind: a function that the program took before we started."""
    path = tmp_path / "app.py"
    path.write_text(
        "import sys\n"
        "from requests.api import request as fetch\n"
        "import gossamer.auto\n"
        "from gossamer import _start\n"
        "from gossamer.instrument import Integration\n"
        "early = Integration('early')\n"
        "early.trace('requests.api:request')(lambda call: None)\n"
        "_start.engine.load_all = lambda load=_start.engine.load_all: load() + [early]\n"
        "_start.engine.add(early)\n"
    )
    pytest.importorskip("requests")
    facts = examine("--as-is", PYTHON, path, DD_TRACE_AGENT_URL=capture_agent.url)
    (line,) = facts["rows"]["early"]["late"]
    assert line == f"{path}:2: `fetch` was imported from requests.api before Gossamer started and is not traced"


def test_doctor_of_a_program_that_does_not_start_us(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    path = tmp_path / "app.py"
    path.write_text("")
    facts = examine("--as-is", PYTHON, path, DD_TRACE_AGENT_URL=capture_agent.url)
    assert any("has not started the tracer" in problem for problem in facts["problems"])


# --- with the viewer -------------------------------------------------------------------------------------------------

VIEWED = """
import json, os, sys, time, urllib.request, gossamer
with gossamer.trace("viewed"):
    pass
assert gossamer.flush()
url = os.environ["DD_TRACE_AGENT_URL"]
print(url)
json.loads(urllib.request.urlopen(url + "/api/status", timeout=5).read().decode())
sys.exit(4)
"""

# `gossamer run --view` that looks on a port of its own instead of the usual one, where another run's viewer may be.
VIEW = """
import sys
from gossamer import cli
from gossamer._cli import beside
beside.PORT = int(sys.argv[1])
sys.exit(cli.main(["run", "--view"] + sys.argv[2:]))
"""


def view(*command: Any) -> List[str]:
    return [PYTHON, "-c", VIEW, str(free_port()), *map(str, command)]


def test_view(tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_text(VIEWED)
    result = run(view(PYTHON, path), HOME=tmp_path, XDG_DATA_HOME=tmp_path, XDG_CACHE_HOME=tmp_path, timeout=60)
    assert result.returncode == 4, result
    url = result.stdout.strip()
    assert f"traces of this program: {url}" in result.stderr
    with pytest.raises(OSError):  # gone with the program
        import urllib.request

        urllib.request.urlopen(url + "/api/status", timeout=2)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_view_passes_signals_on(number: int, code: int, tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_text("import signal, time\nsignal.signal(2, signal.SIG_DFL)\nprint('ready', flush=True)\ntime.sleep(60)")
    environ = clean_environment(HOME=tmp_path, XDG_DATA_HOME=tmp_path, XDG_CACHE_HOME=tmp_path)
    process = subprocess.Popen(
        view(PYTHON, path), env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == code, errors
    finally:
        process.kill()
        process.communicate()


def test_view_of_a_command_that_cannot_start(tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"\x00\x01")
    (tmp_path / "broken").chmod(0o755)
    result = run(view("./broken"), cwd=tmp_path, HOME=tmp_path, XDG_DATA_HOME=tmp_path, timeout=60)
    assert result.returncode == 126, result
