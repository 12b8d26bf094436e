"""`gossamer integrations` and `gossamer settings`: what there is, as tables."""

from __future__ import annotations

import argparse
import os
from typing import Any, Dict, List

from gossamer import _start
from gossamer._cli import misspelt
from gossamer._cli.messages import OK, message
from gossamer._cli.output import FORMATS, print_json, print_rows
from gossamer._config import DEFAULT, show
from gossamer._settings import Settings, variable_part

_INTEGRATIONS = {
    "name": "name",
    "library": "library",
    "versions": "supported versions",
    "automatic": "automatic",
    "page_versions": "Datadog's versions",
    "page_automatic": "automatic there",
    "notes": "notes",
}
_SETTINGS = {"name": "setting", "value": "value", "origin": "origin", "variables": "variables"}


def _format_of(command: str, description: str, arguments: List[str]) -> str:
    parser = argparse.ArgumentParser(prog=f"gossamer {command}", description=description)
    parser.add_argument("--format", choices=FORMATS, default="table", help="default: table")
    return str(parser.parse_args(arguments).format)


def integrations(arguments: List[str]) -> int:
    """Print the libraries that are traced."""
    format = _format_of("integrations", "List the libraries that are traced, with the supported versions.", arguments)
    rows = integration_rows()
    if format == "json":
        print_json(rows)
    else:
        print_rows(rows, _INTEGRATIONS, format)
    return OK


def integration_rows() -> List[Dict[str, Any]]:
    """A row for every integration."""
    rows = []
    for integration in _start.engine.load_all():
        versions = [f"{package} {supported}".strip() for package, supported in integration.packages.items()]
        page = integration.page or ("", None)
        rows.append(
            {
                "name": integration.name,
                "library": integration.title,
                "category": integration.category,
                "versions": " or ".join(versions) or "standard library",
                "automatic": integration.automatic,
                "page_versions": page[0],
                "page_automatic": page[1],
                "notes": integration.notes,
                "docs": integration.docs,
                "switch": f"DD_TRACE_{variable_part(integration.name)}_ENABLED",
                "options": [
                    {"name": option.name, "default": option.default, "help": option.help}
                    for option in integration.options
                ],
            }
        )
    return rows


def settings(arguments: List[str]) -> int:
    """Print every setting with its value and origin; then what was overridden, malformed or misspelt."""
    format = _format_of("settings", "List the settings with their values and where these come from.", arguments)
    config = Settings(warn=False)
    rows = setting_rows(config)
    notes = list(_notes(rows))
    if format == "json":
        print_json({"settings": rows, "notes": notes})
        return OK
    print_rows(rows, _SETTINGS, format)
    for note in notes:
        message(note)
    return OK


def setting_rows(config: Settings) -> List[Dict[str, Any]]:
    """A row for every setting, and for what is set for single integrations."""
    rows = []
    for declaration in Settings.declarations():
        value = config.value(declaration)
        # Inferred from the command line, which is ours here and not the program's.
        inferred = declaration.name == "service" and value.origin == DEFAULT
        rows.append(
            {
                "name": declaration.name,
                "value": f"({declaration.default_text()})" if inferred else show(value.value, declaration.secret),
                "origin": value.origin,
                "variables": list(dict.fromkeys(variable.name for variable in declaration.env)),
                "ignored": list(value.ignored),
                "problems": list(value.problems),
                "help": declaration.help,
            }
        )
    for integration in _start.engine.load_all():
        own = config.integration(integration.name, integration.aliases)
        own.enabled, own.service  # noqa: B018 (read, so that they are known)
        for option in integration.options:
            own.option(option.name, option.default)
    for name, value in config.dynamic():
        if value.origin != DEFAULT or value.problems:
            rows.append(
                {
                    "name": name,
                    "value": show(value.value),
                    "origin": value.origin,
                    "variables": [],
                    "ignored": list(value.ignored),
                    "problems": list(value.problems),
                    "help": "",
                }
            )
    return rows


def _notes(rows: List[Dict[str, Any]]) -> List[str]:
    notes = []
    for row in rows:
        if row["ignored"]:
            notes.append(f"{row['name']}: {row['origin']} counts, not {', '.join(row['ignored'])}")
        notes += row["problems"]
    known = [(entry.name, [option.name for option in entry.options]) for entry in _start.engine.load_all()]
    for variable, meant in misspelt.unknown(os.environ, known):
        notes.append(f"{variable}: there is no such setting" + (f"; did you mean {meant}?" if meant else ""))
    return list(dict.fromkeys(notes))
