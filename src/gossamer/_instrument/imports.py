"""Import hooks: run something right after a module was imported, without touching how it is imported."""

from __future__ import annotations

import sys

from .. import _log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Callable, Dict, List, Optional, Sequence

    Watcher = Callable[[ModuleType], None]

_watchers: Dict[str, List[Watcher]] = {}
_finding: set = set()  # type: ignore[type-arg]  # names whose spec is being found, against recursion


class Finder:
    """A meta path finder that finds nothing by itself: it lets the others find, and watches the module's execution."""

    @staticmethod
    def find_spec(name: str, path: Optional[Sequence[str]] = None, target: Optional[ModuleType] = None) -> Any:
        """The spec of a watched module, its loader told to report; None for all others."""
        if name not in _watchers or name in _finding:
            return None
        _finding.add(name)
        try:
            for finder in list(sys.meta_path):
                find = getattr(finder, "find_spec", None)
                if find is None or finder is Finder:
                    continue
                spec = find(name, path, target)
                if spec is not None:
                    _watch_loader(spec)
                    return spec
        finally:
            _finding.discard(name)
        return None


def _watch_loader(spec: Any) -> None:
    loader = spec.loader
    execute = getattr(loader, "exec_module", None)
    if execute is None:  # a namespace package, or a loader of the oldest kind
        return
    name = spec.name

    def exec_module(module: ModuleType) -> None:
        try:
            execute(module)
        finally:
            restore()
        if getattr(module, "__name__", None) == name:
            notify(module)

    def restore() -> None:
        try:
            del loader.exec_module
        except AttributeError:
            pass

    try:
        if getattr(loader, "name", None) != name:  # shared by several modules, or a class: stand in for it
            raise AttributeError
        loader.exec_module = exec_module
    except AttributeError:
        spec.loader = _Loader(loader, exec_module)


class _Loader:
    """Stands in for a loader on which nothing can be set; everything else goes to the original."""

    def __init__(self, loader: Any, exec_module: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._execute = exec_module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: Any) -> Any:
        """As the original does; the module then shows that loader, not this one."""
        create = getattr(self._loader, "create_module", None)
        return None if create is None else create(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Execute, put the original loader back in its place, report."""
        module.__loader__ = self._loader
        spec = getattr(module, "__spec__", None)
        if spec is not None:
            spec.loader = self._loader
        self._execute(module)


def notify(module: ModuleType) -> None:
    """Tell those who watch for `module`; what they raise stays here."""
    for watcher in list(_watchers.get(module.__name__, ())):
        try:
            watcher(module)
        except Exception:
            _log.get(__name__).exception("could not instrument %s", module.__name__)


def watch(name: str, watcher: Watcher) -> bool:
    """Call `watcher(module)` once `name` is imported; at once, and answer True, if it is already.

    A module whose import is under way (we are called from inside it) is reported when it is done.
    """
    _watchers.setdefault(name, []).append(watcher)
    if Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)
    module = sys.modules.get(name)
    if module is None:
        return False
    spec = getattr(module, "__spec__", None)
    if getattr(spec, "_initializing", False):
        _watch_running(module, spec)
        return False
    try:
        watcher(module)
    except Exception:
        _log.get(__name__).exception("could not instrument %s", name)
    return True


def _watch_running(module: ModuleType, spec: Any) -> None:
    # The import machinery clears the flag on the spec when the module is done; nothing else tells.
    original: Any = type(spec)

    class Watched(original):  # type: ignore[misc]
        def __setattr__(self, name: str, value: object) -> None:
            object.__setattr__(self, name, value)
            if name == "_initializing" and not value:
                self.__class__ = original
                notify(module)

    try:
        spec.__class__ = Watched
    except TypeError:
        notify(module)


def unwatch(watcher: Watcher) -> None:
    """Forget `watcher` for all modules; the finder leaves `sys.meta_path` with the last one."""
    for name in list(_watchers):
        _watchers[name] = [known for known in _watchers[name] if known != watcher]
        if not _watchers[name]:
            del _watchers[name]
    if not _watchers and Finder in sys.meta_path:
        sys.meta_path.remove(Finder)
