"""Fixtures of the tests of the exporters."""

from __future__ import annotations

from tests.export.scripted import scripted  # noqa: F401
from tests.services.test_agent import datadog_test_agent  # noqa: F401
