"""The order of the layers, read from the source: who may import whom, deferred imports included.

Each part of the package imports only what is listed for it here. Imports under TYPE_CHECKING are held to the same
order: a type is knowledge, too. As they never run, they may name a package of types, and make no cycle.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Set, Tuple

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "gossamer"
MOST_LINES = 500

# Facts without behaviour, for everybody.
BASE = {"_version", "_log", "_config", "_fork"}
TRACER = BASE | {"_settings", "_core", "_trace"}
WIRE = TRACER | {"_wire"}
EXPORT = WIRE | {"_export"}
ENGINE = TRACER | {"_instrument"}
# part: the parts that it may import
ALLOWED: Dict[str, Set[str]] = {
    "_version": set(),
    "_fork": {"_version"},
    "_logger": {"_version"},
    "_log": {"_version", "_fork", "_logger"},
    "_config": {"_version", "_log"},
    "_readers": {"_version", "_log", "_config"},
    "_service": {"_version", "_log", "_config"},
    "_settings": BASE | {"_readers", "_service"},
    "_core": BASE,
    "_trace": BASE | {"_settings", "_core"},
    "_wire": TRACER,
    "_export": WIRE,
    "_instrument": TRACER,
    "_exit": ENGINE,
    "instrument": ENGINE,
    "integrations": {"instrument"},
    "viewer": {"_version", "_log", "_config", "_wire"},
}
# Above all layers: these may import any part.
TOP = {"", "__main__", "_begin", "_start", "auto", "cli", "_cli", "testing", "demo", "middleware", "_bootstrap"}
# What an integration's library is may be imported nowhere else.
STDLIB_ONLY = set(ALLOWED) - {"integrations"} | TOP - {"testing"}


class Import(NamedTuple):
    """One import statement, resolved."""

    file: str
    line: int
    name: str
    deferred: bool
    runs: bool

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line} imports {self.name}"


def files() -> List[Path]:
    return sorted(SOURCE.rglob("*.py"))


def module_of(path: Path) -> str:
    """The dotted name of a file."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in files()}


def imports(path: Path) -> Iterator[Import]:
    """All import statements of a file. `from package import module` counts as an import of that module."""
    tree = ast.parse(path.read_text(), str(path))
    inside = {id(node) for part in ast.walk(tree) if isinstance(part, FUNCTIONS) for node in ast.walk(part)}
    typing = {id(node) for part in ast.walk(tree) if for_types(part) for line in part.body for node in ast.walk(line)}
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    file = str(path.relative_to(SOURCE.parent))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = from_names(node, package)
        else:
            continue
        for name in names:
            yield Import(file, node.lineno, name, id(node) in inside, id(node) not in typing)


def for_types(node: ast.AST) -> bool:
    """Whether this is `if TYPE_CHECKING:`, or `if False:` where `typing` is too much to import."""
    test = node.test if isinstance(node, ast.If) else None
    return getattr(test, "id", getattr(test, "attr", "")) == "TYPE_CHECKING" or getattr(test, "value", None) is False


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def from_names(node: ast.ImportFrom, package: str) -> List[str]:
    """What a `from` import names: modules of ours as modules, the rest by the module they come from."""
    base = node.module or ""
    if node.level:
        parts = package.split(".")
        parts = parts[: len(parts) - node.level + 1]
        base = ".".join(parts + ([node.module] if node.module else []))
    names = [f"{base}.{alias.name}" for alias in node.names]
    return sorted({name if name in MODULES else base for name in names})


def part_of(name: str) -> str:
    """The part of the package that a module belongs to; empty for the package itself."""
    return (name.split(".") + [""])[1]


ALL = [(module, found) for module, path in MODULES.items() for found in imports(path)]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_what_stands_below_it(module: str) -> None:
    part = part_of(module)
    if part in TOP:
        return
    assert part in ALLOWED, f"{module}: give the new part its place in ALLOWED, and in ARCHITECTURE.md"
    allowed = ALLOWED[part] | {part}
    wrong = [
        found.place
        for owner, found in ALL
        if owner == module and is_ours(found.name) and part_of(found.name) not in allowed
    ]
    assert not wrong


