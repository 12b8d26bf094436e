"""Tables of what was measured, and the targets that Gossamer is held to."""

from __future__ import annotations

import os
import platform
import re
import time
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence

from side_by_side import ROOT, Row
from tracers import PEERS, TRACERS

# A row with such a note did less than it should: it is shown, and is not the best.
LESS = re.compile(r"arrived|no spans|spans of|spans for|drops|with \d+ pending|batch of|beforehand")
LEGEND = "Least of the rounds, then median ± half the distance between the quartiles."


class Target(NamedTuple):
    """How many times cheaper than the best peer a case has to be. `limit`: at most so much, whatever the peers have."""

    case: str
    native: float = 1
    pure: float = 1
    limit: Optional[float] = None
    note: str = ""
    # Of the rounds: "min", or "median" where the least is mere luck.
    by: str = "min"
    # What is level with anything.
    floor: float = 0


TARGETS = (
    Target("bare root span, encoding included", 30, 8),
    Target("span in a trace of ten, encoding included", 25, 8),
    Target("root with 5 strings + 2 numbers", 25, 8),
    Target("decorated function", 25, 8),
    Target("async span", 25, 8, note="held to what the other spans are"),
    Target("Flask request, added", 7),
    Target("Django request, added", 6),
    Target("Starlette request, added", 8),
    Target("FastAPI request, added", 8),
    Target("sqlite3 query, added", 8),
    Target("redis GET, added", 8),
    Target("requests GET, added", 6),
    Target("Flask request, sampled out, added", 8),
    Target("Flask request, tracer disabled, added", limit=1, note="nothing is patched: 1 µs is the noise"),
    Target("import of `auto`", 2.5),
    Target("hello-world under the launcher, added CPU", 6),
    Target("hello-world under the launcher, added memory", 6),
    Target("bytes held per finished span, 10,000 pending", 0.9, note="level: within a tenth"),
    Target("resident growth per finished span, 10,000 pending", 0.9, note="level: within a tenth"),
    Target(
        "GIL held in the background per span", 0.9, note="level: within a tenth, or 0.05 µs", by="median", floor=0.05
    ),
    Target("longest pause, batch of 1,000", limit=1, by="median"),
    Target("longest pause, batch of 10,000", limit=1, by="median"),
    Target("longest pause, batch of 100,000", limit=1, by="median"),
)


