"""The locked versions: well formed, and there for every integration."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINES = [line for line in (ROOT / "tests" / "versions.lock").read_text().splitlines() if not line.startswith("#")]
ROWS = [line.split("\t") for line in LINES[1:]]
INTEGRATIONS = sorted(
    path.stem for path in (ROOT / "src" / "gossamer" / "integrations").glob("*") if not path.name.startswith("_")
)


def test_the_lines_are_well_formed():
    assert LINES[0].split("\t") == ["library", "role", "version", "python", "pins", "build"]
    for row in ROWS:
        assert 4 <= len(row) <= 6, row
        library, role, version, python = row[:4]
        assert role in ("oldest", "between", "newest"), row
        assert python in ("3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13"), row
        pins = row[4].split() if len(row) > 4 else []
        assert all("==" in pin for pin in pins), row
        assert (version == "stdlib") == (not pins), row
    keys = [tuple(row[:1] + row[2:4]) for row in ROWS]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("integration", INTEGRATIONS)
def test_every_integration_has_locked_versions_and_tests(integration):
    roles = {row[1] for row in ROWS if row[0] == integration}
    assert {"oldest", "newest"} <= roles
    assert (ROOT / "tests" / "integrations" / f"test_{integration}.py").exists()


def test_every_locked_library_has_tests():
    missing = {row[0] for row in ROWS if not (ROOT / "tests" / "integrations" / f"test_{row[0]}.py").exists()}
    assert not missing


def test_the_matrix_names_what_it_does_not_know():
    command = [sys.executable, str(ROOT / "scripts" / "compat.py"), "nosuch"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 1
    assert "nosuch" in done.stdout and "Traceback" not in done.stdout
