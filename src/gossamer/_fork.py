"""What must happen in the child after a fork, in one registry, in the order of registration."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, List

_in_child: List[Callable[[], None]] = []


def in_child(function: Callable[[], None]) -> None:
    """Call `function` in every forked child, before any other code of the child runs."""
    _in_child.append(function)


def _run() -> None:
    for function in _in_child:
        try:
            function()
        except Exception:  # the child must come up whatever is wrong with us
            pass


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_run)
