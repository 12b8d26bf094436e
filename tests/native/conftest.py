"""The compiled core; where it is not built, its tests say so."""

from __future__ import annotations

import importlib
import os

import pytest

try:
    _native = importlib.import_module("gossamer._core.native")
except ImportError as error:
    if os.environ.get("TEST_CORE") == "native":
        raise
    _native, _reason = None, "the compiled core is not built: {}".format(error)


@pytest.fixture
def native():
    """The module under test; nothing is active when a test begins."""
    if _native is None:
        pytest.skip(_reason)
    _native.set_active(None)
    yield _native
    _native.set_active(None)


@pytest.fixture
def recorder(native):
    """With room for all that a test makes."""
    return native.Recorder(native.Buffer(1 << 40))
