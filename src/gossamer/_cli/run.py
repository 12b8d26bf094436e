"""`gossamer run`: start a program in an environment in which every Python starts the tracer by itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import Any, Dict, List, Mapping, NamedTuple, NoReturn, Tuple

from gossamer._cli.output import USAGE, message

NOT_EXECUTABLE, NOT_FOUND = 126, 127
_SIGNALS = ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
_VARIABLES = {
    "--service": "DD_SERVICE",
    "--env": "DD_ENV",
    "--agent": "DD_TRACE_AGENT_URL",
    "--otlp": "OTEL_EXPORTER_OTLP_ENDPOINT",
}
HELP = """\
usage: {name} [OPTIONS] [--] COMMAND [ARGUMENTS]

Run a program with tracing: COMMAND is what you would have typed without it.

  {name} python app.py
  {name} python -m package
  {name} gunicorn shop:app --workers 4
  {name} --view flask --app shop run

options:
  --view           show the traces in the viewer while the program runs
  --service NAME   name of the application (DD_SERVICE)
  --env NAME       its environment, such as production (DD_ENV)
  --agent URL      send to this Datadog Agent (DD_TRACE_AGENT_URL)
  --otlp URL       send to this OpenTelemetry collector (OTEL_EXPORTER_OTLP_ENDPOINT)
  -h, --help       this text

Python programs that the command starts are traced too: workers, reloaders, subprocesses. An interpreter that is started
with -S, -E or -I, or with an environment of its own, is not; `import gossamer.auto` as the first line works there.

The exit code is the command's own; 127: not found, 126: cannot be executed, 2: wrong usage.
"""


class Failure(Exception):
    """A message for the user and the exit code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Request(NamedTuple):
    """What the arguments ask for."""

    command: List[str]
    variables: Dict[str, str]
    view: bool
    help: bool


def main(arguments: List[str], name: str = "gossamer run") -> int:
    """Run the program; without a viewer beside it this process becomes the program and does not return."""
    try:
        request = parse(arguments)
        if request.help:
            sys.stdout.write(HELP.format(name=name))
            return 0
        environ = environment(os.environ, request.variables)
        path = find(request.command[0], environ)
        if request.view:
            return _run_beside_viewer(path, request.command, environ)
        _replace(path, request.command, environ)
    except Failure as failure:
        message(str(failure))
        if failure.code == USAGE:
            message(f"`{name} --help` tells how it is used")
        return failure.code


def parse(arguments: List[str]) -> Request:
    """Our options stand before the command; everything from the command on is its own."""
    variables: Dict[str, str] = {}
    view = False
    index = 0
    while index < len(arguments):
        word = arguments[index]
        index += 1
        if word == "--":
            break
        if word in ("-h", "--help"):
            return Request([], {}, False, True)
        option, equals, value = word.partition("=")
        if word == "--view":
            view = True
        elif option in _VARIABLES:
            if not equals:
                if index >= len(arguments):
                    raise Failure(USAGE, f"{option} needs a value")
                value = arguments[index]
                index += 1
            variables[_VARIABLES[option]] = value
        elif word.startswith("-"):
            raise Failure(USAGE, f"there is no option {word}{_hint_for_option(word)}")
        else:
            index -= 1
            break
    command = arguments[index:]
    if not command:
        raise Failure(USAGE, "no command was given")
    return Request(command, variables, view, False)


def _hint_for_option(word: str) -> str:
    if word in ("-m", "-c"):
        return f"; did you mean `python {word} ...`?"
    return ""


def environment(environ: Mapping[str, str], variables: Mapping[str, str]) -> Dict[str, str]:
    """The environment for the program: our folder first on its Python path, and what the options set."""
    ours = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "_bootstrap")
    before = environ.get("PYTHONPATH", "")
    # An empty entry among others is the current folder to Python, and is kept.
    entries = [entry for entry in before.split(os.pathsep) if entry != ours] if before else []
    result = dict(environ)
    result["PYTHONPATH"] = os.pathsep.join([ours, *entries])
    result.update(variables)
    return result


