"""``gossamer viewer`` as a program."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from gossamer.viewer import Viewer, default_folder
from gossamer.viewer.command import main
from tests.services.process import clean_environment


def test_it_listens_and_ends(tmp_path: Any) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "gossamer.viewer", "--port", "0", "--memory"],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        assert "in memory" in process.stdout.readline()
        with urllib.request.urlopen(address + "/api/status", timeout=5) as answer:
            assert json.load(answer)["address"] == address
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)
        assert (process.returncode, err) == (0, "")
    finally:
        process.kill()
        process.communicate()


def test_a_taken_port_says_by_whom(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with Viewer(port=0) as viewer:
        assert main(["--port", str(viewer.port), "--memory"]) == 2
        assert f"another viewer: http://localhost:{viewer.port}" in capsys.readouterr().err
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        assert main(["--port", str(other.getsockname()[1]), "--memory"]) == 2
        assert "another program" in capsys.readouterr().err

    class Agent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"version":"7.50.1","endpoints":["/v0.4/traces"]}')

        def log_message(self, *args: Any) -> None:
            pass

    agent = HTTPServer(("127.0.0.1", 0), Agent)
    threading.Thread(target=agent.serve_forever, daemon=True).start()
    try:
        assert main(["--port", str(agent.server_port), "--memory"]) == 2
        err = capsys.readouterr().err
        assert "a Datadog Agent 7.50.1" in err and err.count("\n") == 1
    finally:
        agent.shutdown()
        agent.server_close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--keep", "much"], "--keep"),
        (["--host", "0.0.0.0"], "--token"),
        (["--port", "70000"], "0 to 65535"),
        (["--forward", "nonsense://x"], "address of an Agent"),
        (["--data", "/proc/nowhere/x"], "/proc/nowhere/x"),
    ],
)
def test_options_that_cannot_be(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = options if "--port" in options else ["--port", "0", *options]
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1 and err.startswith("gossamer viewer: ")


def test_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    if sys.platform.startswith("linux"):
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        assert default_folder() == str(tmp_path / "gossamer")
        monkeypatch.delenv("XDG_DATA_HOME")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert default_folder() == str(tmp_path / ".local" / "share" / "gossamer")
