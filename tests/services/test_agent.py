"""The Datadog test agent: it checks the payloads it is sent.

It does not check the types inside spans; the tests of the encoders do.
"""

from __future__ import annotations

import json
import os
import tempfile
import urllib.error
import urllib.request
from typing import Any, Dict, Iterator, List

import pytest

from tests.services.ports import free_port
from tests.services.process import Server, other_python, start

CHECKS = "trace_count_header,meta_tracer_version_header,trace_content_length,trace_stall,meta_events_is_valid_json"


class TestAgent:
    """The running agent; a test that uses it begins with `clear()`."""

    __test__ = False

    def __init__(self, server: Server) -> None:
        self.server = server
        self.url = server.url

    def get(self, path: str) -> Any:
        """The answer to a GET: from JSON, or the text."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                body = answer.read().decode()
        except urllib.error.HTTPError as error:
            body = error.read().decode()
        try:
            return json.loads(body)
        except ValueError:
            return body

    def clear(self) -> None:
        """Forget what has arrived."""
        self.get("/test/session/clear")
        self.get("/test/trace_check/clear")

    @property
    def traces(self) -> List[List[Any]]:
        """What has arrived, as v0.4 has it."""
        return self.get("/test/session/traces")  # type: ignore[no-any-return]

    @property
    def checks(self) -> Dict[str, Dict[str, int]]:
        """How often each check has passed and failed since the last `clear()`."""
        return self.get("/test/trace_check/summary")  # type: ignore[no-any-return]

    @property
    def failures(self) -> List[str]:
        """The checks that found something wrong. The list at /test/trace_check/failures stays empty in this version."""
        return [name for name, counts in self.checks.items() if counts["Failed_Checks"]]


@pytest.fixture(scope="session")
def datadog_test_agent() -> Iterator[TestAgent]:
    """A test agent for the run, all checks on."""
    program = os.path.join(os.path.dirname(other_python("TEST_AGENT_PYTHON")), "ddapm-test-agent")
    with tempfile.TemporaryDirectory(prefix="test-agent-") as folder:
        args = [program, "--host", "127.0.0.1", "-p", "{port}", "--snapshot-dir", folder, "--web-ui-port", "0"]
        args += ["--otlp-http-port", str(free_port()), "--otlp-grpc-port", str(free_port())]
        server = start(args, wait=30.0, cwd=folder, ENABLED_CHECKS=CHECKS)
        yield TestAgent(server)
        server.stop()
