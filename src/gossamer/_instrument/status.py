"""What became of every hook, for `gossamer doctor`, and the switch that takes a failing one out."""

from __future__ import annotations

from .. import _log
from .declare import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

    from .._trace.tracer import Tracer
    from .declare import Hook, Integration

MAX_FAILURES = 10
"""A hook whose handler failed so often takes itself out."""

WAITING, HOOKED, MISSING, OUT_OF_RANGE, FAILED, REMOVED = (
    "waiting", "hooked", "missing", "out of range", "failed", "removed",
)  # fmt: skip


class Site:
    """A hook at its place: what its wrapper needs, and whether it still works.

    Attributes:
        original: the function as the library has it (unwrapped from `staticmethod` and `classmethod`).
        bound: whether the first argument is the instance or the class.
        off: True lets every call through untraced.
        state: "hooked", or "removed" after too many failures.
    """

    __slots__ = (
        "hook", "original", "bound", "tracer", "recorder", "settings", "options", "service", "layer", "name", "off",
        "failures", "state", "detail", "late",
    )  # fmt: skip

    def __init__(
        self, hook: Hook, original: Any, bound: bool, tracer: Tracer, settings: IntegrationSettings, late: bool
    ) -> None:
        self.hook = hook
        self.original = original
        self.bound = bound
        self.tracer = tracer
        self.recorder = tracer.recorder
        self.settings = settings
        self.options = settings.options
        self.service = settings.service
        self.layer = hook.layer
        self.name = hook.integration.name
        self.off = False
        self.failures = 0
        self.state = HOOKED
        self.detail = ""
        self.late = late

    def failed(self, error: BaseException) -> None:
        """Count a failure of the handler; the first is logged, and with the tenth the hook takes itself out."""
        self.failures += 1
        if self.failures == 1:
            self.detail = "%s: %s" % (type(error).__name__, error)
            _log.get(__name__).warning("the handler of %r failed", self.hook, exc_info=error)
        if self.failures >= MAX_FAILURES and not self.off:
            self.off = True
            self.state = REMOVED
            _log.get(__name__).warning("%r failed %d times and is off now", self.hook, self.failures)


class IntegrationSettings:
    """How one integration runs here.

    Attributes:
        enabled: False: none of its hooks is installed; `reason` says who switched it off.
        service: the service its spans carry, None: the application's.
        options: values of its options.
        shared: what the conventions read: the tracer-wide settings (error statuses, header tags ...).
    """

    __slots__ = ("enabled", "reason", "service", "options", "shared")

    def __init__(
        self,
        enabled: bool = True,
        reason: str = "",
        service: Optional[str] = None,
        options: Optional[Dict[str, object]] = None,
        shared: Any = None,
    ) -> None:
        self.enabled = enabled
        self.reason = reason
        self.service = service
        self.options = Options(options or {}, shared)
        self.shared = shared


class Status:
    """The state of one integration in this process.

    Attributes:
        state: "waiting" (its library is not imported), "hooked", "disabled", "unsupported" (version out of range).
        version: of the installed library, None when unknown or part of the standard library.
        hooks: target, state and detail of each hook that was tried.
    """

    def __init__(self, integration: Integration) -> None:
        self.integration = integration
        self.state = WAITING
        self.reason = ""
        self.version: Optional[str] = None
        self.late = False
        self.tried: Dict[str, Tuple[str, str]] = {}
        self.sites: List[Site] = []

    @property
    def hooks(self) -> List[Tuple[str, str, str]]:
        """(target, state, detail) of every hook whose module was imported."""
        found = dict(self.tried)
        for site in self.sites:
            found[site.hook.target] = (site.state, site.detail)
        return [(target, state, detail) for target, (state, detail) in found.items()]

    @property
    def missing(self) -> List[str]:
        """Targets that this version ought to have and has not."""
        return [target for target, state, _ in self.hooks if state == MISSING]
