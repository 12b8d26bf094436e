"""What the wheel holds, and what it asks for: nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    uv = shutil.which("uv") or str(ROOT / ".cache" / "uv" / "bin" / "uv")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "setup.py"):
        if (ROOT / name).exists():
            shutil.copy(str(ROOT / name), str(source))
    ignore = shutil.ignore_patterns("*.egg-info", "__pycache__")
    shutil.copytree(str(ROOT / "src"), str(source / "src"), ignore=ignore)
    try:
        command = [uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(source)]
        env = dict(os.environ, GOSSAMER_BUILD_NATIVE="0")  # tests/native/test_build.py is about the compiled core
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    except OSError:
        pytest.skip("uv is not installed")
    assert done.returncode == 0, done.stdout
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(str(built)) as archive:
        yield archive


def test_the_wheel_holds_every_file_of_the_package(wheel):
    source = ROOT / "src"
    files = {str(path.relative_to(source)) for path in (source / "gossamer").rglob("*") if path.is_file()}
    # The compiled core, and what it is compiled from, come with the wheels that are built for one platform.
    files = {name for name in files if not name.endswith((".pyc", ".so")) and "/_native/" not in name}
    expected = {name for name in files if "__pycache__" not in name}
    assert "gossamer/py.typed" in expected
    assert expected - set(wheel.namelist()) == set()


def test_the_wheel_asks_for_nothing(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith("/METADATA")]
    metadata = wheel.read(name).decode()
    assert "Requires-Dist" not in metadata
    assert "Requires-Python: >=3.7" in metadata
    assert "License: Apache-2.0" in metadata


def test_the_wheel_brings_the_scripts(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith("/entry_points.txt")]
    lines = wheel.read(name).decode().split()
    assert lines[0] == "[console_scripts]"
    assert "gossamer-run" in lines and "gossamer" in lines
