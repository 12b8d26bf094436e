"""The head decision: whether a new trace is kept, taken once, at its root, and carried to all services.

Datadog's terms: a priority of 2 or -1 is the user's word, 1 or 0 the tracer's or the Agent's; the mechanism tells who
decided (0 default, 1 rate from the Agent, 3 rate from the user, 4 by hand).
"""

from __future__ import annotations

from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Mapping, Optional, Tuple

    from .._core import Recorder, Span, Trace

_FACTOR = 1111111111111111111
_LOW = 0xFFFFFFFFFFFFFFFF
_SPACE = 2**64
MAX_AGENT_RATES = 10000

MECHANISM_DEFAULT = 0
MECHANISM_AGENT = 1
MECHANISM_USER = 3


class RateSampler:
    """Keeps a share of all traces, chosen by the trace id, so that every service comes to the same answer.

    Args:
        rate: from 0 to 1; what lies outside is set to the nearer end, and no number at all to 1.
    """

    __slots__ = ("rate", "_threshold")

    def __init__(self, rate: float) -> None:
        self.rate = _bounded(rate)
        # -1: a hash of 0 is within no rate of 0.
        self._threshold = int(self.rate * _SPACE) if self.rate > 0 else -1

    def keeps(self, trace_id: int) -> bool:
        """Whether the trace belongs to the share."""
        return ((trace_id & _LOW) * _FACTOR) & _LOW <= self._threshold


def _bounded(rate: object) -> float:
    try:
        number = float(rate)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return 1.0
    if number != number:
        return 1.0
    return min(1.0, max(0.0, number))


class RateLimiter:
    """Allows so many traces a second, without a lock: threads that collide may pass the limit by a few.

    Args:
        limit: a second; negative: no limit.
    """

    __slots__ = ("limit", "_tokens", "_last")

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._tokens = float(limit)
        self._last = monotonic()

    def allows(self) -> bool:
        """Take one, if there is one."""
        limit = self.limit
        if limit < 0:
            return True
        now = monotonic()
        tokens = self._tokens + (now - self._last) * limit
        self._last = now
        if tokens > limit:
            tokens = limit if limit > 1 or not limit else 1.0
        if tokens < 1:
            self._tokens = tokens
            return False
        self._tokens = tokens - 1
        return True


class Sampler:
    """Decides on a new trace: the user's rate, or else the Agent's for the service, or else keep it.

    A decision that came with the request is never taken again. The recorder calls it with a trace and its first span.

    Args:
        rate: the user's rate (`DD_TRACE_SAMPLE_RATE`), or None.
        agent_rates: as `update_rates` takes them.
        rate_limit: traces a second that the user's rate may keep (`DD_TRACE_RATE_LIMIT`).
        service: the application's service, for spans that name none.
        env: the application's environment.
    """

    def __init__(
        self,
        rate: Optional[float] = None,
        agent_rates: Optional[Mapping[str, float]] = None,
        rate_limit: float = 100,
        service: str = "",
        env: str = "",
    ) -> None:
        self.service = service
        self.env = env
        self.user = None if rate is None else RateSampler(rate)
        self.limiter = RateLimiter(rate_limit)
        self._by_service: Dict[str, RateSampler] = {}
        self._default: Optional[RateSampler] = None
        self._recorder: Optional[Recorder] = None
        if agent_rates:
            self.update_rates(agent_rates)

    def bind(self, recorder: Recorder) -> None:
        """Tell `recorder` in advance what would be decided on every trace, now and after each change."""
        self._recorder = recorder
        recorder.decision = self.decision()

    def decision(self) -> Optional[Tuple[int, int, float]]:
        """Priority, mechanism and rate of every new trace, or None where they differ."""
        if self.user is not None:
            return None
        if self._default is None and not self._by_service:
            return 1, MECHANISM_DEFAULT, 1.0
        if self._default is None or any(one.rate < 1 for one in (self._default, *self._by_service.values())):
            return None
        return 1, MECHANISM_AGENT, 1.0

    def __call__(self, trace: Trace, span: Span) -> None:
        """Set priority, mechanism and rate of `trace`, unless they came from elsewhere."""
        if trace.priority is not None:
            return
        user = self.user
        if user is not None:
            trace.mechanism = MECHANISM_USER
            trace.rate = user.rate
            trace.priority = 2 if user.keeps(trace.trace_id) and self.limiter.allows() else -1
            return
        sampler = self._default
        by_service = self._by_service
        if by_service:
            service = span.service or self.service
            sampler = by_service.get(service) or by_service.get(service.lower()) or sampler
        if sampler is None:
            trace.mechanism = MECHANISM_DEFAULT
            trace.rate = 1.0
            trace.priority = 1
        else:
            trace.mechanism = MECHANISM_AGENT
            trace.rate = sampler.rate
            trace.priority = 1 if sampler.keeps(trace.trace_id) else 0

    def update_rates(self, rates: Mapping[str, float]) -> None:
        """Take over what the Agent answers: `{"service:shop,env:prod": 0.5, "service:,env:": 1}`.

        Entries of other environments do not concern this process; malformed ones are passed over.
        """
        by_service: Dict[str, RateSampler] = {}
        default: Optional[RateSampler] = None
        try:
            entries = list(rates.items())[:MAX_AGENT_RATES]
        except Exception:
            return
        for key, rate in entries:
            if type(rate) not in (int, float) or not 0 <= rate <= 1 or not isinstance(key, str):
                continue
            service, separator, env = key.rpartition(",env:")
            if not separator or service[:8] != "service:":
                continue
            if service == "service:" and not env:
                default = RateSampler(rate)
            elif env == self.env or env == self.env.lower():
                by_service[service[8:]] = RateSampler(rate)
        self._by_service, self._default = by_service, default
        if self._recorder is not None:
            self._recorder.decision = self.decision()
