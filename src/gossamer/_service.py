"""The name of the service where none is set: what the command line of the process says it runs."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Mapping, Optional, Sequence

FALLBACK = "python"

# Servers and runners whose first argument, or one of these options, names the application.
_SERVERS = {
    "gunicorn": (), "uvicorn": (), "hypercorn": (), "daphne": (), "granian": (), "waitress-serve": (), "waitress": (),
    "bjoern": (), "sanic": (), "dramatiq": (), "rq": (), "arq": (), "fastapi": (), "streamlit": (),
    "litestar": ("--app",), "flask": ("--app", "-A"), "celery": ("-A", "--app"),
    "uwsgi": ("-w", "--module", "--wsgi-file"),
}  # fmt: skip
# Runners whose first plain argument is a command, not the application.
_COMMANDS = {"fastapi", "streamlit", "rq"}
# Last parts of a module path that say nothing where a package stands before them.
_GENERIC = {"wsgi", "asgi", "main", "app", "application", "server", "api", "__main__", "web"}
_PARENTS = 4


def infer(environ: Mapping[str, str], arguments: Optional[Sequence[str]] = None) -> str:
    """The name for a command line such as ``["python", "-m", "shop.server"]``; by default that of this process."""
    try:
        return _infer(list(_command_line() if arguments is None else arguments), environ) or FALLBACK
    except Exception:  # a strange command line must not cost the start
        return FALLBACK


def _infer(arguments: List[str], environ: Mapping[str, str]) -> str:
    """The first word is the interpreter, or the program that embeds it."""
    if not arguments:
        return ""
    program = _stem(arguments[0])
    if program in _SERVERS:
        return _of_server(program, arguments[1:], environ)
    index = 1
    while index < len(arguments):
        word = arguments[index]
        if not word.startswith("-") or word == "-":
            return _of_script(word, arguments[index + 1 :], environ) if word != "-" else ""
        for position, letter in enumerate(word[1:], 1):
            if letter == "-":  # --check-hash-based-pycs and the like
                index += 1 if word == "--check-hash-based-pycs" else 0
                break
            if letter == "c":
                return ""
            if letter == "m":
                rest = word[position + 1 :]
                after = arguments[index + 1 :]
                return _of_module(rest or after[0], after if rest else after[1:], environ)
            if letter in "WX":
                index += 1 if position == len(word) - 1 else 0
                break
        index += 1
    return ""


def _of_script(path: str, rest: List[str], environ: Mapping[str, str]) -> str:
    name = _stem(path)
    if name in _SERVERS:
        return _of_server(name, rest, environ)
    if name in ("manage", "__main__"):  # the folder has the name that counts
        folder = os.path.basename(os.path.dirname(os.path.abspath(path)))
        return folder or name
    return name


def _of_module(module: str, rest: List[str], environ: Mapping[str, str]) -> str:
    return _of_server(module, rest, environ) if module in _SERVERS else _shorten(module)


def _of_server(server: str, rest: List[str], environ: Mapping[str, str]) -> str:
    """The application that a server is given: the value of its option, or the first word that looks like one."""
    for index, word in enumerate(rest):
        for option in _SERVERS[server]:
            if word == option and index + 1 < len(rest):
                return _of_target(rest[index + 1])
            if word.startswith(option + "=") or (len(option) == 2 and word.startswith(option) and len(word) > 2):
                return _of_target(word[len(option) :].lstrip("="))
    if server == "flask":
        return _of_target(environ["FLASK_APP"]) if environ.get("FLASK_APP") else "flask"
    if _SERVERS[server]:
        return server
    plain = [word for word in rest if not word.startswith("-")]
    named = [word for word in plain if _is_target(word)]
    if named:
        return _of_target(named[0])
    if server in _COMMANDS:
        return _of_target(plain[1]) if len(plain) > 1 and server != "rq" else server
    # Without "module:attribute" the application is most often the last word: options and their values stand before it.
    return _of_target(plain[-1]) if plain else server


def _is_target(word: str) -> bool:
    module, colon, attribute = word.partition(":")
    return bool(colon and attribute[:1].isidentifier() and all(part.isidentifier() for part in module.split(".")))


def _of_target(target: str) -> str:
    """``shop.wsgi:app`` is "shop", and so is ``shop/wsgi.py`` or ``shop:create_app()``."""
    module = target.partition(":")[0]
    if "/" in module or module.endswith(".py"):
        module = os.path.splitext(module)[0].strip("./").replace("/", ".")
    return _shorten(module)


def _shorten(module: str) -> str:
    parts = [part for part in module.split(".") if part]
    while len(parts) > 1 and parts[-1] in _GENERIC:
        parts.pop()
    return ".".join(parts)


def _stem(path: str) -> str:
    name = os.path.basename(path.rstrip("/"))
    stem, extension = os.path.splitext(name)
    return stem if extension.lower() in (".py", ".pyc", ".pyz", ".pyw", ".exe") else name


def _command_line() -> List[str]:
    """The command line of this process; for a child of `multiprocessing` that of the program that started it."""
    own = list(getattr(sys, "orig_argv", None) or _of_process("self") or getattr(sys, "argv", None) or [])
    parent: object = os.getppid()
    for _ in range(_PARENTS):
        if not _is_worker(own):
            break
        above = _of_process(parent)
        if not above:
            break
        own, parent = above, _parent_of(parent)
    return own


def _is_worker(arguments: List[str]) -> bool:
    """Whether this is how `multiprocessing` or `billiard` start an interpreter for a child."""
    if "--multiprocessing-fork" in arguments:
        return True
    code = arguments[arguments.index("-c", 1) + 1 :][:1] if "-c" in arguments[1:] else []
    return bool(code) and code[0].startswith(("from multiprocessing.", "from billiard."))


def _of_process(process: object) -> List[str]:
    try:
        with open(f"/proc/{process}/cmdline", "rb") as stream:
            return [os.fsdecode(word) for word in stream.read(65536).split(b"\0")[:-1]]
    except OSError:
        return []


def _parent_of(process: object) -> int:
    with open(f"/proc/{process}/stat", "rb") as stream:
        # The name, in parentheses, may hold blanks and parentheses itself.
        return int(stream.read(4096).rpartition(b")")[2].split()[1])
