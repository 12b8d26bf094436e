"""Starts the tracer in every Python that inherits the environment of `gossamer run`, then gives way to the user's.

The interpreter imports the first `sitecustomize` on its path, before the program. This one is written so that any
Python can read it, the ones too old for us included: those only go on to the user's.
"""

import os
import sys

_here = os.path.dirname(os.path.abspath(__file__))


class _Finder(object):  # noqa: UP004
    """Finds our package beside this file, whatever is on the path: for one import, and at no cost but that."""

    @staticmethod
    def find_spec(name, path=None, target=None):  # type: (str, object, object) -> object
        """The spec of our package; None for all others."""
        if name != "gossamer":
            return None
        try:
            from _frozen_importlib_external import PathFinder
        except ImportError:
            from importlib.machinery import PathFinder
        return PathFinder.find_spec(name, [os.path.dirname(os.path.dirname(_here))])


def _start():  # type: () -> None
    """Import `gossamer.auto` from beside this file: in the interpreter's own environment we may not be installed."""
    try:
        sys.meta_path.insert(0, _Finder)  # type: ignore[arg-type]
        try:
            import gossamer
        finally:
            sys.meta_path.remove(_Finder)  # type: ignore[arg-type]
        import gossamer.auto  # noqa: F401
    except Exception as error:  # whatever is wrong with us, the program runs
        try:
            sys.stderr.write("gossamer: not started: %s: %s\n" % (type(error).__name__, error))
        except Exception:
            pass


def _is_ours(entry):  # type: (str) -> bool
    return os.path.normcase(os.path.abspath(entry)) == os.path.normcase(_here)


def _chain():  # type: () -> None
    """Import the user's sitecustomize as if this one were not there; the interpreter shows what it raises as always."""
    sys.path[:] = [entry for entry in sys.path if not (isinstance(entry, str) and entry and _is_ours(entry))]
    ours = sys.modules.pop("sitecustomize")
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
    except ImportError as error:
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
        sys.modules["sitecustomize"] = ours


if sys.version_info >= (3, 7):  # noqa: UP036
    _start()
_chain()
