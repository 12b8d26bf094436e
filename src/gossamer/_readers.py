"""How environment variables are read where a plain parser is not enough: addresses, lists of pairs, samplers."""

from __future__ import annotations

from gossamer._config import Flawed, Parser, Skip, Variable, boolean, integer, items, number, pairs, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, FrozenSet, Iterable, List, Mapping, Tuple

    Environ = Mapping[str, str]
    _Codes = FrozenSet[int]
else:
    _Codes = frozenset

AGENT_PORT = 8126
OTLP_PORT = 4318
GRPC_PORT = 4317
TRACES_PATH = "/v1/traces"
_port = integer(1, 65535)


# --- tags and resource attributes ------------------------------------------------------------------------------------

# What has a setting of its own is not repeated among the tags.
_OWN_TAGS = ("service", "env", "version")
_OWN_ATTRIBUTES = ("service.name", "service.version", "deployment.environment", "deployment.environment.name")


def _tags(text: str) -> Dict[str, str]:
    """``a:1,b:2`` or ``a:1 b:2``."""
    return pairs(text, ":", "," if "," in text else "")


def _unquote(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)


def _attributes(text: str) -> Dict[str, str]:
    """``a=1,b=2`` with percent-encoded values, as W3C baggage writes them."""
    return {_unquote(key): _unquote(value) for key, value in pairs(text, "=").items()}


def _without(parse: Callable[[str], Dict[str, str]], own: Iterable[str]) -> Callable[[str, Environ], Dict[str, str]]:
    def read(text: str, _: Environ) -> Dict[str, str]:
        try:
            flaw, found = None, parse(text)
        except Flawed as partly:
            flaw, found = partly, _as_pairs(partly.value)
        found = {key: value for key, value in found.items() if key not in own}
        if flaw is not None:
            raise Flawed(found, str(flaw))
        return found

    return read


def _as_pairs(value: object) -> Dict[str, str]:
    return value if isinstance(value, dict) else {}


def _one_of(parse: Callable[[str], Dict[str, str]], keys: Iterable[str]) -> Callable[[str, Environ], str]:
    def read(text: str, _: Environ) -> str:
        try:
            found = parse(text)
        except Flawed as partly:  # reported once, by the setting of the tags
            found = _as_pairs(partly.value)
        for key in keys:
            if found.get(key):
                return found[key]
        raise Skip

    return read


dd_tags = Variable("DD_TAGS", _without(_tags, _OWN_TAGS))
resource_attributes = Variable("OTEL_RESOURCE_ATTRIBUTES", _without(_attributes, _OWN_ATTRIBUTES))
tag_map: Parser[Dict[str, str]] = Parser("a list such as key:value,key:value", _tags)


def tag(name: str) -> Variable[str]:
    """One of the tags in ``DD_TAGS``."""
    return Variable("DD_TAGS", _one_of(_tags, (name,)))


def attribute(*keys: str) -> Variable[str]:
    """One of the attributes in ``OTEL_RESOURCE_ATTRIBUTES``: the first of the keys that is there."""
    return Variable("OTEL_RESOURCE_ATTRIBUTES", _one_of(_attributes, keys))


# --- addresses -------------------------------------------------------------------------------------------------------