def find(command: str, environ: Mapping[str, str]) -> str:
    """The file to execute, found as a shell finds it."""
    if not command:
        raise Failure(NOT_FOUND, "the command is empty")
    if os.path.dirname(command):
        if not os.path.exists(command):
            raise Failure(NOT_FOUND, f"{command}: no such file")
        if os.path.isdir(command):
            raise Failure(NOT_EXECUTABLE, f"{command}: is a directory")
        if not os.access(command, os.X_OK):
            raise Failure(NOT_EXECUTABLE, f"{command}: is not executable{_hint_for_script(command)}")
        return command
    found = shutil.which(command, path=environ.get("PATH", os.defpath))
    if found is None:
        raise Failure(NOT_FOUND, f"{command}: command not found{_hint_for_script(command)}")
    return found


def _hint_for_script(command: str) -> str:
    if command.endswith((".py", ".pyw")) and os.path.isfile(command):
        return f"; did you mean `python {command}`?"
    return ""


def _replace(path: str, command: List[str], environ: Mapping[str, str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(path, command, environ)
    except OSError as error:
        raise _not_started(command[0], error) from None


def _not_started(command: str, error: OSError) -> Failure:
    code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
    return Failure(code, f"{command}: {error.strerror or error}{_hint_for_script(command)}")


# --- with a viewer ---------------------------------------------------------------------------------------------------


def _run_beside_viewer(path: str, command: List[str], environ: Dict[str, str]) -> int:
    from gossamer._cli import beside

    viewer = beside.find_or_start()
    if viewer is None:
        message("the program runs without it")
        _replace(path, command, environ)
    named = environ.get("DD_TRACE_AGENT_URL")
    environ["DD_TRACE_AGENT_URL"] = viewer.url
    message(f"traces of this program: {viewer.url}")
    if named and named.rstrip("/") != viewer.url:
        message(f"DD_TRACE_AGENT_URL={named} does not count while --view is given")
    try:
        return _supervise(path, command, environ)
    finally:
        if viewer.stop():
            message("the program has ended, and the viewer with it; `gossamer viewer` shows the traces again")


def _supervise(path: str, command: List[str], environ: Mapping[str, str]) -> int:
    """Run the program as a child in our place: it gets our signals, we end with its exit code."""
    children: List[subprocess.Popen[bytes]] = []
    pending: List[int] = []

    def forward(number: int, _: Any) -> None:
        if not children:
            pending.append(number)
        elif children[0].poll() is None:
            children[0].send_signal(number)

    def interrupt(number: int, frame: Any) -> None:
        # Ctrl-C reaches the whole foreground group by itself; a second copy would interrupt the program's clean-up.
        if not _in_foreground():
            forward(number, frame)

    before = _install(forward, interrupt)
    try:
        try:
            child = subprocess.Popen(command, executable=path, env=dict(environ), preexec_fn=lambda: _restore(before))
        except OSError as error:
            raise _not_started(command[0], error) from None
        children.append(child)
        for number in pending:
            child.send_signal(number)
        code = child.wait()
    finally:
        _restore(before)
    return code if code >= 0 else 128 - code


def _install(forward: Any, interrupt: Any) -> List[Tuple[int, Any]]:
    before = []
    for name in _SIGNALS + ("SIGINT",):
        number = getattr(signal, name, None)
        # A signal that is ignored here (nohup) stays ignored, there too.
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            before.append((int(number), signal.signal(number, interrupt if name == "SIGINT" else forward)))
    return before


def _restore(before: List[Tuple[int, Any]]) -> None:
    for number, handler in before:
        signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _in_foreground() -> bool:
    for stream in (0, 1, 2):
        try:
            return os.tcgetpgrp(stream) == os.getpgrp()
        except OSError:
            continue
    return False
