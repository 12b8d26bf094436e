"""Installing, versions, settings, taking back; hooks on import."""

import importlib
import subprocess
import sys
import textwrap
import zipfile

import pytest

from gossamer._core import Recorder
from gossamer._instrument import imports
from gossamer._instrument.declare import Integration, Option, SpanStart
from gossamer._instrument.engine import Engine
from gossamer._instrument.status import IntegrationSettings
from gossamer._trace.tracer import Tracer

TARGET = "tests.instrument.sample:"


def simple(call):
    return SpanStart("op")


def test_twice_is_once_and_uninstall_restores(bench):
    original = bench.sample.function
    bench.integration.trace(TARGET + "function")(simple)
    bench.install()
    wrapped = bench.sample.function
    bench.engine.install(["sample"])
    bench.engine.install()
    assert bench.sample.function is wrapped is not original
    bench.engine.uninstall()
    assert bench.sample.function is original and "sample" not in bench.engine.statuses
    bench.engine.install(["sample"])
    bench.sample.function("x")
    assert bench.span().name == "op"


def test_uninstall_under_another_wrapper_leaves_that_one(bench):
    bench.integration.trace(TARGET + "function")(simple)
    bench.install()
    ours = bench.sample.function
    theirs = lambda *args: ours(*args)  # noqa: E731
    bench.sample.function = theirs
    bench.engine.uninstall()
    assert bench.sample.function is theirs
    assert theirs("x") == "x-2" and bench.spans() == []


@pytest.mark.parametrize("order", ["first first", "second first"])
def test_two_integrations_on_one_target(bench, order):
    original = bench.sample.function
    for name in ("one", "two"):
        integration = Integration(name)
        integration.trace(TARGET + "function")(lambda call, name=name: SpanStart(name))
        bench.engine.add(integration)
    bench.sample.function("x")
    assert [span.name for span in bench.spans()] == ["one", "two"]
    first, second = ("one", "two") if order == "first first" else ("two", "one")
    bench.engine.uninstall([first])
    bench.sample.function("x")
    assert bench.span().name == second
    bench.engine.uninstall([second])
    assert bench.sample.function is original


