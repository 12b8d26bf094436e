"""`gossamer run` with real programs: the tracer starts in each Python, and the program notices nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from tests.services.capture import CaptureAgent
from tests.services.ports import wait_until
from tests.services.process import ROOT, Result, clean_environment, run

PYTHON = sys.executable
BOOTSTRAP = ROOT / "src" / "gossamer" / "_bootstrap"
CLI = [PYTHON, "-m", "gossamer", "run"]
SPAN = """
import sys, gossamer
with gossamer.trace("work", resource=" ".join(sys.argv[1:])):
    pass
"""


def cli(*words: Any, **options: Any) -> Result:
    """Run `gossamer run WORDS`."""
    return run([*CLI, *words], **options)


def traced(agent: CaptureAgent, *words: Any, **options: Any) -> Result:
    """Run a program with its spans going to the agent; it must succeed without a word on stderr."""
    result = cli(*words, DD_TRACE_AGENT_URL=agent.url, **options)
    assert (result.returncode, result.stderr) == (0, ""), result
    return result


def script(folder: Path, source: str, name: str = "app.py") -> Path:
    path = folder / name
    path.write_text(source)
    return path


# --- starting --------------------------------------------------------------------------------------------------------


def test_script(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    path = script(tmp_path, SPAN + "print(__file__, __name__, sys.path[0], sys.argv)")
    result = traced(capture_agent, PYTHON, path, "one", "--two")
    assert result.stdout == f"{path} __main__ {tmp_path} {[str(path), 'one', '--two']}\n"
    (span,) = capture_agent.wait_for_spans()
    assert (span["name"], span["resource"], span["service"]) == ("work", "one --two", "app")


def test_module(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    script(tmp_path, SPAN, "shop.py")
    traced(capture_agent, PYTHON, "-m", "shop", cwd=tmp_path)
    (span,) = capture_agent.wait_for_spans()
    if sys.version_info >= (3, 10) or sys.platform == "linux":
        assert span["service"] == "shop"


def test_console_script(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    path = script(tmp_path, f"#!{PYTHON}\n{SPAN}", "my-tool")
    path.chmod(0o755)
    traced(capture_agent, "my-tool", PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert capture_agent.wait_for_spans()[0]["service"] == "my-tool"


def test_gossamer_run_command(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    path = script(tmp_path, SPAN)
    start = "import sys; from gossamer.cli import main_run; sys.exit(main_run())"
    result = run([PYTHON, "-c", start, PYTHON, path], DD_TRACE_AGENT_URL=capture_agent.url)
    assert (result.returncode, result.stderr) == (0, "")
    capture_agent.wait_for_spans()


def test_the_tracer_has_started_before_the_program(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    path = script(tmp_path, "import sys; assert 'gossamer.auto' in sys.modules")
    traced(capture_agent, PYTHON, path)


def test_nothing_of_ours_is_left_on_the_path(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    path = script(tmp_path, "import sys; print([entry for entry in sys.path if '_bootstrap' in entry])")
    assert traced(capture_agent, PYTHON, path).stdout == "[]\n"


def test_an_interpreter_in_which_gossamer_is_not_installed(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    path = script(tmp_path, SPAN)
    environ = clean_environment(DD_TRACE_AGENT_URL=capture_agent.url)
    # Our package is found beside our sitecustomize, not through the path of the program.
    environ["PYTHONPATH"] = str(BOOTSTRAP)
    subprocess.run([PYTHON, str(path)], env=environ, check=True, timeout=30, cwd=str(tmp_path))
    capture_agent.wait_for_spans()


def test_import_gossamer_auto(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    path = script(tmp_path, "import gossamer.auto\n" + SPAN)
    result = run([PYTHON, path], DD_TRACE_AGENT_URL=capture_agent.url)
    assert (result.returncode, result.stderr) == (0, "")
    capture_agent.wait_for_spans()


def test_options_set_the_environment(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    path = script(tmp_path, SPAN)
    result = cli("--service", "shop", "--env=dev", "--agent", capture_agent.url, "--", PYTHON, path)
    assert (result.returncode, result.stderr) == (0, "")
    (span,) = capture_agent.wait_for_spans()
    assert span["service"] == "shop" and span["meta"]["env"] == "dev"


def test_otlp_option(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    pytest.importorskip("opentelemetry.proto.collector")
    result = cli("--otlp", capture_agent.otlp_url, PYTHON, script(tmp_path, SPAN))
    assert (result.returncode, result.stderr) == (0, "")
    capture_agent.wait_for_otlp_spans()
    assert not capture_agent.spans


# --- the user's sitecustomize ----------------------------------------------------------------------------------------


def with_sitecustomize(folder: Path, source: str) -> Dict[str, str]:
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(source)
    return {"PYTHONPATH": os.pathsep.join([str(folder / "site"), str(ROOT / "src")])}


def test_the_users_sitecustomize_runs(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    environ = with_sitecustomize(
        tmp_path, "import builtins, sys; builtins.mark = (__file__, 'gossamer.auto' in sys.modules)"
    )
    path = script(tmp_path, SPAN + "import sitecustomize; print(mark, sitecustomize.__file__)")
    expected = str(tmp_path / "site" / "sitecustomize.py")
    result = traced(capture_agent, PYTHON, path, **environ)
    assert result.stdout == f"{(expected, True)} {expected}\n"
    capture_agent.wait_for_spans()


@pytest.mark.parametrize(
    "source", ["raise ValueError('oops')", "import no_such_module", "syntax error", "raise SystemExit(7)"]
)
def test_its_errors_show_as_without_us(source: str, tmp_path: Path, capture_agent: CaptureAgent) -> None:
    environ = with_sitecustomize(tmp_path, source)
    path = script(tmp_path, "print('ran')")
    without = run([PYTHON, path], DD_TRACE_AGENT_URL=capture_agent.url, **environ)
    # Not through the command: that is a Python program too, and shows the error once more.
    environ["PYTHONPATH"] = str(BOOTSTRAP) + os.pathsep + environ["PYTHONPATH"]
    result = run([PYTHON, path], DD_TRACE_AGENT_URL=capture_agent.url, **environ)
    assert without.stderr and (result.returncode, result.stdout) == (without.returncode, without.stdout)
    if "SystemExit" in source:  # the interpreter gives up and shows all frames, one of ours among them
        assert result.stderr.splitlines()[-1] == without.stderr.splitlines()[-1]
    else:
        assert result.stderr == without.stderr


def test_without_one_nothing_is_said(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    traced(capture_agent, PYTHON, script(tmp_path, "import sitecustomize"))


def test_a_fault_of_ours_does_not_stop_the_program(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    """A copy of the package whose start fails."""
    package = tmp_path / "gossamer"
    (package / "_bootstrap").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('broken')")
    (package / "_bootstrap" / "sitecustomize.py").write_text((BOOTSTRAP / "sitecustomize.py").read_text())
    path = script(tmp_path, "print('ran')")
    result = run([PYTHON, path], PYTHONPATH=package / "_bootstrap")
    assert result == Result(0, "ran\n", "gossamer: not started: RuntimeError: broken\n")


# --- ends ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_exit_code(code: int, tmp_path: Path, capture_agent: CaptureAgent) -> None:
    path = script(tmp_path, SPAN + f"sys.exit({code})")
    assert cli(PYTHON, path, DD_TRACE_AGENT_URL=capture_agent.url).returncode == code
    capture_agent.wait_for_spans()


def test_unhandled_exception(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    path = script(tmp_path, SPAN + "raise KeyError('x')")
    result = cli(PYTHON, path, DD_TRACE_AGENT_URL=capture_agent.url)
    assert result.returncode == 1 and result.stderr.endswith("KeyError: 'x'\n")
    assert result.stderr.startswith("Traceback") and "gossamer" not in result.stderr.replace(str(tmp_path), "")
    capture_agent.wait_for_spans()


SLEEPER = SPAN + "import time; print('ready', flush=True); time.sleep(60)"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_signals(number: int, tmp_path: Path, capture_agent: CaptureAgent) -> None:
    path = script(tmp_path, SLEEPER)
    environ = clean_environment(DD_TRACE_AGENT_URL=capture_agent.url)
    process = subprocess.Popen([*CLI, PYTHON, str(path)], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        began = time.monotonic()
        _, errors = process.communicate(timeout=10)
        # Python turns SIGINT into KeyboardInterrupt, and from 3.8 on dies of the signal after it has said so.
        assert process.returncode == (1 if number == signal.SIGINT and sys.version_info < (3, 8) else -number)
        assert time.monotonic() - began < 3
        if number != signal.SIGKILL:
            capture_agent.wait_for_spans()
        if number == signal.SIGTERM:
            assert errors == b""
    finally:
        process.kill()
        process.communicate()


def test_a_handler_of_the_program_keeps_sigterm(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    source = "import signal, os, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n" + SPAN
    path = script(tmp_path, source + "os.kill(os.getpid(), signal.SIGTERM)\nimport time; time.sleep(30)")
    assert cli(PYTHON, path, DD_TRACE_AGENT_URL=capture_agent.url).returncode == 5
    capture_agent.wait_for_spans()


def test_nobody_listens(tmp_path: Path) -> None:
    path = script(tmp_path, SPAN)
    began = time.monotonic()
    result = cli(PYTHON, path, DD_TRACE_AGENT_URL="http://127.0.0.1:9")
    assert (result.returncode, result.stderr) == (0, "")
    assert time.monotonic() - began < 8


# --- children --------------------------------------------------------------------------------------------------------


def names(agent: CaptureAgent) -> List[str]:
    return sorted(span["resource"] for span in agent.spans)


def test_subprocess(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    child = script(tmp_path, SPAN, "child.py")
    path = script(
        tmp_path,
        f"import subprocess, sys; subprocess.run([sys.executable, {str(child)!r}, 'child'], check=True)\n" + SPAN,
    )
    traced(capture_agent, PYTHON, path, "parent")
    capture_agent.wait_for_spans(2)
    assert names(capture_agent) == ["child", "parent"]
    assert {span["service"] for span in capture_agent.spans} == {"app", "child"}


MULTIPROCESSING = """
import {package} as multiprocessing, gossamer
def work(name):
    with gossamer.trace("work", resource=name):
        pass
