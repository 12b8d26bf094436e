"""Environments for tests, lint, demo and benchmarks: found or built under .cache/venvs, reused until they change.

    python3 scripts/environments.py python NAME     build the environment NAME if needed, print its interpreter
    python3 scripts/environments.py pin             write tests/requirements/*.txt anew from *.in

An environment is keyed by its requirements and its interpreter: a changed pin builds a new one. Everything is installed
by uv, from PATH or put into .cache/uv. Runs on the interpreter of a bare machine, with the standard library alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, NoReturn, Optional, Sequence, Tuple

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache"
REQUIREMENTS = ROOT / "tests" / "requirements"
UV = "uv>=0.9"

# The machine's certificates: behind a proxy that opens TLS, uv's own are not enough.
if os.path.exists("/etc/ssl/certs/ca-certificates.crt"):
    os.environ.setdefault("UV_SYSTEM_CERTS", "true")

# Newest first: the first that is on the machine, or can be had, is taken.
NEWEST = ("3.13", "3.12", "3.11", "3.10")
# These build a part of this package, and have no use for the whole.
NOT_OURS = ("build", "build-3.7")
# The lowest interpreter that each file of pins is good for.
PINS = {
    "core": "3.7", "main": "3.10", "lint": "3.10", "demo": "3.10", "peers": "3.10", "agent": "3.10",
    "bench": "3.10", "bench-ddtrace": "3.10", "bench-elastic": "3.10", "bench-logfire": "3.10",
    "bench-newrelic": "3.10", "bench-opentelemetry": "3.10", "bench-scout": "3.10", "bench-sentry": "3.10",
    "build": "3.9", "build-3.7": "3.7",
}  # fmt: skip


def say(message: str) -> None:
    """A line about the set-up, apart from what a command prints as its result."""
    print("setup: " + message, file=sys.stderr, flush=True)


def fail(message: str) -> NoReturn:
    """End with a message and no traceback."""
    sys.exit("setup: " + message)


def run(args: Sequence[object], **options: Any) -> None:
    """Run a command quietly; its output only if it fails."""
    command = [str(arg) for arg in args]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, **streams, **options)
    if done.returncode:
        output = done.stdout.decode("utf-8", "replace")
        raise SetupError("{} failed with exit code {}\n{}".format(" ".join(command), done.returncode, output))


class SetupError(Exception):
    """Something could not be installed."""


# -- uv ---------------------------------------------------------------------------------------------------------------


def works(command: Sequence[object]) -> bool:
    """Whether a command is there and does run; a pyenv shim may be there and do not."""
    try:
        args = [str(part) for part in command]
        done = subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except OSError:
        return False
    return done.returncode == 0


def find_uv() -> str:
    """The uv on PATH, or our own, installed at the first call."""
    found = shutil.which("uv")
    if found and works([found, "--version"]):
        return found
    ours = CACHE / "uv" / "bin" / "uv"
    if not works([ours, "--version"]):
        with locked("uv"):
            if not works([ours, "--version"]):
                install_uv(ours.parents[1])
    return str(ours)


def install_uv(folder: Path) -> None:
    """Put uv into a folder: by venv and pip, or by pip alone."""
    say("installing uv into " + str(folder.relative_to(ROOT)))
    shutil.rmtree(str(folder), ignore_errors=True)
    has_pip = works([sys.executable, "-m", "pip", "--version"])
    if not works([sys.executable, "-c", "import ensurepip, venv"]) and not has_pip:
        from debian import install

        if not install(["python3-venv"]):
            fail("Python's venv is missing. As root: apt-get install python3-venv")
    try:
        if works([sys.executable, "-c", "import ensurepip, venv"]):
            run([sys.executable, "-m", "venv", folder])
            run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", UV])
        else:
            run([sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, UV])
    except SetupError as error:
        fail(f"uv could not be installed; is the package index reachable?\n{error}")


# -- interpreters -----------------------------------------------------------------------------------------------------


def version_of(python: object) -> str:
    """The version of an interpreter, as 3.11; empty if it does not run."""
    source = "import sys; print('%d.%d' % sys.version_info[:2], sys.implementation.name)"
    try:
        done = subprocess.run([str(python), "-c", source], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return ""
    words = done.stdout.decode().split()
    return words[0] if done.returncode == 0 and words[1:] == ["cpython"] else ""


def candidates(version: str) -> Iterator[str]:
    """Where an interpreter of that version may be."""
    for root in (os.environ.get("PYENV_ROOT"), os.path.expanduser("~/.pyenv")):
        if root:
            folders = sorted(Path(root, "versions").glob(version + ".*"), key=patch_level, reverse=True)
            for folder in folders:
                yield str(folder / "bin" / "python")
    for folder_name in os.environ.get("PATH", "").split(os.pathsep):
        yield os.path.join(folder_name, "python" + version)
    yield sys.executable


def patch_level(folder: Path) -> Tuple[int, ...]:
    """3.9.18 after 3.9.2."""
    return tuple(int(part) for part in folder.name.split(".") if part.isdigit())


def find_python(version: str, install: bool = True) -> Optional[str]:
    """An interpreter of that version: on this machine, or installed by uv, or None."""
    for path in candidates(version):
        if os.path.exists(path) and version_of(path) == version:
            return os.path.realpath(path)
    found = uv_python(version)
    if found is None and install and not (CACHE / ("no-python-" + version)).exists():
        say(f"Python {version} is not on this machine; asking uv for it")
        try:
            run([find_uv(), "python", "install", "--no-bin", version], timeout=600)
        except (SetupError, subprocess.TimeoutExpired):
            say(f"Python {version} cannot be had here")
            CACHE.mkdir(exist_ok=True)
            (CACHE / ("no-python-" + version)).touch()  # asked once: `make clean` forgets it
        found = uv_python(version)
    return found


def uv_python(version: str) -> Optional[str]:
    """An interpreter that uv has installed before."""
    command = [find_uv(), "python", "find", "--no-python-downloads", "--managed-python", version]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    path = done.stdout.decode().strip()
    return path if done.returncode == 0 and version_of(path) == version else None


def newest_python(install: bool = False) -> str:
    """The newest interpreter that the pins are made for."""
    attempts = [(version, False) for version in NEWEST]
    if install:
        attempts.insert(0, (NEWEST[0], True))
    for version, by_uv in attempts:
        found = find_python(version, by_uv)
        if found:
            return found
    fail("none of Python {} is on this machine".format(", ".join(NEWEST)))


# -- environments -----------------------------------------------------------------------------------------------------


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Two runs at once do not build the same thing twice."""
    folder = CACHE / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with open(str(folder / name), "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def build(
    name: str,
    python: str,
    requirements: Sequence[str],
    overrides: Sequence[str] = (),
    build_constraints: Sequence[str] = (),
) -> str:
    """The interpreter of an environment with exactly these requirements and this checkout, built if needed.

    `overrides` win over the requirements, so that a library's pins and the tests' own may disagree.
    """
    text = "\n".join(["python " + python, *requirements, "overrides", *overrides, "build", *build_constraints])
    key = hashlib.sha256(text.encode()).hexdigest()[:12]
    folder = CACHE / "venvs" / f"{name}-{key}"
    interpreter = folder / "bin" / "python"
    with locked(name):
        if not (folder / "complete").exists():
            for stale in folder.parent.glob(name + "-" + "?" * 12):
                shutil.rmtree(str(stale), ignore_errors=True)
            say(f"building {folder.relative_to(ROOT)} ({version_of(python)})")
            run([find_uv(), "venv", "--quiet", "--python", python, folder])
            install = [find_uv(), "pip", "install", "--quiet", "--python", interpreter]
            files = write_files(folder, requirements=requirements, overrides=overrides, build=build_constraints)
            install += ["--requirements", files["requirements"], "--overrides", files["overrides"]]
            run(install + ["--build-constraints", files["build"]])
            (folder / "complete").touch()
        if name not in NOT_OURS:
            install_gossamer(folder)
    return str(interpreter)


