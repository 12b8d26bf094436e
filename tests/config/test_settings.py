"""Names, precedence, defaults and destinations of the settings."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from gossamer import _log, _settings
from gossamer._config import CODE, DEFAULT
from gossamer._settings import Destination, Settings, settings_table


def read(**environ: str) -> Settings:
    return Settings(environ, warn=False)


def origin(settings: Settings, name: str) -> str:
    return settings.value(getattr(Settings, name)).origin


def problems(settings: Settings, name: str) -> str:
    return "\n".join(settings.value(getattr(Settings, name)).problems)


def test_every_setting_has_a_default_help_and_a_variable() -> None:
    settings = read()
    for declaration in Settings.declarations():
        value = settings.value(declaration)
        assert value.origin == DEFAULT and not value.problems
        assert declaration.help.endswith(".") and declaration.env, declaration.name


def test_no_two_settings_share_a_variable_by_accident() -> None:
    shared = {"DD_TAGS", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_PROPAGATORS", "DD_TRACE_PROPAGATION_STYLE",
              "OTEL_TRACES_EXPORTER"}  # fmt: skip
    seen = [variable.name for declaration in Settings.declarations() for variable in declaration.env]
    assert {name for name in seen if seen.count(name) > 1} == shared


def test_identity() -> None:
    settings = read(DD_SERVICE="shop", DD_ENV="prod", DD_VERSION="1.2")
    assert (settings.service, settings.env, settings.version) == ("shop", "prod", "1.2")
    assert origin(settings, "service") == "DD_SERVICE"


def test_identity_from_opentelemetry() -> None:
    attributes = (
        "service.name=a%20b,service.version=3,deployment.environment=old,deployment.environment.name=new,team=x"
    )
    settings = read(OTEL_RESOURCE_ATTRIBUTES=attributes)
    assert (settings.service, settings.env, settings.version) == ("a b", "new", "3")
    assert settings.tags == {"team": "x"}
    assert read(OTEL_RESOURCE_ATTRIBUTES=attributes, OTEL_SERVICE_NAME="named").service == "named"


def test_identity_from_tags() -> None:
    settings = read(DD_TAGS="service:shop,env:dev,version:7,team:a:b,flag")
    assert (settings.service, settings.env, settings.version) == ("shop", "dev", "7")
    assert settings.tags == {"team": "a:b", "flag": ""}
    assert read(DD_TAGS="a:1 b:2").tags == {"a": "1", "b": "2"}


def test_datadog_wins_over_opentelemetry_and_says_so() -> None:
    value = read(OTEL_SERVICE_NAME="otel", DD_SERVICE="dd").value(Settings.service)
    assert value.value == "dd"
    assert value.ignored == ("OTEL_SERVICE_NAME",)


def test_empty_is_not_set() -> None:
    settings = read(DD_SERVICE="  ", OTEL_SERVICE_NAME="otel", DD_TRACE_RATE_LIMIT="")
    assert settings.service == "otel"
    assert settings.rate_limit == 100
    assert not problems(settings, "rate_limit")


@pytest.mark.parametrize(
    ("name", "variable", "text", "default"),
    [
        ("rate_limit", "DD_TRACE_RATE_LIMIT", "ten", 100),
        ("sample_rate", "DD_TRACE_SAMPLE_RATE", "1.5", None),
        ("sample_rate", "DD_TRACE_SAMPLE_RATE", "nan", None),
        ("flush_interval", "DD_TRACE_WRITER_INTERVAL_SECONDS", "inf", 1.0),
        ("trace_enabled", "DD_TRACE_ENABLED", "maybe", True),
        ("agent_url", "DD_TRACE_AGENT_URL", "agent:8126", None),
        ("agent_url", "DD_TRACE_AGENT_URL", "http://agent:99999", None),
        ("agent_url", "DD_TRACE_AGENT_URL", "http://agent:none", None),
        ("agent_url", "DD_TRACE_AGENT_URL", "unix://", None),
        ("agent_url", "DD_AGENT_HOST", "a b", None),
        ("agent_url", "DD_TRACE_AGENT_PORT", "0", None),
        ("api_version", "DD_TRACE_API_VERSION", "v0.9", None),
        ("sample_rate", "OTEL_TRACES_SAMPLER", "jaeger_remote", None),
        ("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", "collector", "http://localhost:4318/v1/traces"),
        ("otlp_compression", "OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "none"),
        ("http_server_error_statuses", "DD_TRACE_HTTP_SERVER_ERROR_STATUSES", "500-900", set(range(500, 600))),
        ("query_string_obfuscation", "DD_TRACE_OBFUSCATION_QUERY_STRING_REGEXP", "(", None),
        ("traces_exporter", "OTEL_TRACES_EXPORTER", "zipkin", ()),
        ("partial_flush_min_spans", "DD_TRACE_PARTIAL_FLUSH_MIN_SPANS", "9" * 5000, 300),
    ],
)
def test_a_malformed_value_gives_the_default_and_one_line(
    name: str, variable: str, text: str, default: object, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings({variable: text})
    value = getattr(settings, name)
    if default is not None or name != "agent_url":
        assert value == default
    assert origin(settings, name) == DEFAULT
    getattr(settings, name)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert variable in lines[0] and text[:40] in lines[0] and "using the default" in lines[0]
    assert len(lines[0]) < 500


def test_a_malformed_value_leaves_the_next_variable_to_speak() -> None:
    settings = read(DD_TRACE_SAMPLE_RATE="x", OTEL_TRACES_SAMPLER="traceidratio", OTEL_TRACES_SAMPLER_ARG="0.25")
    assert settings.sample_rate == 0.25
    assert "using 0.25 from OTEL_TRACES_SAMPLER" in problems(settings, "sample_rate")


def test_a_warning_is_one_line_without_secrets() -> None:
    settings = read(DD_TRACE_AGENT_URL="ftp://user:hunter2@host\n/x", OTEL_EXPORTER_OTLP_HEADERS="api-key: hunter2")
    shown = problems(settings, "agent_url") + problems(settings, "otlp_headers")
    assert "hunter2" not in shown and "user" not in shown
    assert problems(settings, "otlp_headers")
    assert "\n" not in problems(settings, "agent_url")


def test_code_wins() -> None:
    settings = read(DD_SERVICE="shop")
    settings.service = "other"
    assert settings.service == "other"
    assert origin(settings, "service") == CODE
    settings.clear()
    assert settings.service == "shop"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"DD_TRACE_ENABLED": "false"}, False),
        ({"OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_SDK_DISABLED": "false"}, True),
        ({"OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"DD_TRACE_ENABLED": "1", "OTEL_SDK_DISABLED": "true"}, True),
    ],
)
def test_enabled(environ: dict[str, str], expected: bool) -> None:
    assert read(**environ).trace_enabled is expected


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"DD_TRACE_AGENT_URL": "http://a:1/"}, "http://a:1"),
        ({"DD_TRACE_AGENT_URL": "unix:///tmp/apm.sock"}, "unix:///tmp/apm.sock"),
        ({"DD_TRACE_AGENT_URL": "http://a:1", "DD_AGENT_HOST": "b"}, "http://a:1"),
        ({"DD_AGENT_HOST": "b"}, "http://b:8126"),
        ({"DD_AGENT_HOST": "b", "DD_TRACE_AGENT_PORT": "9"}, "http://b:9"),
        ({"DD_AGENT_HOST": "b", "DD_TRACE_AGENT_PORT": "x"}, "http://b:8126"),
        ({"DD_AGENT_HOST": "fe80::1"}, "http://[fe80::1]:8126"),
        ({"DD_TRACE_AGENT_PORT": "9"}, "http://localhost:9"),
    ],
)
def test_agent(environ: dict[str, str], expected: str) -> None:
    settings = read(**environ)
    assert settings.agent_url == expected
    assert settings.destinations() == [Destination("agent", expected)]


def test_a_port_beside_a_host_is_not_ignored() -> None:
    assert read(DD_AGENT_HOST="b", DD_TRACE_AGENT_PORT="9").value(Settings.agent_url).ignored == ()
    assert "DD_TRACE_AGENT_PORT" in problems(read(DD_AGENT_HOST="b", DD_TRACE_AGENT_PORT="x"), "agent_url")


def test_default_destination_is_the_socket_if_it_exists(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{tmp_path}/apm.socket"
    monkeypatch.setattr(_settings, "AGENT_SOCKET", path)
    assert read().destinations() == [Destination("agent", "http://localhost:8126")]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        assert read().destinations() == [Destination("agent", "unix://" + path)]


COLLECTOR = "http://c:4318/v1/traces"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, ["otlp " + COLLECTOR]),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, ["otlp " + COLLECTOR]),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/x"}, ["otlp http://c:4318/x/v1/traces"]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/own"}, ["otlp http://c:4318/own"]),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://d/t", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
            ["otlp http://d/t"],
        ),
        (
            {"DD_AGENT_HOST": "a", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
            ["agent http://a:8126", "otlp " + COLLECTOR],
        ),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ["otlp http://localhost:4318/v1/traces"]),
        ({"OTEL_TRACES_EXPORTER": "console"}, ["console "]),
        (
            {"OTEL_TRACES_EXPORTER": "console,otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
            ["otlp " + COLLECTOR, "console "],
        ),
        ({"OTEL_TRACES_EXPORTER": "console", "DD_AGENT_HOST": "a"}, ["agent http://a:8126", "console "]),
        ({"OTEL_TRACES_EXPORTER": "none", "DD_AGENT_HOST": "a"}, []),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"},
            ["otlp " + COLLECTOR],
        ),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": "c:4317"}, ["otlp " + COLLECTOR]),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317"},
            ["otlp " + COLLECTOR],
        ),
    ],
)
def test_destinations(environ: dict[str, str], expected: list[str]) -> None:
    assert ["%s %s" % destination for destination in read(**environ).destinations()] == expected


def test_otlp_details() -> None:
    settings = read(
        OTEL_EXPORTER_OTLP_HEADERS="Api-Key=a%2Cb, x=1",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/json",
        OTEL_EXPORTER_OTLP_TIMEOUT="2500",
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
    )
    assert settings.otlp_headers == {"api-key": "a,b", "x": "1"}
    assert (settings.otlp_protocol, settings.otlp_timeout, settings.otlp_compression) == ("http/json", 2.5, "gzip")
    assert read(OTEL_EXPORTER_OTLP_TIMEOUT="10").otlp_timeout == 10.0
    assert read(OTEL_EXPORTER_OTLP_HEADERS="a=b", OTEL_EXPORTER_OTLP_TRACES_HEADERS="c=d").otlp_headers == {"c": "d"}


def test_a_header_cannot_smuggle_another() -> None:
    settings = read(OTEL_EXPORTER_OTLP_HEADERS="good=1,bad=x%0D%0AEvil:%201,b%0Aad=2")
    assert settings.otlp_headers == {"good": "1"}
    assert "2 of its entries" in problems(settings, "otlp_headers")


def test_grpc_is_named_in_a_warning() -> None:
    settings = read(OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert settings.otlp_protocol == "http/protobuf"
    assert "grpc is not supported" in problems(settings, "otlp_protocol")


@pytest.mark.parametrize(
    ("sampler", "argument", "expected"),
    [
        ("always_on", "", 1.0),
        ("parentbased_always_on", "", 1.0),
        ("always_off", "", 0.0),
        ("parentbased_always_off", "", 0.0),
        ("traceidratio", "0.5", 0.5),
        ("PARENTBASED_TRACEIDRATIO", "0.125", 0.125),
        ("traceidratio", "", 1.0),
        ("traceidratio", "7", 1.0),
    ],
)
def test_samplers(sampler: str, argument: str, expected: float) -> None:
    settings = read(OTEL_TRACES_SAMPLER=sampler, OTEL_TRACES_SAMPLER_ARG=argument)
    assert settings.sample_rate == expected
    assert bool(problems(settings, "sample_rate")) is (argument == "7")


def test_propagation() -> None:
    assert read().propagation_extract == ("datadog", "tracecontext", "baggage")
    both = read(DD_TRACE_PROPAGATION_STYLE="Datadog,B3 single header", DD_TRACE_PROPAGATION_STYLE_INJECT="b3multi")
    assert both.propagation_extract == ("datadog", "b3")
    assert both.propagation_inject == ("b3multi",)
    otel = read(OTEL_PROPAGATORS="tracecontext,xray,tracecontext,baggage")
    assert otel.propagation_inject == ("tracecontext", "baggage")
    assert "xray" in problems(otel, "propagation_inject")


def test_log_level() -> None:
    assert read().log_level == "warning"
    assert read(DD_TRACE_DEBUG="true").log_level == "debug"
    assert read(DD_TRACE_DEBUG="false", OTEL_LOG_LEVEL="WARN").log_level == "warning"
    assert read(DD_TRACE_DEBUG="0", GOSSAMER_LOG_LEVEL="error").log_level == "error"


def test_statuses_and_headers() -> None:
    settings = read(DD_TRACE_HTTP_SERVER_ERROR_STATUSES="404, 500-502", DD_TRACE_HEADER_TAGS="X-Id:request.id,Referer")
    assert settings.http_server_error_statuses == {404, 500, 501, 502}
    assert settings.header_tags == {"x-id": "request.id", "referer": ""}
    assert 404 not in settings.http_client_error_statuses and 599 in settings.http_client_error_statuses


@pytest.mark.parametrize(
    ("environ", "expected", "by"),
    [
        ({}, None, DEFAULT),
        ({"DD_TRACE_AIO_REDIS_ENABLED": "false"}, False, "DD_TRACE_AIO_REDIS_ENABLED"),
        (
            {"DD_TRACE_AIO_REDIS_ENABLED": "true", "DD_PATCH_MODULES": "aio-redis:false"},
            True,
            "DD_TRACE_AIO_REDIS_ENABLED",
        ),
        ({"DD_TRACE_OTHER_ENABLED": "0"}, False, "DD_TRACE_OTHER_ENABLED"),
        ({"DD_PATCH_MODULES": "x:true,aio-redis:false"}, False, "DD_PATCH_MODULES"),
        ({"DD_TRACE_DISABLED_INSTRUMENTATIONS": "x, aio-redis"}, False, "DD_TRACE_DISABLED_INSTRUMENTATIONS"),
        ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*"}, False, "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"),
        ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "redis"}, None, DEFAULT),
        ({"DD_PATCH_MODULES": "aio-redis:perhaps"}, None, DEFAULT),
        ({"DD_PATCH_MODULES": ":true"}, None, DEFAULT),
    ],
)
def test_switching_an_integration(environ: dict[str, str], expected: object, by: str) -> None:
    integration = read(**environ).integration("aio-redis", aliases=("other",))
    assert integration.enabled is expected
    assert integration.enabled_by == by


def test_integration_options() -> None:
    integration = read(
        DD_REDIS_SERVICE="cache", GOSSAMER_REDIS_QUERY_LIMIT="5", GOSSAMER_REDIS_FLAG="on", GOSSAMER_REDIS_RATE="x",
        GOSSAMER_REDIS_WORDS="a,b", DD_REDIS_LENGTH="9",
    ).integration("redis")  # fmt: skip
    assert integration.service == "cache"
    assert integration.option("query_limit", 1000) == 5
    assert integration.option("flag", False) is True
    assert integration.option("rate", 0.5) == 0.5
    assert integration.option("words", ()) == ("a", "b")
    assert integration.option("length", 1, env=("DD_REDIS_LENGTH",)) == 9
    integration.put("query_limit", 7)
    assert integration.option("query_limit", 1000) == 7
    assert read(DD_TRACE_REDIS_SERVICE="b").integration("redis").service == "b"
    assert read().integration("redis").service is None


def test_the_table_for_the_documentation() -> None:
    rows = settings_table()
    assert rows[0].name == "service" and "DD_SERVICE" in rows[0].variables
    by_name = {row.name: row for row in rows}
    assert by_name["rate_limit"].default == "100"
    assert by_name["http_client_error_statuses"].default == "500-599"
    assert any("DD_TRACE_<NAME>_ENABLED" in row.variables for row in rows)
    assert all(row.help and row.type for row in rows)


def test_importing_is_light() -> None:
    heavy = ("difflib", "inspect", "http.client", "socket", "asyncio", "argparse")
    code = f"import gossamer._settings, sys; print([name for name in {heavy} if name in sys.modules])"
    environ = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE, timeout=30, check=True)
    assert done.stdout.strip() == b"[]"


def test_warnings_are_kept_in_bounds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(_log, "_MAX_KEYS", len(_log._seen) + 1)
    for number in range(5):
        assert Settings({"DD_TRACE_RATE_LIMIT": "n%d" % number}).rate_limit == 100
    assert len(capsys.readouterr().err.splitlines()) == 2
