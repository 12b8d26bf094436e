"""What every command says on stderr, and the exit codes; apart from `output`, which the launcher does not need."""

from __future__ import annotations

import sys

OK, PROBLEMS, USAGE = 0, 1, 2


def message(text: str) -> None:
    """A line for people, on stderr; lost if nobody listens there."""
    try:
        sys.stderr.write(f"gossamer: {text}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass
