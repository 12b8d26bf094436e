"""Fixtures for all tests. The servers behind them are in tests/services."""

from __future__ import annotations

import os
import signal

import pytest

from tests.services.capture import capture_agent, capture_agent_socket  # noqa: F401
from tests.services.http_server import http_server  # noqa: F401
from tests.services.postgres import postgres_server  # noqa: F401
from tests.services.process import OUR_PREFIXES, peers_python, start_server  # noqa: F401
from tests.services.redis import redis_cluster, redis_server  # noqa: F401

collect_ignore = ["services"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Make pyproject.toml's options known where a plugin, or its version for an old interpreter, does not know them."""
    for option in ("asyncio_mode", "asyncio_default_fixture_loop_scope", "timeout"):
        try:
            parser.addini(option, "known to a plugin that is not here")
        except ValueError:
            pass


# The settings of whoever runs the tests are not the tests' settings.
for name in list(os.environ):
    if name.startswith(OUR_PREFIXES) and name != "GOSSAMER_PURE":
        del os.environ[name]

# A shell has its background jobs ignore Ctrl-C, and what they start inherits it: not what the tests of signals expect.
# The same goes for `nohup` and SIGHUP.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

from gossamer import _core, _start  # noqa: E402 (reads the environment)

# A run that is meant for the compiled core must not pass because that core is missing.
if os.environ.get("TEST_CORE", _core.implementation()) != _core.implementation():
    pytest.exit("TEST_CORE={} but the core is {}".format(os.environ["TEST_CORE"], _core.implementation()), returncode=3)


def pytest_report_header() -> str:
    """Which core the tests run on."""
    return "core: " + _core.implementation()


# What tests trace without capturing it is not for whoever listens on the Agent's port of this machine.
_start.tracer.recorder.buffer.on_first = None


@pytest.fixture(autouse=True)
def nothing_active():
    """No span is active when a test begins, whatever the one before it left open."""
    _core.set_active(None)
    yield
    _core.set_active(None)
