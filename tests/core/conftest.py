"""The conformance suite of the core: every test runs on every implementation that can be imported here."""

from __future__ import annotations

import importlib
import os

import pytest

# The compiled core has the names of the pure one.
IMPLEMENTATIONS = ("gossamer._core.pure", "gossamer._core.native")


def _importable():
    only = os.environ.get("TEST_CORE")  # a run of the gate is for one of them
    for name in [name for name in IMPLEMENTATIONS if not only or name.endswith(only)]:
        try:
            yield importlib.import_module(name)
        except ImportError:
            if only or name.endswith("pure"):
                raise


@pytest.fixture(params=list(_importable()), ids=lambda module: module.__name__.rpartition(".")[2])
def core(request):
    """The module under test; nothing is active when a test begins."""
    request.param.set_active(None)
    yield request.param
    request.param.set_active(None)


@pytest.fixture
def recorder(core):
    return core.Recorder(core.Buffer())


@pytest.fixture
def taken(recorder):
    """A function that takes the finished spans: a list of chunks, each a list of spans."""

    def take():
        batch = recorder.buffer.swap()
        return [] if batch is None else [list(chunk.spans) for chunk in batch]

    return take


@pytest.fixture
def names(taken):
    """As `taken`, but the names of the spans."""
    return lambda: [[span.name for span in spans] for spans in taken()]
