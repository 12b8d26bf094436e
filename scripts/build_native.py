"""The compiled core, built in place for the interpreters that the tests use.

    python3 scripts/build_native.py [--sanitize] [PYTHON ...]

PYTHON is a version (3.9) or a path; without any, 3.7 to 3.13. The extension is put beside src/gossamer/_core/pure.py;
what is up to date stays. One line for each interpreter. Exit code 1 when a build fails; without a C compiler, or
without the headers of an interpreter, there is nothing to fail: the core in plain Python does the work.

--sanitize builds with AddressSanitizer and UBSan into .cache/native/sanitized, for `make memcheck`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from environments import CACHE, ROOT, SetupError, find_python, locked, named, pins, run

SOURCES = ROOT / "src" / "gossamer" / "_core" / "_native"
TARGET = SOURCES.parent
WORK = CACHE / "native"
PYTHONS = ("3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
AT_ONCE = 2
# What setup.py asks for as well: nothing that a compiler of the last ten years lacks.
FLAGS = ["-O2", "-fPIC", "-fwrapv", "-fno-strict-aliasing", "-DNDEBUG", "-Wno-unused-function"]
SANITIZE = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
SANITIZE += ["-fPIC", "-fwrapv", "-Wno-unused-function"]

PROBE = """
import json, os, sys, sysconfig
paths = sysconfig.get_paths()
folders = sorted({paths["include"], paths["platinclude"]})
print(json.dumps({
    "version": "%d.%d" % sys.version_info[:2],
    "suffix": sysconfig.get_config_var("EXT_SUFFIX"),
    "include": folders,
    "headers": any(os.path.exists(os.path.join(folder, "Python.h")) for folder in folders),
}))
"""


class Built(NamedTuple):
    """How the build for one interpreter went.

    `status`: built, current, failed, no compiler, no headers, no python, no sources.
    """

    python: str
    status: str
    detail: str = ""
    seconds: float = 0.0

    @property
    def usable(self) -> bool:
        """Whether the compiled core is there and made from these sources."""
        return self.status in ("built", "current")

    @property
    def line(self) -> str:
        """The one line about it."""
        seconds = f" ({self.seconds:.0f} s)" if self.status == "built" else ""
        return f"native: CPython {self.python}: {self.status}{seconds}{': ' if self.detail else ''}{self.detail}"


class Compiler(NamedTuple):
    """The C compiler and what identifies it."""

    command: List[str]
    version: str


def find_compiler() -> Optional[Compiler]:
    """The C compiler: $CC, or cc, gcc, clang from PATH; None where there is none that runs."""
    given = shlex.split(os.environ.get("CC", ""))
    for command in [given] if given else [["cc"], ["gcc"], ["clang"]]:
        if shutil.which(command[0]) is None:
            continue
        done = subprocess.run([*command, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if done.returncode == 0:
            return Compiler(command, done.stdout.decode("utf-8", "replace").split("\n")[0])
    return None


def source_files() -> List[Path]:
    """What the extension is made from."""
    kinds = (".pyx", ".pxi", ".pxd", ".h", ".c")
    return sorted(path for path in SOURCES.glob("*") if path.suffix in kinds and path.name != "native.c")


def digest(*parts: Any) -> str:
    """A short name for exactly these things."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def source_digest() -> str:
    """Of the contents of all sources."""
    return digest([(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in source_files()])


def translator(version: str) -> str:
    """The environment whose Cython makes C for that version."""
    return "build-3.7" if tuple(map(int, version.split("."))) < (3, 9) else "build"


def translated(environment: str, sources: str) -> Path:
    """The C that Cython makes of the sources; once for each Cython."""
    made = WORK / "c" / f"{environment}-{digest(sources, pins(environment))}" / "native.c"
    with locked("native-c-" + environment):
        if made.exists():
            return made
        for stale in made.parent.parent.glob(environment + "-" + "?" * 16):
            shutil.rmtree(str(stale), ignore_errors=True)
        made.parent.mkdir(parents=True)
        draft = made.with_suffix(".draft.c")
        command = [named(environment), "-m", "cython", "-3", "--module-name", "gossamer._core.native"]
        run([*command, "--output-file", draft, SOURCES / "native.pyx"], cwd=str(ROOT))
        draft.replace(made)
    return made


def compiled(compiler: Compiler, facts: Dict[str, Any], made: Path, target: Path, flags: Sequence[str]) -> None:
    """Compile and link for one interpreter; the target appears whole or not at all."""
    draft = target.with_name(f"{target.name}.{os.getpid()}.draft")
    shared = ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
    c_files = [str(path) for path in source_files() if path.suffix == ".c"]
    includes = ["-I" + folder for folder in [str(SOURCES), *facts["include"]]]
    try:
        run([*compiler.command, *flags, *includes, *shared, made, *c_files, "-o", draft], cwd=str(made.parent))
        draft.replace(target)
    finally:
        if draft.exists():
            draft.unlink()


def probe(python: str) -> Dict[str, Any]:
    """What an interpreter says of itself."""
    done = subprocess.run([python, "-S", "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if done.returncode:
        raise SetupError(f"{python} does not run")
    return json.loads(done.stdout.decode())  # type: ignore[no-any-return]


def place(facts: Dict[str, Any], sanitize: bool) -> Tuple[Path, Path]:
    """Where the extension goes, and the note of what it was made from."""
    name = "native" + facts["suffix"]
    folder = WORK / "sanitized" if sanitize else TARGET
    notes = WORK / ("sanitized" if sanitize else "notes")
    return folder / name, notes / (name + ".json")


def build_one(python: str, compiler: Optional[Compiler], sanitize: bool = False) -> Built:
    """Build for one interpreter, given as a version or a path."""
    started = time.monotonic()
    found = python if os.sep in python else find_python(python)
    if found is None:
        return Built(python, "no python")
    try:
        facts = probe(found)
        python = facts["version"]
        target, note = place(facts, sanitize)
        sources = source_digest()
        known = json.loads(note.read_text()) if note.exists() and target.exists() else {}
        if compiler is None or not facts["headers"]:
            return not_built(python, target, known.get("sources") == sources, compiler)
        environment = translator(python)
        flags = [*(SANITIZE if sanitize else FLAGS), *shlex.split(os.environ.get("CFLAGS", ""))]
        wanted = {"sources": sources, "compiler": compiler.version, "flags": flags, "cython": pins(environment)}
        if known == wanted:
            return Built(python, "current")
        made = translated(environment, sources)
        started = time.monotonic()  # without the wait for the translation
        for folder in (target.parent, note.parent):
            folder.mkdir(parents=True, exist_ok=True)
        compiled(compiler, facts, made, target, flags)
        note.write_text(json.dumps(wanted))
        imports(found, target)
        return Built(python, "built", seconds=time.monotonic() - started) if not sanitize else Built(python, "built")
    except SetupError as error:
        return Built(python, "failed", str(error))


def not_built(python: str, target: Path, current: bool, compiler: Optional[Compiler]) -> Built:
    """The answer where nothing can be compiled; an extension made from other sources is taken away."""
    if current:
        return Built(python, "current")
    if target.exists():
        target.unlink()
    if compiler is None:
        return Built(python, "no compiler", "no C compiler here, so the core in plain Python does the work")
    return Built(python, "no headers", "no Python.h (Debian: python3-dev), so the core in plain Python does the work")


def imports(python: str, target: Path) -> None:
    """Fail where the fresh extension cannot be imported: it would silently be replaced by the pure core."""
    if target.parent != TARGET:
        return
    check = "import sys; sys.path.insert(0, sys.argv[1]); import gossamer._core.native"
    try:
        run([python, "-S", "-c", check, str(ROOT / "src")])
    except SetupError:
        target.unlink()
        raise


def build_all(pythons: Sequence[str] = PYTHONS, sanitize: bool = False) -> List[Built]:
    """Build for all, two at a time; a line for each as it ends."""
    if not (SOURCES / "native.pyx").exists():
        return [Built(python, "no sources") for python in pythons]
    compiler = find_compiler()

    def one(python: str) -> Built:
        built = build_one(python, compiler, sanitize)
        print(built.line, flush=True)
        return built

    # One build at a time in a checkout: a second call waits, and then finds everything done.
    with locked("native"), ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, pythons))


def sanitized(python: str) -> Union[Dict[str, str], str]:
    """What must be set for tests to run on the core with AddressSanitizer and UBSan; or why that is not possible."""
    compiler = find_compiler()
    if compiler is None:
        return "no C compiler"
    done = subprocess.run([*compiler.command, "-print-file-name=libasan.so"], stdout=subprocess.PIPE)
    library = os.path.realpath(done.stdout.decode().strip())
    if done.returncode or not os.path.exists(library):
        return f"{compiler.version} brings no shared AddressSanitizer"
    with locked("native"):
        built = build_one(python, compiler, sanitize=True)
    print(f"{built.line} (sanitized)", flush=True)
    if not built.usable:
        raise SetupError(built.line)
    target, _ = place(probe(python), True)
    return {
        # First of all libraries; and the interpreter's own allocator would hide errors within its arenas.
        "LD_PRELOAD": library,
        "PYTHONMALLOC": "malloc",
        # What the interpreter itself leaves behind at its end is not ours to judge.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TEST_NATIVE_FILE": str(target),
    }


def main(args: List[str]) -> int:
    """The command line of the module's docstring."""
    sanitize = "--sanitize" in args
    pythons = [arg for arg in args if not arg.startswith("--")]
    if len(pythons) + sanitize != len(args):
        sys.exit(__doc__)
    return 1 if any(built.status == "failed" for built in build_all(pythons or PYTHONS, sanitize)) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
