"""concurrent.futures: what a thread pool runs belongs to the span that submitted it.

Only the active span goes along; the program's own context variables stay where they are. Processes are left alone.
"""

from __future__ import annotations

from gossamer.instrument import Integration, Site, active, set_active

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

futures = Integration(
    "futures",
    title="Futures",
    docs="https://docs.python.org/3/library/concurrent.futures.html",
    page=("fully supported", True),
    notes="Carries the active span; makes none.",
)


def run(*args: Any, **kwargs: Any) -> Any:
    """Call a submitted function under its parent: `run(parent, function, ...)`."""
    before = set_active(args[0])
    try:
        return args[1](*args[2:], **kwargs)
    finally:
        set_active(before)


@futures.wrap("concurrent.futures.thread:ThreadPoolExecutor.submit", build=True)
def submit(site: Site) -> Callable[..., Any]:
    """Submit with the active span as the parent."""
    original = site.original

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        parent = active()
        # A pool of interpreters (Python 3.14) is a thread pool that pickles its functions.
        if parent is None or site.off or len(args) < 2 or args[0].__class__.__name__ == "InterpreterPoolExecutor":
            return original(*args, **kwargs)
        return original(args[0], run, parent, *args[1:], **kwargs)

    return wrapper