if __name__ == "__main__":
    {start}
    work("parent")
    children = [multiprocessing.Process(target=work, args=("child%d" % number,)) for number in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
        assert child.exitcode == 0, child.exitcode
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str, tmp_path: Path, capture_agent: CaptureAgent) -> None:
    start = f"multiprocessing.set_start_method({method!r})"
    path = script(tmp_path, MULTIPROCESSING.format(package="multiprocessing", start=start))
    traced(capture_agent, PYTHON, "-W", "ignore", path)
    capture_agent.wait_for_spans(3)
    assert names(capture_agent) == ["child0", "child1", "parent"]
    assert {span["service"] for span in capture_agent.spans} == {"app"}


def test_multiprocessing_pool(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    source = (
        SPAN
        + """
from multiprocessing import Pool
def work(name):
    with gossamer.trace("work", resource=name):
        pass
if __name__ == "__main__":
    with Pool(2) as pool:
        pool.map(work, ["a", "b", "c"])
        pool.close(); pool.join()
"""
    )
    traced(capture_agent, PYTHON, "-W", "ignore", script(tmp_path, source), "parent")
    capture_agent.wait_for_spans(4)
    assert names(capture_agent) == ["a", "b", "c", "parent"]


def test_billiard(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    pytest.importorskip("billiard")
    path = script(tmp_path, MULTIPROCESSING.format(package="billiard", start="pass"))
    traced(capture_agent, PYTHON, "-W", "ignore", path)
    capture_agent.wait_for_spans(3)
    assert names(capture_agent) == ["child0", "child1", "parent"]


def test_os_fork(tmp_path: Path, capture_agent: CaptureAgent) -> None:
    source = (
        SPAN
        + """
import os
child = os.fork()
with gossamer.trace("work", resource="child" if child == 0 else "after"):
    pass
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    )
    traced(capture_agent, PYTHON, "-W", "ignore", script(tmp_path, source), "before")
    capture_agent.wait_for_spans(3)
    time.sleep(0.1)
    assert names(capture_agent) == ["after", "before", "child"]


# --- servers ---------------------------------------------------------------------------------------------------------

WSGI = """
import os, gossamer
def app(environ, start_response):
    with gossamer.trace("web", resource=environ["PATH_INFO"]) as span:
        span.set_attribute("worker", os.getpid())
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(os.getpid()).encode()]
"""
ASGI = """
import os, gossamer
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    with gossamer.trace("web", resource=scope["path"]):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def ask(server: Any, count: int) -> None:
    for number in range(count):
        assert fetch(f"{server.url}/{number}")


@pytest.mark.parametrize(
    "options", [["--workers", "2"], ["--workers", "2", "--preload"], ["--workers", "1", "--threads", "2"]]
)
def test_gunicorn(
    options: List[str], tmp_path: Path, capture_agent: CaptureAgent, start_server: Callable[..., Any]
) -> None:
    pytest.importorskip("gunicorn")
    script(tmp_path, WSGI, "shop.py")
    # A worker that is told to end while it is still starting does not hear it; gunicorn then waits for so long.
    options = ["--graceful-timeout", "3", *options]
    command = [*CLI, PYTHON, "-m", "gunicorn", "-b", "127.0.0.1:{port}", *options, "shop:app"]
    server = start_server(command, cwd=tmp_path, DD_TRACE_AGENT_URL=capture_agent.url)
    ask(server, 10)
    server.send(signal.SIGTERM)
    assert server.wait() == 0, server.output
    spans = capture_agent.wait_for_spans(10)
    assert sorted(span["resource"] for span in spans) == sorted(f"/{number}" for number in range(10))
    assert {span["service"] for span in spans} == {"shop"}
    assert "gossamer" not in server.output.replace(str(ROOT), "")


@pytest.mark.parametrize("options", [[], ["--workers", "2"], ["--reload"]])
def test_uvicorn(
    options: List[str], tmp_path: Path, capture_agent: CaptureAgent, start_server: Callable[..., Any]
) -> None:
    pytest.importorskip("uvicorn")
    script(tmp_path, ASGI, "shop.py")
    command = [*CLI, PYTHON, "-m", "uvicorn", "--port", "{port}", *options, "shop:app"]
    server = start_server(command, cwd=tmp_path, DD_TRACE_AGENT_URL=capture_agent.url)
    ask(server, 6)
    server.send(signal.SIGTERM)
    server.wait()
    spans = capture_agent.wait_for_spans(6)
    assert sorted(span["resource"] for span in spans) == sorted(f"/{number}" for number in range(6))
    assert {span["service"] for span in spans} == {"shop"}


def test_uvicorn_after_a_reload(tmp_path: Path, capture_agent: CaptureAgent, start_server: Callable[..., Any]) -> None:
    pytest.importorskip("uvicorn")
    path = script(tmp_path, ASGI, "shop.py")
    command = [*CLI, PYTHON, "-m", "uvicorn", "--port", "{port}", "--reload", "shop:app"]
    server = start_server(command, cwd=tmp_path, DD_TRACE_AGENT_URL=capture_agent.url)
    first = fetch(server.url + "/a")
    changed = 0.0

    def reloaded() -> bool:
        nonlocal changed
        # A change before the reloader's first look is not seen as one: change it until it is.
        if time.monotonic() > changed + 3:
            changed = time.monotonic()
            path.write_text(f"{ASGI}\n# changed {changed}\n")
        try:
            return fetch(server.url + "/b") != first
        except OSError:
            return False

    wait_until(reloaded, 20, "a reload")
    wait_until(lambda: {span["resource"] for span in capture_agent.spans} == {"/a", "/b"}, 10, "spans of both")
