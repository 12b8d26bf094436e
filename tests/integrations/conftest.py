"""Fixtures for the tests of the integrations."""

from __future__ import annotations

from typing import Any, Callable, Iterator

import pytest

import gossamer
from gossamer.testing import CapturedSpans, capture_spans


@pytest.fixture
def spans() -> Iterator[CapturedSpans]:
    """The spans that the test makes."""
    with capture_spans() as captured:
        yield captured


@pytest.fixture
def patched() -> Iterator[Callable[..., None]]:
    """`patched("redis")` instruments libraries until the end of the test."""
    yield gossamer.patch
    gossamer.unpatch()


def exception_of(span: Any) -> Any:
    """The attributes of the one exception that a span recorded."""
    (event,) = [event for event in span.events or () if event.name == "exception"]
    return event.attributes
