"""The header formats in which a trace goes from process to process, by the names that the settings give them.

A propagator is an object with three members (`Propagator` below). It sees headers through a function, never as a
container, so that a protocol may hand over whatever it has and looks up only what is asked for.
"""

from __future__ import annotations

from .baggage import BaggagePropagator
from .datadog import DatadogPropagator
from .w3c import TraceContextPropagator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Optional, Protocol, Tuple

    from ..._core import SpanContext

    Getter = Callable[[str], Optional[str]]
    Setter = Callable[[str, str], object]

    class Propagator(Protocol):
        """One format."""

        @property
        def name(self) -> str:
            """As in `DD_TRACE_PROPAGATION_STYLE`."""

        @property
        def fields(self) -> Tuple[str, ...]:
            """The headers it reads and writes, in lower case."""

        @property
        def leads(self) -> Tuple[str, ...]:
            """Those of them without which there is nothing to extract."""

        def inject(self, context: SpanContext, set: Setter) -> None:
            """Write `context` through `set(name, value)`."""

        def extract(self, get: Getter) -> Optional[SpanContext]:
            """What the headers say, read through `get(lower_case_name)`; None if nothing, or nothing valid.

            Ids of 0 stand for a context without a trace, which only carries baggage.
            """


PROPAGATORS: Dict[str, Propagator] = {
    propagator.name: propagator for propagator in (DatadogPropagator(), TraceContextPropagator(), BaggagePropagator())
}

__all__ = ["PROPAGATORS", "BaggagePropagator", "DatadogPropagator", "TraceContextPropagator"]
