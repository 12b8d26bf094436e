"""What the start of tracing imports, and that what it leaves out comes when it is wanted."""

from __future__ import annotations

import sys
import textwrap
from typing import Any, List

import pytest

from tests.services.capture import CaptureAgent
from tests.services.process import ROOT, run, run_python

HEAVY = (
    "argparse", "asyncio", "collections", "contextlib", "dataclasses", "email", "enum", "functools", "http",
    "importlib", "importlib.metadata", "inspect", "json", "logging", "platform", "queue", "random", "re", "select",
    "selectors", "shutil", "signal", "socket", "ssl", "string", "subprocess", "tempfile", "textwrap", "threading",
    "traceback", "types", "typing", "urllib", "urllib.parse", "warnings", "weakref",
)  # fmt: skip
OF_THE_TRACER = (
    "_start", "_core", "_trace", "_wire", "_export", "_instrument.engine", "_instrument.wrap", "instrument", "_service",
)  # fmt: skip


def imported_by(statement: str, **env: Any) -> List[str]:
    """The modules that a statement adds to those of a bare interpreter."""
    # -S: what the environment imports by itself (.pth files) is not what is asked.
    source = "import os, sys; sys.path[:0] = [%r]; before = set(sys.modules); %s; print(*set(sys.modules) - before)"
    result = run([sys.executable, "-S", "-c", source % (str(ROOT / "src"), statement)], **env)
    assert result.returncode == 0, result
    return result.stdout.split()


@pytest.mark.parametrize("env", [{}, {"DD_SERVICE": "shop", "DD_TRACE_AGENT_URL": "http://localhost:8126"}])
def test_the_start_imports_next_to_nothing(env: Any) -> None:
    found = imported_by("import gossamer.auto", **env)
    assert not [name for name in HEAVY if name in found]
    assert not [name for name in OF_THE_TRACER if "gossamer." + name in found]
    assert len(found) <= 20, sorted(found)


def test_the_launcher_imports_next_to_nothing() -> None:
    found = imported_by("import gossamer.cli; from gossamer._cli import run; run.parse(['python', 'app.py'])")
    assert not [name for name in HEAVY if name in found]
    assert not [name for name in found if name.startswith("gossamer._start") or name.startswith("gossamer._settings")]
    assert len(found) <= 10, sorted(found)


def test_the_parts_of_the_tracer_import_no_library_that_is_traced() -> None:
    """They are imported while such a library is: it would come round to itself."""
    from gossamer.integrations._index import MODULES

    found = imported_by("import gossamer._start, gossamer.instrument")
    assert not [name for name in MODULES if name in found]


def test_messages_alone_bring_the_propagators() -> None:
    found = imported_by("import gossamer; gossamer.tracer")
    assert "gossamer._start" in found and "gossamer._trace.propagation" not in found
    assert "gossamer._trace.propagation" in imported_by("import gossamer; gossamer.inject({}); gossamer.extract({})")


def test_the_first_library_brings_the_rest() -> None:
    result = run_python(
        textwrap.dedent(
            """
            import sys
            for name in [name for name in sys.modules if name.split(".")[0] in ("threading", "logging", "sqlite3")]:
                del sys.modules[name]  # an editable install may have imported some
            import gossamer.auto
            print("gossamer._start" in sys.modules)
            import sqlite3, threading, logging
            from gossamer import _begin, _start
            from gossamer._instrument import imports
            for name, status in sorted(_start.engine.statuses.items()):
                print(name, status.state, status.late, [site.late for site in status.sites])
            print(any(_begin._imported in watchers for watchers in imports._watchers.values()))
            """
        )
    )
    assert result.returncode == 0 and not result.stderr, result
    lines = result.stdout.splitlines()
    assert (lines[0], lines[-1]) == ("False", "False")
    rows = {line.split()[0]: line.split(None, 1)[1] for line in lines[1:-1]}
    assert rows["logging"] == "hooked False [False]" and rows["threads"] == "hooked False [False, False]"
    assert rows["sqlite3"].startswith("hooked False") and "True" not in rows["sqlite3"]


def test_libraries_that_are_there_already_are_hooked_at_once() -> None:
    result = run_python(
        "import logging, gossamer.auto\nfrom gossamer import _start\nprint(_start.engine.statuses['logging'].late)"
    )
    assert result.stdout.split() == ["True"], result


