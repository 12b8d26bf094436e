"""How the compiled core is built: by scripts/build_native.py for a checkout, by setup.py for everybody else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "src" / "gossamer" / "_core" / "_native"
SCRIPT = ROOT / "scripts" / "build_native.py"

pytestmark = pytest.mark.newest
needs_sources = pytest.mark.skipif(not (SOURCES / "native.pyx").exists(), reason="the sources are not here")


def run(args, **env):
    """A command's exit code and all that it printed."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "CC", "CFLAGS")}
    environment.update(env)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
    done = subprocess.run([str(arg) for arg in args], env=environment, cwd=str(ROOT), **streams)
    return done.returncode, done.stdout.decode("utf-8", "replace")


@needs_sources
def test_a_second_build_does_nothing(native):
    version = "%d.%d" % sys.version_info[:2]
    _, first = run([sys.executable, SCRIPT, version])
    if "no headers" in first or "no compiler" in first:
        pytest.skip(first)
    status, output = run([sys.executable, SCRIPT, version])
    assert status == 0 and output == f"native: CPython {version}: current\n"


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the build needs, without anything that was built."""
    for name in ("scripts", "tests/requirements", "src"):
        ignore = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")
        shutil.copytree(str(ROOT / name), str(tmp_path / name), ignore=ignore)
    for name in "pyproject.toml setup.py MANIFEST.in README.md LICENSE CHANGELOG.md ARCHITECTURE.md".split():
        shutil.copy(str(ROOT / name), str(tmp_path))
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "venvs").symlink_to(ROOT / ".cache" / "venvs")
    return tmp_path


@needs_sources
def test_without_a_compiler_there_is_one_clear_line(checkout):
    version = "%d.%d" % sys.version_info[:2]
    command = [sys.executable, checkout / "scripts" / "build_native.py", version]
    status, output = run(command, CC="/nowhere/cc")
    says = "no compiler: no C compiler here, so the core in plain Python does the work"
    assert status == 0 and output == f"native: CPython {version}: {says}\n"
    # What was made from other sources would be worse than nothing.
    import sysconfig

    stale = checkout / "src" / "gossamer" / "_core" / ("native" + sysconfig.get_config_var("EXT_SUFFIX"))
    stale.write_bytes(b"")
    run(command, CC="/nowhere/cc")
    assert not stale.exists()


@needs_sources
def test_a_failure_to_compile_is_a_failure(checkout):
    folder = checkout / "src" / "gossamer" / "_core" / "_native"
    (folder / "broken.c").write_text("#error broken on purpose\n")
    (folder / "native.pyx").write_text("NATIVE = True\n")
    version = "%d.%d" % sys.version_info[:2]
    status, output = run([sys.executable, checkout / "scripts" / "build_native.py", version])
    if "no headers" in output or "no compiler" in output:
        pytest.skip(output)
    assert status == 1 and f"native: CPython {version}: failed" in output and "broken on purpose" in output


def uv_build(checkout, kind, **env):
    """The one file that `uv build` made, and its output."""
    uv = shutil.which("uv") or str(ROOT / ".cache" / "uv" / "bin" / "uv")
    if not os.path.exists(uv):
        pytest.skip("uv is not installed")
    out = checkout / "out"
    command = [uv, "build", "--verbose", "--python", sys.executable, kind, "--out-dir", out, checkout]
    status, output = run(command, **env)
    files = [path for path in out.glob("*") if path.suffix in (".whl", ".gz")] if out.exists() else []
    return status, output, files


@needs_sources
def test_the_sdist_holds_the_sources_and_nothing_built(checkout):
    (checkout / "src" / "gossamer" / "_core" / "native.cpython-313-x86_64-linux-gnu.so").write_bytes(b"x")
    status, output, files = uv_build(checkout, "--sdist", GOSSAMER_BUILD_NATIVE="0")
    assert status == 0, output
    with tarfile.open(str(files[0])) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    expected = {str(path.relative_to(ROOT)) for path in SOURCES.glob("*") if path.is_file() and path.name != "native.c"}
    assert expected <= names and "setup.py" in names
    assert not [name for name in names if name.endswith((".so", ".pyc", "native.c"))]


@needs_sources
def test_without_the_compiled_core_the_wheel_is_for_everybody(checkout):
    status, output, files = uv_build(checkout, "--wheel", GOSSAMER_BUILD_NATIVE="0")
    assert status == 0, output
    assert files[0].name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(str(files[0])) as archive:
        assert not [name for name in archive.namelist() if "native" in name and not name.endswith(".py")]


@needs_sources
def test_setup_goes_on_without_a_compiler(checkout):
    status, output, files = uv_build(checkout, "--wheel", CC="/nowhere/cc")
    assert status == 0 and len(files) == 1, output
    assert output.count("gossamer: no compiled core; the one in plain Python does its work (") == 1
    status, output, _ = uv_build(checkout, "--wheel", CC="/nowhere/cc", GOSSAMER_BUILD_NATIVE="require")
    assert status != 0 and "no compiled core" not in output


@needs_sources
def test_setup_builds_an_extension(checkout):
    """With a small source: that the real one compiles is what the other tests run on."""
    folder = checkout / "src" / "gossamer" / "_core" / "_native"
    for path in folder.glob("*"):
        path.unlink()
    lines = ['include "part.pxi"', 'cdef extern from "part.h":', "    int part()", "NATIVE = part()", ""]
    (folder / "native.pyx").write_text("\n".join(lines))
    (folder / "part.pxi").write_text("SECOND = 2\n")
    (folder / "part.h").write_text("int part(void);\n")
    (folder / "part.c").write_text('#include "part.h"\nint part(void) { return 1; }\n')
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    status, output, files = uv_build(checkout, "--wheel", GOSSAMER_BUILD_NATIVE="require")
    assert status == 0, output
    with zipfile.ZipFile(str(files[0])) as archive:
        built = [name for name in archive.namelist() if name.startswith("gossamer/_core/native.")]
        assert len(built) == 1 and not [name for name in archive.namelist() if "_native" in name]
        archive.extract(built[0], str(checkout / "found"))
    check = "import sys; sys.path.insert(0, sys.argv[1]); import native; print(native.NATIVE, native.SECOND)"
    status, output = run([sys.executable, "-c", check, (checkout / "found" / built[0]).parent])
    assert (status, output) == (0, "1 2\n")
