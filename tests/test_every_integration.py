"""What holds for every integration, asked of every declaration."""

import importlib
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from gossamer import _start
from gossamer._core import Recorder
from gossamer._instrument.engine import Engine, find
from gossamer._instrument.versions import Range, installed
from gossamer._trace.tracer import Tracer
from gossamer.integrations import _index

ROOT = Path(__file__).resolve().parent.parent
INTEGRATIONS = _start.engine.load_all()
NAMES = [integration.name for integration in INTEGRATIONS]


def run_python(code, **environ):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environ},
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def importable(integration):
    """Whether the library is here, in a version that we support."""
    versions = [(installed.version(package), Range(text)) for package, text in integration.packages.items()]
    return not versions or any(version is not None and version in supported for version, supported in versions)


@pytest.fixture(params=INTEGRATIONS, ids=NAMES)
def integration(request):
    return request.param


@pytest.fixture
def engine():
    _start.unpatch()
    found = Engine(Tracer(Recorder()), _index.MODULES)
    yield found
    found.uninstall()


def test_there_are_integrations():
    assert len(INTEGRATIONS) >= 12 and len(set(NAMES)) == len(NAMES)


def test_generated_files_are_current():
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "generate.py"), "--check"], stdout=subprocess.PIPE, cwd=str(ROOT)
    )
    assert done.returncode == 0, done.stdout.decode() + "run make generate"


def test_declaring_imports_no_library():
    code = """
        import sys
        from gossamer import _start
        before = set(sys.modules)
        integrations = _start.engine.load_all()
        tops = {hook.module.partition(".")[0] for one in integrations if one.packages for hook in one.hooks}
        print(sorted(tops & set(sys.modules)))
    """
    assert run_python(code).strip() == "[]"


def test_declaration_is_complete(integration):
    assert integration.name == integration.name.lower() and integration.hooks
    assert integration.category in ("web", "datastore", "library")
    assert integration.docs.startswith("https://")
    assert all(option.help.endswith(".") for option in integration.options)
    module = sys.modules[integration.hooks[0].handler.__module__]
    assert module.__doc__ and len(Path(module.__file__).read_text().splitlines()) <= 500
    test = ROOT / "tests" / "integrations" / ("test_%s.py" % Path(module.__file__).stem)
    assert test.exists(), "an integration needs its test file, %s" % test.name


def test_every_target_is_there(integration, engine):
    if not importable(integration):
        pytest.skip("not installed in a supported version")
    import_targets(integration)
    engine.install([integration.name])
    status = engine.statuses[integration.name]
    assert status.missing == []
    assert status.state == "hooked" and status.sites


def import_targets(integration):
    """Import what the hooks are in; a module that the version does not have is one without hooks in range."""
    version = next(filter(None, (installed.version(package) for package in integration.packages)), None)
    for hook in integration.hooks:
        if version in hook.versions:
            try:
                importlib.import_module(hook.module)
            except ImportError as error:
                pytest.fail("%r is in range for %s but %s" % (hook, version, error))


def places(integration):
    found = {}
    for hook in integration.hooks:
        module = sys.modules.get(hook.module)
        if module is not None and hook.path:
            place = find(module, hook.path)
            if place is not None:
                found[hook.target] = (place[2], place[3])
    return found


def test_twice_is_once_and_uninstall_restores(integration, engine):
    if not importable(integration):
        pytest.skip("not installed in a supported version")
    import_targets(integration)
    before = places(integration)
    engine.install([integration.name])
    once = places(integration)
    engine.install([integration.name])
    assert places(integration) == once
    engine.uninstall([integration.name])
    assert places(integration) == before


def test_wrappers_look_like_what_they_wrap(integration, engine):
    if not importable(integration):
        pytest.skip("not installed in a supported version")
    import_targets(integration)
    before = places(integration)
    engine.install([integration.name])
    for target, (raw, _) in places(integration).items():
        original = before[target][0]
        assert type(raw) is type(original) or callable(original)
        function, was = getattr(raw, "__func__", raw), getattr(original, "__func__", original)
        for name in ("__name__", "__qualname__", "__doc__", "__module__"):
            assert getattr(function, name, None) == getattr(was, name, None), (target, name)


def test_disabled_is_absent(integration):
    if not importable(integration):
        pytest.skip("not installed in a supported version")
    version = next(filter(None, (installed.version(package) for package in integration.packages)), None)
    modules = sorted({hook.module for hook in integration.hooks if version in hook.versions})
    code = """
        import importlib, json, sys
        import gossamer.auto
        for name in %r:
            importlib.import_module(name)
        from gossamer import _start
        status = _start.engine.statuses.get(%r)
        print(json.dumps([status.state, status.reason, len(status.sites)] if status else None))
    """ % (modules, integration.name)
    variable = "DD_TRACE_%s_ENABLED" % integration.name.upper().replace("-", "_")
    assert json.loads(run_python(code, **{variable: "false"})) == ["disabled", "off by " + variable, 0]
    assert json.loads(run_python(code, DD_TRACE_ENABLED="false")) is None