def test_patching_by_hand_before_the_first_library() -> None:
    result = run_python(
        textwrap.dedent(
            """
            import gossamer.auto, gossamer
            gossamer.patch()
            import sqlite3
            from gossamer import _start
            status = _start.engine.statuses["sqlite3"]
            print(status.state, status.late, len(status.sites) == len({id(site.hook) for site in status.sites}))
            """
        )
    )
    assert result.stdout.split() == ["hooked", "False", "True"], result


def test_the_first_libraries_of_many_threads(capture_agent: CaptureAgent) -> None:
    result = run_python(
        textwrap.dedent(
            """
            import _thread, sys, time
            sys.setswitchinterval(1e-5)
            import gossamer.auto
            names = ["sqlite3", "http.client", "logging", "jinja2", "concurrent.futures.thread"]
            go, done = [], []
            def work(name):
                while not go: pass
                try: __import__(name)
                except ImportError: pass
                done.append(name)
            for name in names: _thread.start_new_thread(work, (name,))
            go.append(True)
            deadline = time.monotonic() + 20
            while len(done) < len(names):
                assert time.monotonic() < deadline, done
                time.sleep(0.01)
            import sqlite3
            from gossamer import _start
            print(*sorted(name for name in ("sqlite3", "httplib", "logging", "futures")
                          if _start.engine.statuses[name].state == "hooked"))
            connection = sqlite3.connect(":memory:")
            connection.execute("SELECT 1")
            """
        ),
        DD_TRACE_AGENT_URL=capture_agent.url,
    )
    assert result.returncode == 0 and result.stdout.split() == ["futures", "httplib", "logging", "sqlite3"], result
    capture_agent.wait_for_spans(1)
    assert len(capture_agent.spans) == 1  # hooked once, not by each thread


def test_malformed_settings_are_reported_at_the_start() -> None:
    result = run_python(
        "import gossamer.auto",
        DD_TRACE_SAMPLE_RATE="most",
        DD_TRACE_AGENT_URL="nowhere",
        DD_TRACE_HTTP_CLIENT_ERROR_STATUSES="x",
    )
    assert result.returncode == 0
    lines = result.stderr.splitlines()
    assert len(lines) == 3 and all("WARNING gossamer" in line for line in lines), result
    for name in ("DD_TRACE_SAMPLE_RATE='most'", "DD_TRACE_AGENT_URL='nowhere'", "DD_TRACE_HTTP_CLIENT_ERROR_STATUSES"):
        assert name in result.stderr


def test_switched_off_nothing_is_watched() -> None:
    source = """
        import sys, gossamer.auto, sqlite3
        from gossamer._instrument.imports import Finder
        print(Finder in sys.meta_path, "gossamer._start" in sys.modules)
    """
    assert run_python(textwrap.dedent(source), DD_TRACE_ENABLED="false").stdout.split() == ["False", "False"]


def test_the_log_does_without_logging_while_that_is_imported() -> None:
    source = """
        import sys, types
        kept = sys.modules.pop("logging", None)
        from gossamer import _log
        sys.modules["logging"] = types.ModuleType("logging")  # as it is while its own imports run
        _log.once("key", _log.WARNING, "%s of %d", "one", 2)
        try:
            1 / 0
        except ZeroDivisionError:
            _log.get("part").exception("failed")
        _log.get("part").debug("not seen")
        del sys.modules["logging"]
        _log.get("part").warning("as always")
    """
    lines = run_python(textwrap.dedent(source)).stderr.splitlines()
    assert lines[:2] == ["gossamer: one of 2", "gossamer.part: failed: ZeroDivisionError('division by zero')"], lines
    assert len(lines) == 3 and lines[2].endswith("WARNING gossamer.part: as always")


def test_the_names_of_the_package() -> None:
    import gossamer

    assert set(gossamer.__all__) <= set(dir(gossamer))
    assert all(getattr(gossamer, name) is not None for name in gossamer.__all__)
    assert gossamer.trace == gossamer.tracer.trace
    with pytest.raises(AttributeError, match="no attribute 'tracing'"):
        gossamer.tracing
    import gossamer.instrument as instrument

    assert all(getattr(instrument, name) is not None for name in instrument.__all__)
    with pytest.raises(AttributeError, match="no attribute 'mail'"):
        instrument.mail