def _split(url: str) -> Tuple[str, str, str, str]:
    """Scheme, host, port and path; what is not there is empty. `urllib.parse` is too dear for so little."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        raise ValueError(url)
    rest = rest.partition("#")[0].partition("?")[0]
    authority, slash, path = rest.partition("/")
    place = authority.rpartition("@")[2]
    if place.startswith("["):
        host, _, port = place[1:].partition("]")
        if port and not port.startswith(":"):
            raise ValueError(url)
        return scheme.lower(), host, port[1:], slash + path
    host, colon, port = place.partition(":")
    return scheme.lower(), host, port, slash + path


def _http_url(text: str) -> str:
    scheme, host, port, _ = _split(text)
    if scheme not in ("http", "https") or not host or any(letter.isspace() for letter in text):
        raise ValueError(text)
    if port:
        _port.parse(port if port.isdigit() else "")
    return text


def _agent_url(text: str) -> str:
    if text.startswith("unix://"):
        if len(text) <= len("unix:///"):
            raise ValueError(text)
        return text
    return _http_url(text).rstrip("/")


agent_url: Parser[str] = Parser("an address such as http://host:8126 or unix:///path", _agent_url)
http_url: Parser[str] = Parser("an address such as http://host:4318", _http_url)


def _agent_host(text: str, environ: Environ) -> str:
    if text.startswith(("unix://", "http://", "https://")):
        return _agent_url(text)
    if any(letter.isspace() or letter in "/@?#" for letter in text):
        raise ValueError(text)
    host = f"[{text}]" if text.count(":") > 1 and not text.startswith("[") else text
    port = environ.get("DD_TRACE_AGENT_PORT", "").strip()
    try:
        return _agent_url(f"http://{host}:{_port.parse(port) if port else AGENT_PORT}")
    except ValueError:
        fallback = _agent_url(f"http://{host}:{AGENT_PORT}")
        raise Flawed(fallback, f"DD_TRACE_AGENT_PORT={quote(port)} is not a port; using {AGENT_PORT}") from None


agent_host = Variable("DD_AGENT_HOST", _agent_host, uses=("DD_TRACE_AGENT_PORT",), expects="the name of a host")
agent_port = Variable(
    "DD_TRACE_AGENT_PORT", lambda text, _: f"http://localhost:{_port.parse(text)}", expects=_port.expects
)


# --- OTLP ------------------------------------------------------------------------------------------------------------

_PROTOCOLS = ("http/protobuf", "http/json")


def _protocol(text: str) -> str:
    word = text.lower()
    if word == "grpc":
        raise Flawed(_PROTOCOLS[0], f"grpc is not supported; using {_PROTOCOLS[0]} on port {OTLP_PORT}")
    if word not in _PROTOCOLS:
        raise ValueError(text)
    return word


otlp_protocol: Parser[str] = Parser(" or ".join(_PROTOCOLS), _protocol)


def _means_grpc(environ: Environ) -> bool:
    named = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "").strip()
    named = named or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").strip()
    return named.lower() == "grpc"


def _endpoint(text: str, environ: Environ) -> str:
    if not _means_grpc(environ):
        return _http_url(text)
    # The address of a gRPC receiver: the same collector listens for HTTP one port further.
    url = _http_url(text if "://" in text else "http://" + text)
    _, _, port, path = _split(url)
    if port == str(GRPC_PORT):
        url = url.replace(f":{GRPC_PORT}", f":{OTLP_PORT}", 1)
    return url if path.strip("/") else url.rstrip("/") + TRACES_PATH


def _base_endpoint(text: str, environ: Environ) -> str:
    url = _endpoint(text, environ)
    return url if url.endswith(TRACES_PATH) and _means_grpc(environ) else url.rstrip("/") + TRACES_PATH


_USES = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
otlp_traces_endpoint = Variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", _endpoint, _USES, http_url.expects)
otlp_endpoint = Variable("OTEL_EXPORTER_OTLP_ENDPOINT", _base_endpoint, _USES, http_url.expects)


def _headers(text: str) -> Dict[str, str]:
    headers: Dict[str, str] = {}
    bad = 0
    for part in items(text):
        name, equals, value = part.partition("=")
        name, value = _unquote(name.strip()).lower(), _unquote(value.strip())
        # A line break would end the header and start another.
        if not equals or not _is_token(name) or any(letter in value for letter in "\r\n\0"):
            bad += 1
        else:
            headers[name] = value
    if bad:
        raise Flawed(headers, f"{bad} of its entries are not name=value and are left out")
    return headers


def _is_token(name: str) -> bool:
    return bool(name) and name.isascii() and all(letter.isalnum() or letter in "!#$%&'*+-.^_`|~" for letter in name)


otlp_headers: Parser[Dict[str, str]] = Parser("a list such as name=value,name=value", _headers)


def _milliseconds(text: str) -> float:
    """In seconds. The specification says milliseconds, OpenTelemetry for Python takes seconds: below 100, so do we."""
    value = number(0).parse(text)
    return value / 1000.0 if value >= 100 else value


otlp_timeout: Parser[float] = Parser("a number of milliseconds", _milliseconds)
delay: Parser[float] = Parser("a number of milliseconds", lambda text: number(1).parse(text) / 1000.0)


# --- sampling, levels, statuses --------------------------------------------------------------------------------------


def _sampler(text: str, environ: Environ) -> float:
    word = text.lower()
    word = word[len("parentbased_") :] if word.startswith("parentbased_") else word
    if word == "always_on":
        return 1.0
    if word == "always_off":
        return 0.0
    if word != "traceidratio":
        raise ValueError(text)
    ratio = environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    if not ratio:
        return 1.0
    try:
        return number(0, 1).parse(ratio)
    except ValueError:
        problem = f"OTEL_TRACES_SAMPLER_ARG={quote(ratio)} is not a number from 0 to 1; using 1"
        raise Flawed(1.0, problem) from None


sampler = Variable(
    "OTEL_TRACES_SAMPLER",
    _sampler,
    uses=("OTEL_TRACES_SAMPLER_ARG",),
    expects="always_on, always_off or traceidratio, with or without parentbased_",
)


def _debug(text: str, _: Environ) -> str:
    if boolean.parse(text):
        return "debug"
    raise Skip


_LEVELS = {
    "trace": "trace",
    "debug": "debug",
    "info": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "critical": "error",
    "fatal": "error",
    "none": "none",
    "off": "none",
}


def _level(text: str) -> str:
    word = _LEVELS.get(text.lower())
    if word is None:
        raise ValueError(text)
    return word


debug = Variable("DD_TRACE_DEBUG", _debug, expects=boolean.expects)
log_level: Parser[str] = Parser("debug, info, warning, error or none", _level)


def _not_disabled(text: str, _: Environ) -> bool:
    return not boolean.parse(text)


def _not_none(text: str, _: Environ) -> bool:
    if [word.lower() for word in items(text)] == ["none"]:
        return False
    raise Skip


sdk_disabled = Variable("OTEL_SDK_DISABLED", _not_disabled, expects=boolean.expects)
no_exporter = Variable("OTEL_TRACES_EXPORTER", _not_none)


class Statuses(_Codes):
    """HTTP status codes, with the text that they were written as."""

    written = ""

    def __str__(self) -> str:
        return self.written


def _statuses(text: str) -> Statuses:
    codes: List[int] = []
    for part in items(text):
        first, dash, last = part.partition("-")
        low, high = int(first), int(last if dash else first)
        if not 100 <= low <= high <= 599:
            raise ValueError(text)
        codes.extend(range(low, high + 1))
    result = Statuses(codes)
    result.written = ",".join(items(text))
    return result


statuses: Parser[Statuses] = Parser("a list of status codes and ranges such as 404,500-599", _statuses)


def _header_tags(text: str) -> Dict[str, str]:
    return {name.lower(): tag_name for name, tag_name in pairs(text, ":").items()}


header_tags: Parser[Dict[str, str]] = Parser("a list of headers such as X-Request-Id:request.id,Referer", _header_tags)


def _expression(text: str) -> str:
    import re

    re.compile(text)
    return text


expression: Parser[str] = Parser("a regular expression", _expression)
