"""`gossamer doctor`: what is traced in this environment, or in a program, what is not, and why."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib import import_module
from typing import Any, Dict, Iterable, List, Optional

from gossamer._cli import run
from gossamer._cli.messages import OK, PROBLEMS, USAGE, message
from gossamer._cli.output import color, print_json, print_rows, write
from gossamer._config import DEFAULT, masked
from gossamer._core import implementation, why_pure
from gossamer._service import infer
from gossamer._settings import Destination, Settings
from gossamer._version import __version__

_COLUMNS = {"library": "library", "version": "version", "supported": "supported", "state": "state", "detail": "detail"}
_PATIENCE = 2.0


def main(arguments: List[str]) -> int:
    """Print the findings; 0: all is well, 1: there are problems."""
    own, command = _split(arguments)
    options = _parser().parse_args(own)
    if options.cost:
        return _cost(command, options.format)
    settings = Settings(warn=False)
    facts: Dict[str, Any] = {
        **_versions(),
        "service": _service_of(settings, command),
        "destinations": [_reach(settings, destination) for destination in settings.destinations()],
    }
    if command:
        outcome = _of_program(command, options.as_is)
        if outcome is None:
            return PROBLEMS
        facts.update(outcome)
    else:
        facts["libraries"] = _of_environment()
    facts["problems"] = list(_problems(facts, settings))
    if options.format == "json":
        print_json(facts)
    else:
        _print(facts)
    return PROBLEMS if facts["problems"] else OK


def _versions() -> Dict[str, Any]:
    return {
        "gossamer": __version__,
        "core": implementation(),
        "why_pure": why_pure(),
        "python": f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})",
    }


def _cost(command: List[str], format: str) -> int:
    from gossamer._cli import cost

    if command:
        message("--cost measures in this process and takes no command")
        return USAGE
    # What a library prints while it is imported must not end up in the output.
    with contextlib.redirect_stdout(sys.stderr):
        facts = {**_versions(), **cost.measure()}
    if format == "json":
        print_json(facts)
    else:
        _print_versions(facts)
        cost.show(facts)
    return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gossamer doctor",
        usage="gossamer doctor [--format table|json] [--cost | [--as-is] COMMAND [ARGUMENTS]]",
        description="Tell which libraries are traced here, which are not, and why. With a command, that program is run "
        "to its end, and the answer is about it.",
        epilog="Exit code 0: all is well; 1: there are problems; 2: wrong usage.",
    )
    parser.add_argument("--format", choices=("table", "json"), default="table", help="default: table")
    parser.add_argument(
        "--cost",
        action="store_true",
        help="measure, here and now, what a span, a request and a call of each library cost",
    )
    parser.add_argument(
        "--as-is",
        action="store_true",
        help="run the command without `gossamer run`: it imports gossamer.auto by itself",
    )
    return parser


def _split(arguments: List[str]) -> tuple[List[str], List[str]]:
    """Our options, and the command that follows them."""
    index = 0
    while index < len(arguments) and arguments[index].startswith("-"):
        if arguments[index] == "--":
            return arguments[:index], arguments[index + 1 :]
        index += 2 if arguments[index] == "--format" else 1
    return arguments[:index], arguments[index:]


def _service_of(settings: Settings, command: List[str]) -> str:
    """The name that the program will have; without a program, only one that is set can be told."""
    value = settings.value(Settings.service)
    if value.origin != DEFAULT:
        return str(value.value)
    return infer(os.environ, command) if command else f"({Settings.service.default_text()})"


# --- what is looked at -----------------------------------------------------------------------------------------------


def _of_environment() -> List[Dict[str, Any]]:
    """Import every library here and see what the hooks find."""
    from gossamer import _start
    from gossamer._cli import report
    from gossamer._settings import settings

    broken: Dict[str, str] = {}
    if settings.trace_enabled:
        _start.engine.install()
        # What a library prints while it is imported must not end up in the output.
        with contextlib.redirect_stdout(sys.stderr):
            for integration in _start.engine.load_all():
                version, _, there = report.availability(integration)
                modules = {hook.module for hook in integration.hooks if version in hook.versions} if there else set()
                broken.update(_import(modules))
    return report.libraries(broken)


def _import(modules: Iterable[str]) -> Dict[str, str]:
    broken = {}
    for module in sorted(modules):
        try:
            import_module(module)
        except (Exception, SystemExit) as error:
            broken[module] = f"{module}: {type(error).__name__}: {error}"
    return broken


def _of_program(command: List[str], as_is: bool) -> Optional[Dict[str, Any]]:
    """Run a program to its end and read what its processes have left."""
    with tempfile.TemporaryDirectory(prefix="gossamer-doctor-") as folder:
        environ = dict(os.environ) if as_is else run.environment(os.environ, {})
        environ["GOSSAMER_DOCTOR_REPORTS"] = folder
        try:
            path = run.find(command[0], environ)
            code = subprocess.call(command, executable=path, env=environ, stdout=sys.stderr.fileno())
        except run.Failure as failure:
            message(str(failure))
            return None
        except KeyboardInterrupt:
            code = 130
        reports = []
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), encoding="utf-8") as stream:
                reports.append(json.load(stream))
    merged: Dict[str, Dict[str, Any]] = {}
    for facts in reports:
        for row in facts["libraries"]:
            known = merged.get(row["library"])
            if known is None or (known["state"] != "hooked" and row["state"] == "hooked"):
                merged[row["library"]] = row
    return {
        "command": " ".join(command),
        "exit_code": code,
        "processes": len(reports),
        "libraries": [merged[name] for name in sorted(merged)],
    }


def _reach(settings: Settings, destination: Destination) -> Dict[str, Any]:
    """Ask a destination whether it is there."""
    row: Dict[str, Any] = {"kind": destination.kind, "url": masked(destination.url), "reachable": True, "detail": ""}
    if destination.kind == "console":
        return row
    from gossamer._export.http import HttpClient, HttpError

    try:
        client = HttpClient(destination.url, timeout=_PATIENCE)
        if destination.kind == "agent":
            answer = client.request("GET", "/info")
            row["detail"] = _describe(answer.body) if answer.status == 200 else f"answers {answer.status}"
        else:
            json_body = settings.otlp_protocol == "http/json"
            headers = dict(settings.otlp_headers)
            headers["content-type"] = "application/json" if json_body else "application/x-protobuf"
            answer = client.request("POST", "", b"{}" if json_body else b"", headers)
            row["detail"] = f"answers {answer.status}"
            row["reachable"] = answer.status < 400
        client.close()
    except (HttpError, OSError, ValueError) as error:
        row.update(reachable=False, detail=str(error))
    return row


def _describe(body: bytes) -> str:
    try:
        version = json.loads(body.decode("utf-8")).get("version")
    except (ValueError, AttributeError):
        return "answers, but not as an Agent"
    return f"version {version}" if version else "answers"


# --- what is found ---------------------------------------------------------------------------------------------------


def _problems(facts: Dict[str, Any], settings: Settings) -> Iterable[str]:
    if not settings.trace_enabled:
        yield f"tracing is off, by {settings.value(Settings.trace_enabled).origin}"
    elif not facts["destinations"]:
        yield "spans are sent nowhere, by OTEL_TRACES_EXPORTER"
    for row in facts["destinations"]:
        if not row["reachable"]:
            yield f"{row['kind']} {row['url']}: {row['detail']}"
    if facts.get("processes") == 0:
        yield "the program has not started the tracer, or was ended before it could report"
    for row in facts["libraries"]:
        if row["problem"]:
            yield f"{row['library']}: {row['detail']}"
    for declaration in Settings.declarations():
        yield from settings.value(declaration).problems


def _print_versions(facts: Dict[str, Any]) -> None:
    write(f"gossamer {facts['gossamer']}, {facts['python']}\n")
    reason = f" ({' '.join(facts['why_pure'].split())})" if facts["why_pure"] else ""
    write(f"core: {facts['core']}{reason}\n")


def _print(facts: Dict[str, Any]) -> None:
    _print_versions(facts)
    write(f"service: {facts['service']}\n")
    for row in facts["destinations"]:
        state = (
            color("reachable", "green", sys.stdout) if row["reachable"] else color("not reachable", "red", sys.stdout)
        )
        write(f"destination: {row['kind']} {row['url']}".rstrip() + f": {state}")
        write(f" ({row['detail']})\n" if row["detail"] else "\n")
    if "command" in facts:
        write(f"program: {facts['command']}: exit code {facts['exit_code']}, processes traced: {facts['processes']}\n")
    write("\n")
    if facts["libraries"]:
        print_rows(facts["libraries"], _COLUMNS, "table")
    else:
        write("No library that Gossamer traces is installed here.\n")
    write("\n")
    for problem in facts["problems"]:
        write(color("problem", "red", sys.stdout) + f": {problem}\n")
    if not facts["problems"]:
        write(color("No problems found.", "green", sys.stdout) + "\n")