def is_ours(name: str) -> bool:
    return name.split(".")[0] == "gossamer"


def test_the_tracer_imports_the_standard_library_alone() -> None:
    known = standard_library()
    wrong = [
        found.place
        for module, found in ALL
        if part_of(module) in STDLIB_ONLY
        and found.runs
        and not is_ours(found.name)
        and found.name.split(".")[0] not in known
    ]
    assert not wrong


def test_integrations_import_their_library_inside_functions_only() -> None:
    known = standard_library()
    wrong = [
        found.place
        for module, found in ALL
        if part_of(module) == "integrations"
        and not is_ours(found.name)
        and found.name.split(".")[0] not in known
        and found.runs
        and not found.deferred
    ]
    assert not wrong


def test_integrations_do_not_import_each_other() -> None:
    """But a folder's files may: that is one integration."""
    wrong = []
    for module, found in ALL:
        if part_of(module) == part_of(found.name) == "integrations" and is_ours(found.name):
            own, other = module.split(".")[2:3], found.name.split(".")[2:3]
            if other and own and own != other:
                wrong.append(found.place)
    assert not wrong


def standard_library() -> Set[str]:
    """Top-level names of the standard library."""
    names = getattr(sys, "stdlib_module_names", None)
    if names is None:
        pytest.skip("sys.stdlib_module_names is new in Python 3.10")
    # Gone from newer versions, but there on the older ones that we run on.
    gone = {"distutils", "imp", "asynchat", "asyncore", "smtpd", "cgi"}
    return set(names) | gone | {"sitecustomize", "usercustomize"}


def test_no_cycles() -> None:
    """Neither at import time nor through deferred imports."""
    graph: Dict[str, Set[str]] = {module: set() for module in MODULES}
    for module, found in ALL:
        if is_ours(found.name) and found.runs:
            graph[module].add(found.name)
    cycles = [sorted(group) for group in components(graph) if len(group) > 1]
    assert not cycles


def components(graph: Dict[str, Set[str]]) -> Iterator[List[str]]:
    """Strongly connected components (Tarjan), without recursion."""
    index: Dict[str, int] = {}
    low: Dict[str, int] = {}
    stack: List[str] = []
    for root in graph:
        if root in index:
            continue
        work: List[Tuple[str, Iterator[str]]] = []
        node = root
        index[node] = low[node] = len(index)
        stack.append(node)
        work.append((node, iter(sorted(graph.get(node, ())))))
        while work:
            node, children = work[-1]
            child = next(children, None)
            if child is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    group = stack[stack.index(node) :]
                    del stack[stack.index(node) :]
                    yield group
            elif child not in index:
                index[child] = low[child] = len(index)
                stack.append(child)
                work.append((child, iter(sorted(graph.get(child, ())))))
            elif child in stack:
                low[node] = min(low[node], index[child])


def test_components_finds_a_cycle() -> None:
    """The search itself: a cycle behind a chain, and a module that is on none."""
    graph = {"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": {"b", "e"}, "e": set()}
    assert sorted(sorted(group) for group in components(graph)) == [["a"], ["b", "c", "d"], ["e"]]


@pytest.mark.parametrize("path", files(), ids=module_of)
def test_files_stay_short(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= MOST_LINES, f"{path.relative_to(SOURCE.parent)} has {lines} lines, {MOST_LINES} are the limit"


def test_public_modules_only_re_export() -> None:
    """`import gossamer` and `gossamer.instrument` define nothing themselves."""
    for name in ("gossamer", "gossamer.instrument"):
        if name not in MODULES:
            continue
        tree = ast.parse(MODULES[name].read_text())
        defined = [node.name for node in tree.body if isinstance(node, FUNCTIONS[:2] + (ast.ClassDef,))]
        assert not [item for item in defined if not item.startswith("__")], name
