"""What the benchmarks share: where the peers live, runs in turn, a table."""

from __future__ import annotations

import glob
import json
import os
import statistics
import subprocess
import sys
from typing import Any, Dict, List, Optional, Sequence

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SOURCE = os.path.join(ROOT, "src")


def peers_python() -> Optional[str]:
    """The interpreter of the environment that `make test` builds for ddtrace and OpenTelemetry, or None."""
    named = os.environ.get("TEST_PEERS_PYTHON")
    found = [named] if named else sorted(glob.glob(os.path.join(ROOT, ".cache/venvs/peers*/bin/python")))
    for path in found:
        check = [path, "-c", "import ddtrace, opentelemetry.sdk"]
        if os.path.exists(path) and not subprocess.run(check, stderr=subprocess.DEVNULL, env=environment()).returncode:
            return path
    return None


def environment(**more: str) -> Dict[str, str]:
    """The environment of a run: nothing of the caller's settings, nobody is called at home."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DD_", "OTEL_", "GOSSAMER_", "PYTHONPATH", "_DD"))
    }
    clean.update(
        DD_INSTRUMENTATION_TELEMETRY_ENABLED="false",
        DD_REMOTE_CONFIGURATION_ENABLED="false",
        DD_CRASHTRACKING_ENABLED="false",
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
        OTEL_TRACES_EXPORTER="none",
        PYTHONHASHSEED="0",
    )
    clean.update(more)
    return clean


def run(command: Sequence[str], env: Dict[str, str], cwd: str) -> Any:
    """The JSON that a command prints as its last line."""
    done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, timeout=300)
    lines = done.stdout.decode().strip().splitlines()
    if done.returncode or not lines:
        sys.exit("%s failed:\n%s" % (" ".join(command), done.stderr.decode()[-2000:]))
    return json.loads(lines[-1])


def summary(values: List[float]) -> Dict[str, float]:
    """Median and least of the rounds."""
    return {"median": statistics.median(values), "min": min(values)}


def show(
    title: str, rows: Sequence[str], columns: Sequence[str], cells: Dict[str, Dict[str, Dict[str, float]]]
) -> None:
    """Print median (min) for each row and column, and the ratio to the first row."""
    print(title)
    print("%-24s" % "" + "".join("%26s" % column for column in columns))
    for row in rows:
        line = "%-24s" % row
        for column in columns:
            cell = cells[row][column]
            base = cells[rows[0]][column]["median"]
            ratio = " %5.1fx" % (cell["median"] / base) if base else ""
            line += "%26s" % ("%.5g (%.5g)%s" % (cell["median"], cell["min"], ratio))
        print(line)
