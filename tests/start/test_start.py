"""The parts put together: settings choose the destinations, ends of the process flush."""

import signal
import subprocess
import sys
import textwrap

import pytest

from tests.services.process import clean_environment, run_python


def run(source, agent, **env):
    result = run_python(textwrap.dedent(source), DD_TRACE_AGENT_URL=agent.url, **env)
    assert result.returncode == 0, result
    return result


def names(spans):
    return sorted(span["name"] for span in spans)


def test_a_span_of_ones_own_arrives_without_any_set_up(capture_agent):
    run(
        """
        import gossamer
        with gossamer.trace("job", resource="nightly"):
            pass
        """,
        capture_agent,
        DD_SERVICE="shop",
        DD_ENV="test",
        DD_VERSION="1.2",
        DD_TAGS="team:tea",
    )
    (span,) = capture_agent.wait_for_spans(1)
    assert (span["name"], span["resource"], span["service"], span["parent_id"]) == ("job", "nightly", "shop", 0)
    assert (span["meta"]["env"], span["meta"]["version"], span["meta"]["team"]) == ("test", "1.2", "tea")
    assert span["metrics"]["_sampling_priority_v1"] == 1


def test_both_destinations(capture_agent):
    run(
        "import gossamer\nwith gossamer.trace('job'): pass",
        capture_agent,
        OTEL_EXPORTER_OTLP_ENDPOINT=capture_agent.url,
    )
    (span,) = capture_agent.wait_for_spans(1)
    (other,) = capture_agent.wait_for_otlp_spans(1)
    assert int(other["span_id"], 16) == span["span_id"]


def test_console():
    result = run_python(
        "import gossamer\nwith gossamer.trace('job', resource='x'): pass", OTEL_TRACES_EXPORTER="console"
    )
    assert result.returncode == 0 and "job" in result.stdout + result.stderr


def test_none_and_disabled(capture_agent):
    for env in ({"OTEL_TRACES_EXPORTER": "none"}, {"DD_TRACE_ENABLED": "false"}, {"OTEL_SDK_DISABLED": "true"}):
        run("import gossamer\nwith gossamer.trace('job'): pass", capture_agent, **env)
    assert capture_agent.spans == []


def test_rates_that_come_back_are_used(capture_agent):
    capture_agent.rates = {"service:shop,env:": 0.0, "service:,env:": 1.0}
    run(
        """
        import gossamer
        for _ in range(2):
            with gossamer.trace("job"): pass
            gossamer.flush()
        """,
        capture_agent,
        DD_SERVICE="shop",
    )
    first, second = capture_agent.wait_for_spans(2)
    assert first["metrics"]["_sampling_priority_v1"] == 1
    assert second["metrics"]["_sampling_priority_v1"] == 0


def test_nobody_listens_is_one_line_and_no_delay():
    source = """
        import time, gossamer
        begun = time.monotonic()
        for _ in range(50):
            with gossamer.trace("job"): pass
            gossamer.flush(0.2)
        print(time.monotonic() - begun < 30)
    """
    result = run_python(textwrap.dedent(source), DD_TRACE_AGENT_URL="http://127.0.0.1:9", GOSSAMER_LOG_LEVEL="info")
    assert result.returncode == 0 and "True" in result.stdout
    assert len([line for line in result.stderr.splitlines() if "127.0.0.1:9" in line]) == 1, result.stderr


@pytest.mark.parametrize(
    "end",
    ["", "raise SystemExit(0)", "import sys; sys.exit()", "import threading; threading.Thread(target=print).start()"],
)
def test_a_normal_end_flushes_what_is_finished(capture_agent, end):
    source = "import gossamer.auto, gossamer\n" + textwrap.dedent(
        """
        span = gossamer.start_span("open", activate=True)
        with gossamer.trace("finished"): pass
        """
    )
    run(source + end, capture_agent)
    assert names(capture_agent.wait_for_spans(1)) == ["finished"]


def test_an_unhandled_exception_flushes_and_shows(capture_agent):
    result = run_python(
        "import gossamer\nwith gossamer.trace('job'): raise ValueError('asked for')",
        DD_TRACE_AGENT_URL=capture_agent.url,
    )
    assert result.returncode == 1 and result.stderr.rstrip().endswith("ValueError: asked for")
    (span,) = capture_agent.wait_for_spans(1)
    assert span["error"] == 1 and span["meta"]["error.type"] == "builtins.ValueError"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("handled", [False, True])
def test_sigterm(capture_agent, handled):
    own = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))" if handled else ""
    source = """
        import signal, sys, time
        %s
        import gossamer.auto, gossamer
        with gossamer.trace("job"): pass
        print("ready", flush=True)
        time.sleep(30)
    """ % own
    env = clean_environment(DD_TRACE_AGENT_URL=capture_agent.url, DD_TRACE_WRITER_INTERVAL_SECONDS=60)
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(source)], env=env, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline().strip() == b"ready"
        process.terminate()
        assert process.wait(10) == (3 if handled else -signal.SIGTERM)
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
    assert names(capture_agent.wait_for_spans(1)) == ["job"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs fork")
def test_fork_inherits_nothing_and_sends_its_own(capture_agent):
    run(
        """
        import os, sys, gossamer.auto, gossamer
        with gossamer.trace("before"): pass
        with gossamer.trace("around"):
            pid = os.fork()
            if not pid:
                with gossamer.trace("child"): pass
                sys.exit(0)
            os.waitpid(pid, 0)
        """,
        capture_agent,
        DD_TRACE_WRITER_INTERVAL_SECONDS=60,
    )
    spans = capture_agent.wait_for_spans(3)
    assert names(spans) == ["around", "before", "child"]
    around = next(span for span in spans if span["name"] == "around")
    child = next(span for span in spans if span["name"] == "child")
    assert child["parent_id"] == around["span_id"] and child["trace_id"] == around["trace_id"]
    assert child["meta"]["runtime-id"] != around["meta"]["runtime-id"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_children(capture_agent, tmp_path, method):
    if sys.platform == "win32" and method != "spawn":
        pytest.skip("not on Windows")
    script = tmp_path / "program.py"
    script.write_text(
        textwrap.dedent(
            """
            import multiprocessing, gossamer.auto, gossamer

            def work(n):
                with gossamer.trace("child"): pass
                return n

            if __name__ == "__main__":
                context = multiprocessing.get_context(%r)
                process = context.Process(target=work, args=(1,))
                process.start(); process.join()
                with context.Pool(1) as pool:
                    assert pool.map(work, [1, 2]) == [1, 2]
                    pool.close(); pool.join()
                with gossamer.trace("parent"): pass
            """
            % method
        )
    )
    from tests.services.process import run as run_command

    result = run_command(
        [sys.executable, script], DD_TRACE_AGENT_URL=capture_agent.url, DD_TRACE_WRITER_INTERVAL_SECONDS=60
    )
    assert result.returncode == 0, result
    assert names(capture_agent.wait_for_spans(4)) == ["child", "child", "child", "parent"]


def test_patch_and_unpatch_by_name():
    import gossamer

    with pytest.raises(ValueError, match="no integration is called 'nonesuch'"):
        gossamer.patch("nonesuch")
    gossamer.unpatch()


def test_flush_and_shutdown_with_nothing_to_send():
    result = run_python("import gossamer; print(gossamer.flush(), gossamer.shutdown(), gossamer.shutdown())")
    assert result.stdout.split() == ["True"] * 3
