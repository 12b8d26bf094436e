"""How the commands print data on stdout: as a table, JSON, TSV or Markdown."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from typing import Any, Dict, List, Mapping, Sequence, TextIO

FORMATS = ("table", "json", "tsv", "md")
_COLORS = {"red": "31", "green": "32", "yellow": "33", "bold": "1"}
_NARROWEST = 16


def color(text: str, name: str, stream: TextIO) -> str:
    """The text in a colour, where the stream is a terminal and nobody has asked for none."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"\033[{_COLORS[name]}m{text}\033[0m"


def write(text: str) -> None:
    """A piece of the output; characters that the terminal does not know are escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


def print_json(data: Any) -> None:
    """Data as JSON, indented."""
    write(json.dumps(data, indent=2, ensure_ascii=False, default=str) + "\n")


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], format: str) -> None:
    """Rows in one of the formats that show them line by line; `columns` gives the heading of each key."""
    cells = [[_cell(row.get(key)) for key in columns] for row in rows]
    if format == "tsv":
        write("".join("\t".join(line) + "\n" for line in [list(columns), *cells]))
    elif format == "md":
        _print_markdown(cells, list(columns.values()))
    else:
        _print_table(cells, list(columns.values()))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(item) for item in value)
    return " ".join(str(value).split())


def _print_markdown(cells: List[List[str]], headings: List[str]) -> None:
    lines = [headings, ["---"] * len(headings)]
    lines += [[cell.replace("\\", "\\\\").replace("|", "\\|") for cell in line] for line in cells]
    write("".join("| {} |\n".format(" | ".join(line)) for line in lines))


def _print_table(cells: List[List[str]], headings: List[str]) -> None:
    """Aligned columns. On a terminal the widest columns are folded until the lines fit."""
    widths = [max(len(line[index]) for line in [headings, *cells]) for index in range(len(headings))]
    if sys.stdout.isatty():
        widths = _fit(widths, shutil.get_terminal_size((100, 24)).columns - 2 * (len(widths) - 1))
    heading = "  ".join(text.ljust(width) for text, width in zip(headings, widths)).rstrip()
    lines = [color(heading, "bold", sys.stdout)]
    for line in cells:
        folded = [textwrap.wrap(cell, width) or [""] for cell, width in zip(line, widths)]
        for number in range(max(map(len, folded))):
            parts = [part[number] if number < len(part) else "" for part in folded]
            lines.append("  ".join(text.ljust(width) for text, width in zip(parts, widths)).rstrip())
    write("".join(line + "\n" for line in lines))


def _fit(widths: List[int], room: int) -> List[int]:
    widths = [max(width, 1) for width in widths]
    while sum(widths) > room and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return widths


def without_empty(row: Mapping[str, Any]) -> Dict[str, Any]:
    """A row without the entries that say nothing."""
    return {key: value for key, value in row.items() if value not in (None, "", [], ())}