def test_missing_target_is_reported_and_silent(bench, caplog):
    for name in ("gone", "Thing.gone", "Gone.method", "Thing.method.deeper.still"):
        bench.integration.trace(TARGET + name)(simple)
    bench.integration.trace(TARGET + "function")(simple)
    bench.install()
    assert len(bench.status.missing) == 4
    assert bench.status.state == "hooked"
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def test_versions(tmp_path, monkeypatch, bench):
    (tmp_path / "sample_lib-2.5.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    integration = Integration("versioned", packages={"sample-lib": ">=2.0"})
    integration.trace(TARGET + "function", "<2")(lambda call: SpanStart("old"))
    integration.trace(TARGET + "function", ">=2")(lambda call: SpanStart("new"))
    bench.engine.add(integration)
    bench.sample.function("x")
    assert bench.span().name == "new"
    assert bench.engine.statuses["versioned"].version == "2.5"
    unsupported = Integration("too-old", packages={"sample-lib": ">=3"})
    unsupported.trace(TARGET + "coroutine")(simple)
    before = bench.sample.coroutine
    bench.engine.add(unsupported)
    assert bench.engine.statuses["too-old"].state == "unsupported"
    assert bench.sample.coroutine is before


def test_settings(bench):
    options = (Option("limit", 10, "A limit."),)
    integration = Integration("configured", service="default", options=options)

    @integration.trace(TARGET + "function")
    def handler(call):
        return SpanStart("op", attributes={"limit": call.options.limit})

    integration.trace(TARGET + "coroutine")(simple)
    engine = Engine(
        bench.tracer, configure=lambda integration: IntegrationSettings(service="mine", options={"limit": 3})
    )
    engine.add(integration)
    bench.sample.function("x")
    span = bench.span()
    assert span.service == "mine" and span.attributes["limit"] == 3
    with pytest.raises(AttributeError, match="declares no option 'other'"):
        IntegrationSettings(options={"limit": 3}).options.other
    engine.uninstall()


def test_disabled_unless_named(bench):
    bench.integration.trace(TARGET + "function")(simple)
    original = bench.sample.function
    engine = Engine(bench.tracer, configure=lambda integration: IntegrationSettings(False, "off by TEST"))
    engine._files["+sample"] = [bench.integration]
    engine.index = {"tests.instrument.sample": ("+sample",)}
    engine.install()
    assert bench.sample.function is original
    assert (engine.statuses["sample"].state, engine.statuses["sample"].reason) == ("disabled", "off by TEST")
    engine.install(["sample"])
    assert bench.sample.function is not original
    engine.uninstall()
    assert bench.sample.function is original


def test_unknown_name(bench):
    with pytest.raises(ValueError, match="no integration is called 'nonesuch'"):
        bench.engine.install(["nonesuch"])


def test_hooked_on_import(tmp_path, monkeypatch):
    (tmp_path / "later_lib").mkdir()
    (tmp_path / "later_lib" / "__init__.py").write_text("")
    (tmp_path / "later_lib" / "part.py").write_text("def work():\n    return 1\nearly = work\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    engine = Engine(Tracer(Recorder()))
    integration = Integration("later")
    integration.trace("later_lib.part:work")(simple)
    engine.add(integration)
    assert "later_lib" not in sys.modules
    part = importlib.import_module("later_lib.part")
    assert part.work is not part.early and part.work.__wrapped__ is part.early
    assert not engine.statuses["later"].late
    assert "exec_module" not in vars(part.__spec__.loader)
    assert importlib.reload(part).work is not part.early
    engine.uninstall()
    for name in ("later_lib", "later_lib.part"):
        sys.modules.pop(name)


def test_an_import_that_fails_fails_as_before(tmp_path, monkeypatch):
    (tmp_path / "broken_lib.py").write_text("import no_such_module_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    seen = []
    imports.watch("broken_lib", seen.append)
    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all"):
        importlib.import_module("broken_lib")
    (tmp_path / "broken_lib.py").write_text("value = 1  # mended, and of another size\n")
    importlib.invalidate_caches()
    module = importlib.import_module("broken_lib")
    assert seen == [module]
    imports._watchers.pop("broken_lib")


def test_zip_imports(tmp_path, monkeypatch):
    path = tmp_path / "libs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("zipped_one.py", "value = 1")
        archive.writestr("zipped_two.py", "value = 2")
    monkeypatch.syspath_prepend(str(path))
    seen = []
    imports.watch("zipped_one", seen.append)
    two = importlib.import_module("zipped_two")
    one = importlib.import_module("zipped_one")
    assert (one.value, two.value) == (1, 2)
    assert type(one.__loader__).__name__ == "zipimporter"
    if sys.version_info >= (3, 10):  # earlier ones have a loader without exec_module
        assert seen == [one]
    imports._watchers.pop("zipped_one")


def run_python(code, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, cwd=str(tmp_path)
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_a_module_that_is_being_imported_is_hooked_when_it_is_done(tmp_path):
    (tmp_path / "outer_lib.py").write_text(
        "import sys; sys.path[:0] = %r\n"
        "from gossamer._instrument import imports\n"
        "imports.watch('outer_lib', lambda module: print('ready', hasattr(module, 'late')))\n"
        "print('importing')\nlate = 1\n" % (sys.path,)
    )
    code = "import sys; sys.path.insert(0, '.'); import outer_lib; print(type(outer_lib.__spec__).__name__)"
    assert run_python(code, tmp_path).split() == ["importing", "ready", "True", "ModuleSpec"]


def test_the_finder_leaves_with_the_last_watcher():
    def watcher(module):
        pass

    before = dict(imports._watchers)
    imports.watch("never_imported_lib", watcher)
    assert imports.Finder in sys.meta_path
    imports.unwatch(watcher)
    assert imports._watchers == before
    assert (imports.Finder in sys.meta_path) == bool(before)


def test_a_watcher_that_raises_does_not_break_the_import(tmp_path, monkeypatch):
    (tmp_path / "innocent_lib.py").write_text("value = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    imports.watch("innocent_lib", lambda module: 1 / 0)
    assert importlib.import_module("innocent_lib").value == 1
    imports._watchers.pop("innocent_lib")