def number(value: Optional[float]) -> str:
    """Three digits that count."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return "%.0f" % value
    return "%.*f" % (1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3, value)


def cell(row: Optional[Row], mark: str) -> str:
    """A row as one cell of a table; `mark` leads to its note."""
    if row is None:
        return ""
    if row.median is None:
        return "-" + mark
    text = number(row.median if row.min is None else row.min)
    if row.rounds > 1:
        text += ", %s ±%s" % (number(row.median), number(row.spread))
    return text + mark


def tables(title: str, rows: Iterable[Row]) -> str:
    """One benchmark as a table of Markdown: cases down, tracers across, notes below."""
    rows = list(rows)
    names = [name for name in TRACERS if any(row.tracer == name for row in rows)]
    rounds = sorted({row.rounds for row in rows if row.rounds})
    notes: List[str] = []
    lines = [["case", "unit", *names]]
    cases: Dict[str, Dict[str, Row]] = {}
    for row in rows:
        cases.setdefault(row.case, {})[row.tracer] = row
    for case, found in cases.items():
        line = [case, next(iter(found.values())).unit]
        for name in names:
            row = found.get(name)
            mark = ""
            if row is not None and row.note:
                if row.note not in notes:
                    notes.append(row.note)
                mark = " [%d]" % (notes.index(row.note) + 1)
            line.append(cell(row, mark))
        lines.append(line)
    many = "" if not rounds else " %s rounds." % ("-".join(str(each) for each in sorted({rounds[0], rounds[-1]})))
    text = ["### " + title, "", LEGEND + many, "", *aligned(lines)]
    if notes:
        text += ["", *("[%d] %s  " % (place + 1, note.replace("|", "/")) for place, note in enumerate(notes))]
    return "\n".join(text)


table = tables


def aligned(lines: Sequence[Sequence[str]]) -> List[str]:
    """Rows of cells, the first the heading, as a Markdown table that reads as text too."""
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    text = ["| " + " | ".join(part.ljust(width) for part, width in zip(line, widths)) + " |" for line in lines]
    text.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return text


def targets(rows: Iterable[Row]) -> str:
    """What is asked of Gossamer, and whether it was so in this run."""
    cases: Dict[str, Dict[str, Row]] = {}
    for row in rows:
        cases.setdefault(row.case, {})[row.tracer] = row
    heading = ["case", "unit", *PEERS, "best peer", "native", "pure", "native: ratio", "target", "met", "pure: ratio"]
    lines = [[*heading, "target", "met"]]
    notes = []
    for target in TARGETS:
        found = cases.get(target.case)
        if not found:
            continue
        least = {name: getattr(row, target.by) for name, row in found.items() if row.min is not None}
        whole = [least[name] for name in PEERS if name in least and not LESS.search(found[name].note)]
        best = min(whole) if whole else None
        line = [target.case, next(iter(found.values())).unit, *(number(least.get(name)) for name in PEERS)]
        line += [number(best), number(least.get("gossamer")), number(least.get("gossamer-pure"))]
        line += verdict(best, least.get("gossamer"), target.native, target.limit, target.floor)
        limit = None if target.limit is None else float("inf")
        line += verdict(best, least.get("gossamer-pure"), target.pure, limit, target.floor)
        lines.append(line)
        if target.note:
            notes.append("%s: %s." % (target.case, target.note))
    text = [
        "### Targets", "",
        "Least of the rounds (pauses and the lock: median). Ratio: best peer of this run by ours.",
    ]  # fmt: skip
    return "\n".join([*text, "", *aligned(lines), "", *(note + "  " for note in notes)])


def verdict(
    best: Optional[float], ours: Optional[float], ratio: float, limit: Optional[float], floor: float
) -> List[str]:
    """Ratio, target, and whether it is met."""
    if limit is not None:
        if limit == float("inf"):
            return ["", "", ""]
        return ["", "at most " + number(limit), "" if ours is None else "yes" if ours <= limit else "NO"]
    asked = "%gx" % ratio
    if ours is None or best is None:
        return ["", asked, ""]
    if ours <= floor:
        return ["%.1fx" % (best / ours) if ours > 0 else "nothing", asked, "yes"]
    return ["%.1fx" % (best / ours), asked, "yes" if best / ours >= ratio else "NO"]


# -- the page ---------------------------------------------------------------------------------------------------------


def machine() -> Dict[str, str]:
    """What the figures depend on. No names of hosts or folders."""
    model = platform.machine()
    try:
        with open("/proc/cpuinfo") as info:
            model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), model)
    except OSError:
        pass
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "system": "%s %s, %s" % (platform.system(), platform.release().split("-")[0], " ".join(platform.libc_ver())),
        "load at the start": "%.1f" % os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def page(results: Dict[str, Any]) -> str:
    """docs/benchmarks.md: `results` is what `run.py` collected."""
    every = [Row(**row) for part in results["benchmarks"].values() for row in part["rows"]]
    text = [
        "# Benchmarks", "",
        "Written by `make bench`%s." % (" in quick mode: few rounds" if results["quick"] else ""),
        "Compare the ratios within this page: the figures are of one machine and one moment.",
        "CPU time is that of the whole process, background threads, encoding and sending included, as long as a case",
        "does not say otherwise; an agent in a process of its own takes everything. All tracers trace everything, on",
        "the same versions of the same libraries, each in an environment of its own, in turn.", "",
        "| machine | |", "| --- | --- |",
        *("| %s | %s |" % item for item in results["machine"].items()), "",
        "| tracer | version | note |", "| --- | --- | --- |",
    ]  # fmt: skip
    for name, version in results["tracers"].items():
        text.append("| %s (`%s`) | %s | %s |" % (TRACERS[name].label, name, version, TRACERS[name].note))
    text += ["", "Libraries: " + ", ".join("%s %s" % item for item in results["libraries"].items()) + ".", ""]
    for name, why in results["left_out"].items():
        text += ["Left out: %s, %s." % (TRACERS[name].label if name in TRACERS else name, why), ""]
    text += [targets(every), ""]
    for part in results["benchmarks"].values():
        if part["rows"]:
            text += [tables(part["title"], [Row(**row) for row in part["rows"]]), ""]
    return "\n".join(text)


def write(results: Dict[str, Any], path: str) -> str:
    """Write the page; its path, from the root of the checkout."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(page(results))
    return os.path.relpath(path, ROOT)

