"""Variables that look like settings and are none: most often a misspelt name."""

from __future__ import annotations

import difflib
from typing import Iterable, List, Mapping, NamedTuple, Set, Tuple

from gossamer._settings import Settings, variable_part

# Under these prefixes every name is meant for the tracer; elsewhere only a near miss is worth a word.
_OURS = ("DD_TRACE_", "GOSSAMER_")
_THEIRS = ("DD_", "OTEL_")
_SIMILAR = 0.7  # of words
_SAME = 0.93  # of names that differ by a word or an underscore


class Unknown(NamedTuple):
    """A variable without a meaning, and the name that was probably meant (or nothing)."""

    variable: str
    meant: str


def unknown(environ: Mapping[str, str], integrations: Iterable[Tuple[str, Iterable[str]]]) -> List[Unknown]:
    """The variables without a meaning; `integrations` are the names of all integrations with those of their options."""
    known = known_names(integrations)
    found = []
    for name in sorted(environ):
        if name in known or not name.startswith(_OURS + _THEIRS):
            continue
        meant = _nearest(name, known)
        if meant or name.startswith(_OURS):
            found.append(Unknown(name, meant))
    return found


def known_names(integrations: Iterable[Tuple[str, Iterable[str]]]) -> Set[str]:
    """Every variable that has a meaning."""
    known = set()
    for setting in Settings.declarations():
        for variable in setting.env:
            known.add(variable.name)
            known.update(variable.uses)
    for name, options in integrations:
        key = variable_part(name)
        known.update(
            (f"DD_TRACE_{key}_ENABLED", f"DD_{key}_SERVICE", f"DD_TRACE_{key}_SERVICE", f"DD_{key}_SERVICE_NAME")
        )
        known.update(f"GOSSAMER_{key}_{variable_part(option)}" for option in options)
    return known


def _nearest(name: str, known: Set[str]) -> str:
    for candidate in difflib.get_close_matches(name, known, n=5, cutoff=0.85):
        ours, theirs = name.split("_"), candidate.split("_")
        # OTEL_METRICS_EXPORTER is no misspelt OTEL_TRACES_EXPORTER: one word differs, but not by a slip of the finger.
        if len(ours) == len(theirs):
            near = all(_ratio(left, right) >= _SIMILAR for left, right in zip(ours, theirs))
        else:
            near = _ratio(name, candidate) >= _SAME
        if near:
            return candidate
    return ""


def _ratio(left: str, right: str) -> float:
    return difflib.SequenceMatcher(None, left, right).ratio()
