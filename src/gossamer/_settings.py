"""The table of settings, one declaration each.

The names of the variables are Datadog's and OpenTelemetry's, so that users keep what they have; ``GOSSAMER_*`` only for
what neither knows. Of several that are set, the first in the declaration counts.
"""

from __future__ import annotations

import os

from gossamer import _readers as read
from gossamer._config import (
    DEFAULT,
    Computed,
    Config,
    Flawed,
    Parser,
    Setting,
    Skip,
    Variable,
    boolean,
    choice,
    choices,
    integer,
    items,
    names,
    number,
    pairs,
    parsed,
    show,
    text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, Optional, Tuple

    _Pair = Tuple[str, str]
else:
    _Pair = tuple

AGENT_SOCKET = "/var/run/datadog/apm.socket"
AGENT_URL = f"http://localhost:{read.AGENT_PORT}"
OTLP_URL = f"http://localhost:{read.OTLP_PORT}{read.TRACES_PATH}"
_STYLES = {
    "datadog": "datadog",
    "tracecontext": "tracecontext",
    "baggage": "baggage",
    "b3": "b3",
    "b3 single header": "b3",
    "b3multi": "b3multi",
    "none": "none",
}


class Destination(_Pair):
    """Where finished spans go; `kind` is "agent", "otlp" or "console" (whose `url` is empty)."""

    __slots__ = ()

    def __new__(cls, kind: str, url: str) -> Destination:
        return super().__new__(cls, (kind, url))

    @property
    def kind(self) -> str:
        """What listens there."""
        return self[0]

    @property
    def url(self) -> str:
        """Its address."""
        return self[1]


def _default_agent(_: Mapping[str, str]) -> str:
    import stat  # this, and what stands in the next function, is wanted with the first span

    try:
        found = stat.S_ISSOCK(os.stat(AGENT_SOCKET).st_mode)
    except OSError:
        found = False
    return "unix://" + AGENT_SOCKET if found else AGENT_URL


def _infer_service(environ: Mapping[str, str]) -> str:
    from gossamer import _service

    return _service.infer(environ)


class Settings(Config):
    """Settings of a process: ``settings.service`` is a value, ``settings.value(Settings.service)`` tells its origin."""

    service = Setting(
        text,
        Computed("the name of the program", _infer_service),
        "Name of the application.",
        ("DD_SERVICE", read.tag("service"), "OTEL_SERVICE_NAME", read.attribute("service.name")),
    )
    env = Setting(
        text,
        "",
        "Environment that the application runs in, such as production.",
        ("DD_ENV", read.tag("env"), read.attribute("deployment.environment.name", "deployment.environment")),
    )
    version = Setting(
        text,
        "",
        "Version of the application.",
        ("DD_VERSION", read.tag("version"), read.attribute("service.version")),
    )
    tags: Setting[Dict[str, str]] = Setting(
        read.tag_map,
        Computed("", lambda _: {}),
        "Tags for every span: `key:value,key:value`.",
        (read.dd_tags, read.resource_attributes),
    )
    trace_enabled = Setting(
        boolean,
        True,
        "Off: no library is instrumented and nothing is recorded.",
        ("DD_TRACE_ENABLED", read.sdk_disabled, read.no_exporter),
    )
    report_hostname = Setting(
        boolean, False, "Send the name of the machine with the spans.", ("DD_TRACE_REPORT_HOSTNAME",)
    )
    hostname = Setting(text, "", "Name of the machine, where it should not be asked for.", ("DD_HOSTNAME",))

    agent_url = Setting(
        read.agent_url,
        Computed(f"unix://{AGENT_SOCKET} if it exists, else {AGENT_URL}", _default_agent),
        "Address of the Datadog Agent: `http://host:port` or `unix:///path`.",
        ("DD_TRACE_AGENT_URL", read.agent_host, read.agent_port),
    )
    agent_timeout = Setting(
        number(0.01, 3600), 2.0, "Seconds to wait for an answer of the Agent.", ("DD_TRACE_AGENT_TIMEOUT_SECONDS",)
    )
    api_version: Setting[Optional[str]] = Setting(
        choice("v0.4", "v0.5"),
        None,
        "Version of the Agent's trace interface; by default what the Agent offers.",
        ("DD_TRACE_API_VERSION",),
    )

    traces_exporter: Setting[Tuple[str, ...]] = Setting(
        choices({"otlp": "otlp", "console": "console", "none": "none"}),
        (),
        "Where spans go: `otlp`, `console`, both, or `none`. By default it follows from the addresses that are set.",
        ("OTEL_TRACES_EXPORTER",),
    )
    otlp_endpoint = Setting(
        read.http_url,
        OTLP_URL,
        f"Address of an OTLP/HTTP receiver; {read.TRACES_PATH} is added to the general one.",
        (read.otlp_traces_endpoint, read.otlp_endpoint),
    )
    otlp_protocol = Setting(
        read.otlp_protocol,
        "http/protobuf",
        "Encoding: `http/protobuf` or `http/json`; `grpc` is not supported.",
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"),
    )
    otlp_headers: Setting[Dict[str, str]] = Setting(
        read.otlp_headers,
        Computed("", lambda _: {}),
        "Headers for the receiver: `name=value,name=value`.",
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"),
        secret=True,
    )
    otlp_timeout = Setting(
        read.otlp_timeout,
        10.0,
        "Time to wait for the receiver: milliseconds; a number below 100 is taken for seconds. Shown in seconds.",
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"),
    )
    otlp_compression = Setting(
        choice("none", "gzip"),
        "none",
        "Compression of what is sent: `gzip` or `none`.",
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"),
    )

    sample_rate: Setting[Optional[float]] = Setting(
        number(0, 1),
        None,
        "Share of the traces that is kept, from 0 to 1. By default the Agent tells.",
        ("DD_TRACE_SAMPLE_RATE", read.sampler),
    )
    rate_limit = Setting(
        integer(-1),
        100,
        "Traces per second that a process keeps where a rate is set; -1: no limit.",
        ("DD_TRACE_RATE_LIMIT",),
    )
    propagation_extract: Setting[Tuple[str, ...]] = Setting(
        choices(_STYLES),
        ("datadog", "tracecontext", "baggage"),
        "Formats of the headers that are read, in this order.",
        ("DD_TRACE_PROPAGATION_STYLE_EXTRACT", "DD_TRACE_PROPAGATION_STYLE", "OTEL_PROPAGATORS"),
    )
    propagation_inject: Setting[Tuple[str, ...]] = Setting(
        choices(_STYLES),
        ("datadog", "tracecontext", "baggage"),
        "Formats of the headers that are written.",
        ("DD_TRACE_PROPAGATION_STYLE_INJECT", "DD_TRACE_PROPAGATION_STYLE", "OTEL_PROPAGATORS"),
    )
    trace_id_128_bit = Setting(
        boolean, True, "Make trace ids of 128 bits instead of 64.", ("DD_TRACE_128_BIT_TRACEID_GENERATION_ENABLED",)
    )

    partial_flush = Setting(
        boolean,
        True,
        "Send the finished spans of a trace that grows before it ends.",
        ("DD_TRACE_PARTIAL_FLUSH_ENABLED",),
    )
    partial_flush_min_spans = Setting(
        integer(1),
        300,
        "Finished spans of an open trace that are sent together.",
        ("DD_TRACE_PARTIAL_FLUSH_MIN_SPANS",),
    )
    flush_interval = Setting(
        number(0.01, 3600),
        1.0,
        "Seconds between two payloads.",
        ("DD_TRACE_WRITER_INTERVAL_SECONDS", parsed("OTEL_BSP_SCHEDULE_DELAY", read.delay)),
    )
    buffer_size = Setting(
        integer(1000),
        20 * 1024 * 1024,
        "Bytes of finished spans that wait to be sent; what comes on top is dropped.",
        ("DD_TRACE_WRITER_BUFFER_SIZE_BYTES",),
    )
    payload_size = Setting(
        integer(1000), 10 * 1024 * 1024, "Largest payload, in bytes.", ("DD_TRACE_WRITER_MAX_PAYLOAD_SIZE_BYTES",)
    )

    logs_injection = Setting(
        Parser(boolean.expects, lambda t: t.lower() == "structured" or boolean.parse(t)),
        True,
        "Add the ids of the trace to the records of `logging`.",
        ("DD_LOGS_INJECTION",),
    )
    log_level = Setting(
        read.log_level, "warning", "Level of Gossamer's own log.", (read.debug, "OTEL_LOG_LEVEL", "GOSSAMER_LOG_LEVEL")
    )
    log_file = Setting(text, "", "File for Gossamer's own log, instead of stderr.", ("DD_TRACE_LOG_FILE",))

    integrations_set: Setting[Dict[str, str]] = Setting(
        read.tag_map,
        Computed("", lambda _: {}),
        "Integrations to switch on and off: `redis:false,bottle:true`.",
        ("DD_PATCH_MODULES",),
    )
    integrations_disabled: Setting[Tuple[str, ...]] = Setting(
        names,
        (),
        "Integrations to leave out, by name; `*` for all.",
        ("DD_TRACE_DISABLED_INSTRUMENTATIONS", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"),
    )
    naming_schema = Setting(
        choice("v0", "v1"), "v0", "Which operation and service names Datadog gets.", ("DD_TRACE_SPAN_ATTRIBUTE_SCHEMA",)
    )
    header_tags: Setting[Dict[str, str]] = Setting(
        read.header_tags,
        Computed("", lambda _: {}),
        "HTTP headers to record: `header` or `header:tag`.",
        ("DD_TRACE_HEADER_TAGS",),
    )
    http_server_error_statuses = Setting(
        read.statuses,
        read.statuses.parse("500-599"),
        "Answers of this application that count as errors.",
        ("DD_TRACE_HTTP_SERVER_ERROR_STATUSES",),
    )
    http_client_error_statuses = Setting(
        read.statuses,
        read.statuses.parse("500-599"),
        "Answers to this application that count as errors.",
        ("DD_TRACE_HTTP_CLIENT_ERROR_STATUSES",),
    )
    http_server_query_string = Setting(
        boolean,
        True,
        "Record the query string of requests received, secrets blotted out.",
        ("DD_TRACE_HTTP_SERVER_TAG_QUERY_STRING", "DD_HTTP_SERVER_TAG_QUERY_STRING"),
    )
    http_client_query_string = Setting(
        boolean,
        True,
        "Record the query string of requests sent, secrets blotted out.",
        ("DD_TRACE_HTTP_CLIENT_TAG_QUERY_STRING", "DD_HTTP_CLIENT_TAG_QUERY_STRING"),
    )
    query_string_obfuscation: Setting[Optional[str]] = Setting(
        read.expression,
        None,
        "Expression for what is blotted out in query strings, instead of the built-in one.",
        ("DD_TRACE_OBFUSCATION_QUERY_STRING_REGEXP",),
    )
    pure = Setting(
        boolean, False, "Use the core written in Python although the compiled one is there.", ("GOSSAMER_PURE",)
    )

    def destinations(self) -> List[Destination]:
        """Where spans go: all that is named; if nothing is, the Agent's usual place."""
        exporters = self.traces_exporter
        if exporters == ("none",):
            return []
        found = []
        if self.value(Settings.agent_url).origin != DEFAULT:
            found.append(Destination("agent", self.agent_url))
        if "otlp" in exporters or (not exporters and self.value(Settings.otlp_endpoint).origin != DEFAULT):
            found.append(Destination("otlp", self.otlp_endpoint))
        if "console" in exporters:
            found.append(Destination("console", ""))
        return found or [Destination("agent", self.agent_url)]

    def integration(self, name: str, aliases: Tuple[str, ...] = ()) -> IntegrationSettings:
        """What is set for one integration; `aliases` are other names that switch it."""
        return IntegrationSettings(self, name, aliases)


class IntegrationSettings:
    """What the environment, or code, says about one integration."""

    __slots__ = ("name", "_config", "_names")

    def __init__(self, config: Settings, name: str, aliases: Tuple[str, ...] = ()) -> None:
        self.name = name
        self._config = config
        self._names = (name,) + aliases

    @property
    def enabled(self) -> Optional[bool]:
        """Whether it was switched on or off; `None` if nobody said anything."""
        value: Optional[bool] = self._config.value(self._switch()).value
        return value

    @property
    def enabled_by(self) -> str:
        """What switched it: the name of a variable, "code" or "default"."""
        return self._config.value(self._switch()).origin

    @property
    def service(self) -> Optional[str]:
        """The service name that its spans get, if one is set."""
        key = variable_part(self.name)
        value: Optional[str] = self._config.value(self._setting("service", text, None, service_variables(key))).value
        return value

    def option(self, name: str, default: Any, env: Tuple[str, ...] = ()) -> Any:
        """The value of an option, of the type of its default; `env`: variables of other tracers that it answers to."""
        variables = env + (f"GOSSAMER_{variable_part(self.name)}_{variable_part(name)}",)
        return self._config.value(self._setting(name, parser_for(default), default, variables)).value

    def put(self, name: str, value: object) -> None:
        """Set an option, "service" or "enabled" from code."""
        self._config.put(self._setting(name, text, "", ()), value)

    def _switch(self) -> Setting[Any]:
        variables: List[Variable[Any]] = []
        for name in self._names:
            own = f"DD_TRACE_{variable_part(name)}_ENABLED"
            variables.append(parsed(own, boolean))
        variables.append(
            Variable("DD_PATCH_MODULES", self._listed_with_value, expects="a list such as redis:false,bottle:true")
        )
        for listing in ("DD_TRACE_DISABLED_INSTRUMENTATIONS", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"):
            variables.append(Variable(listing, self._listed))
        return self._setting("enabled", boolean, None, tuple(variables))

    def _listed(self, listing: str, _: Mapping[str, str]) -> bool:
        words = [word.lower() for word in items(listing)]
        if "*" in words or any(name.lower() in words for name in self._names):
            return False
        raise Skip

    def _listed_with_value(self, listing: str, _: Mapping[str, str]) -> bool:
        try:
            found = pairs(listing, ":")
        except Flawed:  # reported by `integrations_set`
            raise Skip from None
        for name in self._names:
            if name in found:
                return boolean.parse(found[name])
        raise Skip

    def _setting(self, name: str, parser: Parser[Any], default: Any, env: Tuple[Any, ...]) -> Setting[Any]:
        setting: Setting[Any] = Setting(parser, default, "", env)
        setting.name = self.name + "." + name
        return setting


def service_variables(key: str) -> Tuple[str, ...]:
    """The variables that name the service of one integration."""
    return (f"DD_{key}_SERVICE", f"DD_TRACE_{key}_SERVICE", f"DD_{key}_SERVICE_NAME")


def variable_part(name: str) -> str:
    """The name of an integration or option as it stands in the name of a variable."""
    return "".join(letter if letter.isalnum() else "_" for letter in name).upper()


def parser_for(default: object) -> Parser[Any]:
    """The parser for an option with this default."""
    if isinstance(default, bool):
        return boolean
    if isinstance(default, int):
        return integer()
    if isinstance(default, float):
        return number()
    return names if isinstance(default, (tuple, list)) else text


class Row:
    """A line of the documentation of the settings."""

    __slots__ = ("name", "variables", "type", "default", "help")

    def __init__(self, name: str, variables: Tuple[str, ...], type: str, default: str, help: str) -> None:
        self.name = name
        self.variables = variables
        self.type = type
        self.default = default
        self.help = help


def settings_table() -> List[Row]:
    """The settings as rows for the documentation, those of every integration last."""
    rows = []
    for setting in Settings.declarations():
        variables = tuple(variable.name for variable in setting.env)
        rows.append(Row(setting.name, variables, setting.parser.expects, setting.default_text(), setting.help))
    return rows + [
        Row("", ("DD_TRACE_<NAME>_ENABLED",), boolean.expects, "true", "Switch one integration on or off."),
        Row("", service_variables("<NAME>"), "text", "", "Service name for the spans of one integration."),
        Row("", ("GOSSAMER_<NAME>_<OPTION>",), "as its default", "", "Any other option of an integration."),
    ]


settings = Settings(warn=False)  # what is wrong is logged when the tracer starts, not by every command of ours

__all__ = ["Destination", "IntegrationSettings", "Row", "Settings", "settings", "settings_table", "show"]