def write_files(folder: Path, **lists: Sequence[str]) -> Dict[str, Path]:
    """One file for each list, beside what they describe."""
    files = {}
    for name, lines in lists.items():
        files[name] = folder / (name + ".txt")
        files[name].write_text("".join(line + "\n" for line in lines))
    return files


def install_gossamer(folder: Path) -> None:
    """Install this checkout, editable; again when what installs it has changed.

    The compiled core is not part of it: scripts/build_native.py puts it beside the sources, for all environments.
    """
    if not (ROOT / "src" / "gossamer" / "_version.py").exists():
        return
    recipe = [path.read_bytes() for path in (ROOT / "pyproject.toml", ROOT / "setup.py") if path.exists()]
    digest = hashlib.sha256(b"".join(recipe)).hexdigest()
    marker = folder / "gossamer"
    if marker.exists() and marker.read_text() == digest:
        return
    with locked("gossamer"):  # the builds share src/gossamer.egg-info
        install = [find_uv(), "pip", "install", "--quiet", "--python", folder / "bin" / "python"]
        run(install + ["--no-deps", "--editable", ROOT], env=dict(os.environ, GOSSAMER_BUILD_NATIVE="0"))
    marker.write_text(digest)


def pins(name: str) -> List[str]:
    """The lines of a file of pins."""
    lines = (REQUIREMENTS / (name + ".txt")).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def named(name: str, install: bool = False) -> str:
    """The interpreter of one of the environments in tests/requirements."""
    if name not in PINS:
        fail("no environment {}; there are {}".format(name, ", ".join(PINS)))
    return build(name, newest_python(install), pins(name))


def pin() -> None:
    """Resolve tests/requirements/*.in to exact versions, for all interpreters from the lowest."""
    for name, lowest in PINS.items():
        source, target = REQUIREMENTS / (name + ".in"), REQUIREMENTS / (name + ".txt")
        options = ["--universal", "--python-version", lowest, "--fork-strategy", "requires-python"]
        options += ["--upgrade", "--no-annotate", "--no-header", "--quiet"]
        run([find_uv(), "pip", "compile", *options, source, "--output-file", target])
        print(target.relative_to(ROOT))


def main(args: List[str]) -> None:
    """The command line of the module's docstring."""
    try:
        if len(args) == 2 and args[0] == "python":
            print(named(args[1]))
        elif args == ["pin"]:
            pin()
        else:
            sys.exit(__doc__)
    except SetupError as error:
        fail(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
