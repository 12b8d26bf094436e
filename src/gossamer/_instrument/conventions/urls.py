"""Absolute URLs taken apart, as the callers of other services need them; without credentials."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional, Tuple

    Host = Tuple[str, str, Optional[int]]

MAX_URL = 8000
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_MAX_HOSTS = 512

_URL = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.\-]*):)?//([^/?#\\]*)([^?#]*)(?:\?([^#]*))?")
_PATH = re.compile(r"([^?#]*)(?:\?([^#]*))?")

# What stands before the path of a URL -> its origin, host and port. Programs may call anybody: there is an end to it.
_hosts: Dict[str, Host] = {}


def split(url: str) -> Tuple[Host, str, Optional[str]]:
    """((origin, host, port), path, query) of an absolute URL; of others the host is empty."""
    if len(url) > MAX_URL:
        url = url[:MAX_URL]
    # Mostly the host is known: then there is nothing to search but the ends of the parts.
    slash = url.find("/", 8)
    if slash > 0:
        known = _hosts.get(url[:slash])
        if known is not None:
            rest = url[slash:]
            if "#" in rest:
                rest = rest.partition("#")[0]
            path, mark, query = rest.partition("?")
            return known, path, query if mark else None
    match = _URL.match(url)
    if match is None:
        path, query = _PATH.match(url).groups()  # type: ignore[union-attr]
        return ("", "", None), path, query
    scheme, authority, path, query = match.groups()
    key = url[: match.end(2)]
    return _hosts.get(key) or _host(key, (scheme or "http").lower(), authority), path, query


def _host(key: str, scheme: str, authority: str) -> Host:
    authority = authority.rpartition("@")[2]
    name, _, digits = authority.rpartition(":")
    if not name or not (digits.isdigit() or not digits):
        name, digits = authority, ""
    port = int(digits) if 0 < len(digits) < 6 else DEFAULT_PORTS.get(scheme)
    found = ("%s://%s" % (scheme, authority), name.strip("[]").lower(), port)
    if len(_hosts) >= _MAX_HOSTS:
        _hosts.clear()
    _hosts[key] = found
    return found
