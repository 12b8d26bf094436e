"""Installs the hooks of integrations as their libraries are imported, and takes them back."""

from __future__ import annotations

import sys

from .. import _log
from . import imports, wrap
from .declare import Integration
from .status import HOOKED, MISSING, OUT_OF_RANGE, IntegrationSettings, Site, Status
from .versions import installed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple

    from .._trace.tracer import Tracer
    from .declare import Hook

_ABSENT: Any = object()
_buried: List[Tuple[Any, Any, bool]] = []  # (our attribute, what it replaced, whether that was the holder's own)
_PROTOCOLS = {"wsgi": "wsgi", "asgi": "asgi", "dbapi": "dbapi"}
_BUILDERS: Dict[str, Callable[[Site], Any]] = {
    "trace": wrap.build_trace,
    "before": wrap.build_before,
    "after": wrap.build_after,
    "wrap": wrap.build_wrap,
}


class Engine:
    """Knows every integration by name and by the modules in which it has hooks.

    Args:
        tracer: starts the spans.
        index: module -> files of `gossamer.integrations` that have a hook in it (generated: `integrations/_index.py`).
        configure: the settings of an integration. Default: everything on.
        package: where the integrations are imported from.
    """

    def __init__(
        self,
        tracer: Tracer,
        index: Optional[Dict[str, Tuple[str, ...]]] = None,
        configure: Optional[Callable[[Integration], IntegrationSettings]] = None,
        package: str = "gossamer.integrations",
    ) -> None:
        self.tracer = tracer
        self.index = index or {}
        self.configure = configure or (lambda integration: IntegrationSettings(service=integration.service))
        self.package = package
        self.statuses: Dict[str, Status] = {}
        self._files: Dict[str, List[Integration]] = {}
        self._wanted: Dict[str, bool] = {}  # integration or file name -> asked for by name
        self._undo: Dict[str, List[Callable[[], None]]] = {}
        self._done: set = set()  # type: ignore[type-arg]  # (target, handler) of the hooks that are in
        self._watchers: List[Any] = []

    # -- what is known --------------------------------------------------------------------------------------------

    def load(self, file: str) -> List[Integration]:
        """The integrations that the file declares; imported on first use."""
        known = self._files.get(file)
        if known is None:
            module = _import("%s.%s" % (self.package, file))
            known = [value for value in vars(module).values() if isinstance(value, Integration)]
            self._files[file] = known
        return known

    def load_all(self) -> List[Integration]:
        """Every integration there is, by name."""
        files = sorted({file for files in self.index.values() for file in files})
        found = [integration for file in files for integration in self.load(file)]
        return sorted(found, key=lambda integration: integration.name)

    def add(self, integration: Integration) -> None:
        """Make an integration known that stands in no file of ours, and install it."""
        self._files.setdefault("+" + integration.name, [integration])
        index = dict(self.index)
        for hook in integration.hooks:
            index[hook.module] = index.get(hook.module, ()) + ("+" + integration.name,)
        self.index = index
        self.install([integration.name])

    # -- installing -----------------------------------------------------------------------------------------------

    def install(self, names: Optional[Iterable[str]] = None, fresh: bool = False) -> None:
        """Install integrations now, where their library is imported, else when it is. Installing twice is once.

        Args:
            names: of the integrations; default: all that are automatic. A name stands above `automatic=False` and
                above a disabling setting.
            fresh: what is imported already is so just now: nobody can have taken anything from it before us.

        Raises:
            ValueError: no integration has that name.
        """
        if names is None:
            self._wanted.setdefault("*", False)
            modules = list(self.index)
        else:
            modules = []
            for name in names:
                modules += self._modules_of(name)
                self._wanted[name] = True
        for module in modules:
            self._watch(module, fresh)

    def _modules_of(self, name: str) -> List[str]:
        found = [
            hook.module for integration in self.load_all() if integration.name == name for hook in integration.hooks
        ]
        if not found:
            known = ", ".join(integration.name for integration in self.load_all())
            raise ValueError("no integration is called %r; there are: %s" % (name, known))
        return sorted(set(found))

    def _watch(self, module: str, fresh: bool = False) -> None:
        if module in self._watchers:
            loaded = sys.modules.get(module)
            if loaded is not None:
                self._ready(loaded, late=not fresh)
            return
        self._watchers.append(module)
        late = [module in sys.modules and not fresh]

        def ready(loaded: ModuleType) -> None:
            if len(late) > 1:  # executed again, by `importlib.reload`: what we had put in is gone
                self._done = {key for key in self._done if key[0].partition(":")[0] != module}
            late.append(False)
            self._ready(loaded, late[0] and len(late) == 2)

        imports.watch(module, ready)

    def _ready(self, module: ModuleType, late: bool) -> None:
        for file in self.index.get(module.__name__, ()):
            for integration in self.load(file):
                try:
                    self._enter(integration, module, late)
                except Exception:
                    _log.get(__name__).exception("could not install %r into %s", integration, module.__name__)

    def _enter(self, integration: Integration, module: ModuleType, late: bool) -> None:
        hooks = [hook for hook in integration.hooks if hook.module == module.__name__]
        by_name = self._wanted.get(integration.name, False)
        if not hooks or not (by_name or ("*" in self._wanted and integration.automatic)):
            return
        status = self.statuses.get(integration.name)
        if status is None:
            status = self.statuses[integration.name] = Status(integration)
        settings = self.configure(integration)
        if not settings.enabled and not by_name:
            status.state, status.reason = "disabled", settings.reason
            return
        status.version, supported = self._version(integration, module)
        if not supported:
            status.state = "unsupported"
            status.reason = "supported: %s" % ", ".join("%s %s" % item for item in integration.packages.items())
            return
        status.state = HOOKED
        status.late = status.late or late
        for hook in hooks:
            self._install(hook, module, status, settings, late)

    @staticmethod
    def _version(integration: Integration, module: ModuleType) -> Tuple[Optional[str], bool]:
        from .versions import Range

        for package, supported in integration.packages.items():
            version = installed.version(package)
            if version is not None:
                return version, version in Range(supported)
        if not integration.packages:
            return None, True
        top = sys.modules.get(module.__name__.partition(".")[0])
        version = getattr(top, "__version__", None)
        if not isinstance(version, str):
            return None, True
        return version, any(version in Range(supported) for supported in integration.packages.values())

    def _install(
        self, hook: Hook, module: ModuleType, status: Status, settings: IntegrationSettings, late: bool
    ) -> None:
        key = (hook.target, hook.verb, id(hook))
        if key in self._done:
            return
        if status.version not in hook.versions:
            status.tried.setdefault(hook.target, (OUT_OF_RANGE, hook.versions.text))
            return
        undo = self._undo.setdefault(hook.integration.name, [])
        if hook.verb == "loaded":
            site = Site(hook, None, False, self.tracer, settings, late)
            self._load(hook, module, site, undo)
        else:
            place = find(module, hook.path)
            if place is None:
                status.tried[hook.target] = (MISSING, "not in this version (%s)" % status.version)
                _log.get(__name__).debug("%s is not there", hook.target)
                return
            site = self._put(hook, place, settings, late, undo)
        self._done.add(key)
        status.tried.pop(hook.target, None)
        status.sites.append(site)

    def _load(self, hook: Hook, module: ModuleType, site: Site, undo: List[Callable[[], None]]) -> None:
        hook.handler(module, site)
        reverse = hook.extra.get("undo")
        if reverse is not None:
            undo.append(lambda: reverse(module))

    def _put(
        self,
        hook: Hook,
        place: Tuple[Any, str, Any, bool],
        settings: IntegrationSettings,
        late: bool,
        undo: List[Callable[[], None]],
    ) -> Site:
        holder, name, raw, own = place
        static, by_class = isinstance(raw, staticmethod), isinstance(raw, classmethod)
        original = raw.__func__ if static or by_class else raw
        bound = isinstance(holder, type) and not static
        site = Site(hook, original, bound, self.tracer, settings, late)
        if hook.layer not in (None, "db"):
            # Its messages will carry the trace. What writes that is imported now rather than with the first message,
            # when another thread may fork, and its child then wait for ever for the import that it saw begin.
            _ = self.tracer.propagation
        wrapper = wrap.dress(_builder(hook.verb)(site), original)
        attribute: Any = staticmethod(wrapper) if static else classmethod(wrapper) if by_class else wrapper
        setattr(holder, name, attribute)

        def reverse() -> None:
            site.off = True
            if vars(holder).get(name) is not attribute:
                # Wrapped again since. What stands above stays, and ours lets every call through until that goes.
                _buried.append((attribute, raw, own))
                return
            below, was_own = raw, own
            for buried in reversed(_buried[:]):
                if buried[0] is below:
                    _buried.remove(buried)
                    below, was_own = buried[1:]
            if was_own:
                setattr(holder, name, below)
            else:
                delattr(holder, name)

        undo.append(reverse)
        return site

    # -- taking back ----------------------------------------------------------------------------------------------

    def uninstall(self, names: Optional[Sequence[str]] = None) -> None:
        """Restore what was wrapped; default: everything."""
        for name in list(self._undo) if names is None else names:
            for reverse in reversed(self._undo.pop(name, [])):
                try:
                    reverse()
                except Exception:
                    _log.get(__name__).exception("could not take back a hook of %s", name)
            status = self.statuses.pop(name, None)
            if status is not None:
                self._done -= {(hook.target, hook.verb, id(hook)) for hook in status.integration.hooks}
            self._wanted.pop(name, None)
        if names is None:
            self._wanted.clear()


def _builder(verb: str) -> Callable[[Site], Any]:
    if verb in _PROTOCOLS:
        build: Callable[[Site], Any] = _import("%s.protocols.%s" % (__package__, _PROTOCOLS[verb])).build
        return build
    return _BUILDERS[verb]


def _import(name: str) -> Any:
    __import__(name)
    return sys.modules[name]


def find(module: ModuleType, path: Sequence[str]) -> Optional[Tuple[Any, str, Any, bool]]:
    """(holder, name, raw attribute, whether it is the holder's own) of a target; None when it is not there."""
    holder: Any = module
    for name in path[:-1]:
        holder = getattr(holder, name, None)
        if holder is None:
            return None
    name = path[-1]
    if isinstance(holder, type):
        for base in holder.__mro__:
            raw = vars(base).get(name, _ABSENT)
            if raw is not _ABSENT:
                return holder, name, raw, base is holder
        return None
    raw = getattr(holder, name, _ABSENT)
    if raw is _ABSENT:
        return None
    return holder, name, raw, name in getattr(holder, "__dict__", {})
