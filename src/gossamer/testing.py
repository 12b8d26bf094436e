"""For tests: see the spans that code under test makes.

    from gossamer.testing import capture_spans

    def test_checkout():
        with capture_spans() as spans:
            checkout(cart)
        assert spans.one("checkout").attributes["cart.items"] == 3
"""

from __future__ import annotations

from . import _start
from ._core import Span, set_active

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, List, Optional

__all__ = ["CapturedSpans", "capture_spans"]


class CapturedSpans:
    """The finished spans, in the order of their ends; grows while the block runs."""

    def __init__(self) -> None:
        self._spans: List[Span] = []

    def __call__(self, spans: List[Span]) -> None:
        """Take the spans of a trace, as a processor that leaves none of them."""
        self._spans.extend(spans)

    def __iter__(self) -> Iterator[Span]:
        return iter(list(self._spans))

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, index: int) -> Span:
        return self._spans[index]

    def find(self, name: Optional[str] = None, **facts: Any) -> List[Span]:
        """The spans called `name` whose attributes of the class (`resource`, `service`, `kind` ...) are as given."""
        return [
            span
            for span in self
            if (name is None or span.name == name) and all(getattr(span, key) == facts[key] for key in facts)
        ]

    def one(self, name: Optional[str] = None, **facts: Any) -> Span:
        """The only such span.

        Raises:
            AssertionError: there is none, or more than one; the message lists what there is.
        """
        found = self.find(name, **facts)
        if len(found) != 1:
            raise AssertionError("%d spans match %r %r among: %s" % (len(found), name, facts, self._summary()))
        return found[0]

    def children(self, span: Span) -> List[Span]:
        """The spans whose parent is `span`."""
        return [other for other in self if other.parent_id == span.span_id]

    def clear(self) -> None:
        """Forget what was captured so far."""
        self._spans.clear()

    def _summary(self) -> str:
        return ", ".join("%s (%s)" % (span.name, span.resource) for span in self) or "none"

    def __repr__(self) -> str:
        return "<CapturedSpans: %s>" % self._summary()


class capture_spans:
    """A context manager that answers `CapturedSpans`; nothing is sent meanwhile, and no span is sampled away.

    Spans of every thread are captured. Blocks may be nested: the inner one takes the spans.
    """

    def __init__(self) -> None:
        self._recorder = _start.tracer.recorder

    def __enter__(self) -> CapturedSpans:
        recorder = self._recorder
        self._before = (recorder.processors, recorder.keep_unsampled, recorder.enabled)
        captured = CapturedSpans()
        others = tuple(one for one in recorder.processors if not isinstance(one, CapturedSpans))
        recorder.processors = (*others, captured)
        recorder.keep_unsampled = recorder.enabled = True
        self._active = set_active(None)
        return captured

    def __exit__(self, *exception: object) -> None:
        self._recorder.processors, self._recorder.keep_unsampled, self._recorder.enabled = self._before
        set_active(self._active)
