"""The command line: `gossamer run|viewer|doctor|integrations|settings|demo`, and `gossamer-run` for short."""

from __future__ import annotations

import os
import sys

from gossamer._cli.messages import USAGE, message
from gossamer._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, List, Optional, Sequence

INTERRUPTED, BROKEN_PIPE = 130, 141


class Command:
    """A command: one line about it, and what runs it."""

    __slots__ = ("summary", "main")

    def __init__(self, summary: str, main: Callable[[List[str]], int]) -> None:
        self.summary = summary
        self.main = main


def _run(arguments: List[str]) -> int:
    from gossamer._cli import run

    return run.main(arguments, "gossamer run")


def _viewer(arguments: List[str]) -> int:
    from gossamer.viewer import command

    return command.main(arguments)


def _doctor(arguments: List[str]) -> int:
    from gossamer._cli import doctor

    return doctor.main(arguments)


def _integrations(arguments: List[str]) -> int:
    from gossamer._cli import tables

    return tables.integrations(arguments)


def _settings(arguments: List[str]) -> int:
    from gossamer._cli import tables

    return tables.settings(arguments)


COMMANDS: Dict[str, Command] = {
    "run": Command("run a program with tracing", _run),
    "viewer": Command("receive and show traces on this machine", _viewer),
    "doctor": Command("tell what is traced here, what is not, and why", _doctor),
    "integrations": Command("list the libraries that are traced", _integrations),
    "settings": Command("list the settings, their values, and where these come from", _settings),
}


def usage() -> str:
    """The text of `gossamer help`."""
    lines = ["usage: gossamer COMMAND [ARGUMENTS]", "", "commands:"]
    lines += [f"  {name:<14}{command.summary}" for name, command in COMMANDS.items()]
    lines += ["", "`gossamer COMMAND --help` tells more about one. `gossamer --version` prints the version."]
    return "\n".join(lines) + "\n"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """The command `gossamer`: runs what the arguments say and answers the exit code."""
    return _guarded(lambda: _dispatch(list(sys.argv[1:] if argv is None else argv)))


def main_run(argv: Optional[Sequence[str]] = None) -> int:
    """The command `gossamer-run`."""
    from gossamer._cli import run

    return _guarded(lambda: run.main(list(sys.argv[1:] if argv is None else argv), "gossamer-run"))


def _dispatch(arguments: List[str]) -> int:
    name = arguments[0] if arguments else ""
    rest = arguments[1:]
    if name in COMMANDS:
        return COMMANDS[name].main(rest)
    if name in ("--version", "-V"):
        sys.stdout.write(f"gossamer {__version__}\n")
        return 0
    if name == "help" and rest and rest[0] in COMMANDS:
        return COMMANDS[rest[0]].main(["--help"])
    if name in ("help", "--help", "-h"):
        sys.stdout.write(usage())
        return 0
    if not name:
        sys.stderr.write(usage())
        return USAGE
    message(f"there is no command {name!r}{_hint(name)}; `gossamer help` lists them")
    return USAGE


def _hint(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, n=1)
    return f", did you mean {near[0]!r}?" if near else ""


def _guarded(command: Callable[[], int]) -> int:
    """Run a command the way a Unix tool ends: quietly if its reader has gone, with 130 on Ctrl-C."""
    try:
        try:
            code = command()
        except SystemExit as leaving:  # argparse
            code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The interpreter flushes once more at exit; that must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
