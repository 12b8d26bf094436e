"""Absolute URLs taken apart, as the callers of other services need them; without credentials."""

from __future__ import annotations

import re

from .query import Redactor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional, Tuple

    Host = Tuple[str, str, Optional[int]]

MAX_URL = 8000
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_MAX_HOSTS = 512

_URL = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.\-]*):)?//([^/?#\\]*)([^?#]*)(?:\?([^#]*))?")
_PATH = re.compile(r"([^?#]*)(?:\?([^#]*))?")

_hosts: Dict[Tuple[str, str], Host] = {}
_redactors: Dict[Optional[str], Redactor] = {}


def shown_query(query: str, settings: Any) -> str:
    """`?query` as a span may show it, or nothing; `settings` are the tracer's, or None."""
    if settings is None:
        expression = None
    elif settings.http_client_query_string:
        expression = settings.query_string_obfuscation
    else:
        return ""
    redact = _redactors.get(expression)
    if redact is None:
        redact = _redactors[expression] = Redactor(expression)
    return "?" + redact(query)


def split(url: str) -> Tuple[Host, str, Optional[str]]:
    """((origin, host, port), path, query) of an absolute URL; of others the host is empty."""
    if len(url) > MAX_URL:
        url = url[:MAX_URL]
    match = _URL.match(url)
    if match is None:
        path, query = _PATH.match(url).groups()  # type: ignore[union-attr]
        return ("", "", None), path, query
    scheme, authority, path, query = match.groups()
    key = (scheme or "http", authority)
    return _hosts.get(key) or _host(key), path, query


def _host(key: Tuple[str, str]) -> Host:
    scheme, authority = key[0].lower(), key[1].rpartition("@")[2]
    name, _, digits = authority.rpartition(":")
    if not name or not (digits.isdigit() or not digits):
        name, digits = authority, ""
    port = int(digits) if 0 < len(digits) < 6 else DEFAULT_PORTS.get(scheme)
    found = ("%s://%s" % (scheme, authority), name.strip("[]").lower(), port)
    if len(_hosts) >= _MAX_HOSTS:
        _hosts.clear()
    _hosts[key] = found
    return found
