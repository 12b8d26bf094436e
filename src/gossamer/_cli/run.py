"""`gossamer run`: start a program in an environment in which every Python starts the tracer by itself."""

from __future__ import annotations

import os
import sys

from gossamer._cli.messages import USAGE, message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Mapping, NoReturn, Optional

NOT_EXECUTABLE, NOT_FOUND = 126, 127
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


class Request:
    """What the arguments ask for."""

    __slots__ = ("command", "variables", "view", "help")

    def __init__(self, command: List[str], variables: Dict[str, str], view: bool, help: bool) -> None:
        self.command = command
        self.variables = variables
        self.view = view
        self.help = help


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
            code = _beside_viewer(path, request.command, environ)
            if code is not None:
                return code
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
    found = _which(command, environ.get("PATH", os.defpath))
    if found is None:
        raise Failure(NOT_FOUND, f"{command}: command not found{_hint_for_script(command)}")
    return found


def _which(command: str, path: str) -> Optional[str]:
    if os.name == "nt":  # where a name may stand without its extension
        from shutil import which

        return which(command, path=path)
    for folder in path.split(os.pathsep):
        file = os.path.join(folder or os.curdir, command)
        if os.path.isfile(file) and os.access(file, os.X_OK):
            return file
    return None


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


def _beside_viewer(path: str, command: List[str], environ: Dict[str, str]) -> Optional[int]:
    """The exit code of the program; None if there is no viewer and it has not been started."""
    from gossamer._cli import supervise  # a large import, and our own process is to become the program at once

    try:
        return supervise.beside_viewer(path, command, environ)
    except supervise.NotStarted as failure:
        raise _not_started(command[0], failure.error) from None
