"""What is traced in this process and what is not: the facts that `gossamer doctor` prints."""

from __future__ import annotations

import ast
import atexit
import json
import os
import sys
from types import ModuleType
from typing import Any, Dict, Iterator, List, Optional, Tuple

from gossamer import _start
from gossamer._instrument.status import FAILED, HOOKED, MISSING, REMOVED, Site
from gossamer._instrument.versions import Range, installed
from gossamer._settings import settings

NOT_IMPORTED, OFF, DISABLED, UNSUPPORTED, BROKEN = (
    "not imported",
    "off",
    "disabled",
    "unsupported",
    "cannot be imported",
)
_LARGEST_SOURCE = 5_000_000


def libraries(broken: Optional[Dict[str, str]] = None) -> List[Dict[str, Any]]:
    """A row for every library that this interpreter can import; `broken` tells of modules that failed to import."""
    rows = []
    for integration in _start.engine.load_all():
        version, supported, there = availability(integration)
        if there:
            rows.append(_row(integration, version, supported, broken or {}))
    return rows


def availability(integration: Any) -> Tuple[Optional[str], str, bool]:
    """(installed version, supported range, whether the library is there at all)."""
    for package, supported in integration.packages.items():
        version = installed.version(package)
        if version is not None:
            return version, supported, True
    if integration.packages:
        # Without metadata (a vendored copy), only an import tells.
        there = any(hook.module in sys.modules for hook in integration.hooks)
        return None, next(iter(integration.packages.values())), there
    return None, "", any(_is_there(hook.module) for hook in integration.hooks)


def _is_there(module: str) -> bool:
    from importlib.util import find_spec

    try:
        return module in sys.modules or find_spec(module.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def _row(integration: Any, version: Optional[str], supported: str, broken: Dict[str, str]) -> Dict[str, Any]:
    row: Dict[str, Any] = {
        "library": integration.name,
        "version": version,
        "supported": supported,
        "state": NOT_IMPORTED,
        "detail": "",
        "hooks": [],
        "late": [],
        "problem": False,
    }
    own = _start.configure(integration)
    status = _start.engine.statuses.get(integration.name)
    failures = [broken[hook.module] for hook in integration.hooks if hook.module in broken]
    if not settings.trace_enabled:
        row.update(state=OFF, detail="tracing is off")
    elif status is not None and status.state == HOOKED:
        _add_hooks(row, status)
    elif not own.enabled:
        row.update(state=DISABLED, detail=own.reason)
    elif version is not None and version not in Range(supported):
        row.update(state=UNSUPPORTED, detail="this version is not supported", problem=True)
    elif failures:
        row.update(state=BROKEN, detail=failures[0])
    elif not integration.automatic and status is None:
        row.update(state=OFF, detail=f'not automatic: gossamer.patch("{integration.name}") switches it on')
    return row


def _add_hooks(row: Dict[str, Any], status: Any) -> None:
    row["state"] = HOOKED
    row["hooks"] = [{"target": target, "state": state, "detail": detail} for target, state, detail in status.hooks]
    bad = [hook for hook in row["hooks"] if hook["state"] in (MISSING, FAILED, REMOVED)]
    if bad:
        row["detail"] = "; ".join("{target} is {state}".format(**hook) for hook in bad)
        row["problem"] = True
    row["late"] = [line for site in status.sites if site.late for line in kept_references(site)]
    if row["late"]:
        row["detail"] = "; ".join(filter(None, [row["detail"], *row["late"]]))
        row["problem"] = True


def kept_references(site: Site) -> Iterator[str]:
    """Where the program has taken an unwrapped function of a library by name before the tracer started."""
    original = site.original
    if original is None or len(site.hook.path) != 1:  # a method is looked up in its class: nobody keeps the old one
        return
    library = site.hook.module.partition(".")[0]
    for name, module in list(sys.modules.items()):
        if not isinstance(module, ModuleType) or name.partition(".")[0] in (library, "gossamer"):
            continue
        for key, value in list(vars(module).items()):
            if value is original:
                place = _place_of_import(module, key)
                yield f"{place}: `{key}` was imported from {site.hook.module} before Gossamer started and is not traced"


def _place_of_import(module: ModuleType, name: str) -> str:
    """``file:line`` of the statement that gave a module this name; the file alone if the source does not tell."""
    file = getattr(module, "__file__", None)
    if file is None:  # the interpreter takes it from the main module before the exit functions run
        file = sys.argv[0] if module.__name__ == "__main__" else module.__name__
    try:
        if os.path.getsize(file) > _LARGEST_SOURCE:
            return str(file)
        with open(file, "rb") as source:
            tree = ast.parse(source.read())
    except (OSError, ValueError, SyntaxError, RecursionError):
        return str(file)
    for node in ast.walk(tree):
        if isinstance(node, (ast.ImportFrom, ast.Import)):
            if any((alias.asname or alias.name) in (name, "*") for alias in node.names):
                return f"{file}:{node.lineno}"
    return str(file)


# --- a report from inside a program ----------------------------------------------------------------------------------


def write_at_exit(folder: str) -> None:
    """Leave this process's rows in a file of the folder when it ends."""
    atexit.register(_write, folder, os.getpid())


def _write(folder: str, process: int) -> None:
    if os.getpid() != process:  # a forked child has no report of its own
        return
    try:
        facts = {"pid": process, "command": _command(), "libraries": libraries()}
        with open(os.path.join(folder, f"{process}.json"), "w", encoding="utf-8") as stream:
            json.dump(facts, stream)
    except Exception:  # the program's end is not ours to disturb
        pass


def _command() -> str:
    return " ".join(getattr(sys, "orig_argv", None) or getattr(sys, "argv", None) or ["python"])
