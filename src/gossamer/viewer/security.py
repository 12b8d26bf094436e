"""Who may ask for what: the page and its API are for the browser on this machine, the receiving paths for tracers."""

import hmac
import ipaddress
from typing import Dict, FrozenSet, Iterable, Optional, Tuple
from urllib.parse import parse_qs, urlsplit

from gossamer.viewer.http import Request, Response

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_COOKIE = "gossamer_token"


class Refused(Exception):
    """A request that is not allowed."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def is_loopback(host: str) -> bool:
    """Whether the name or address can only mean this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(authority: str) -> Tuple[str, Optional[int]]:
    # host and port of a Host header; a port that is no number gives a host that nothing matches.
    try:
        parts = urlsplit("//" + authority)
        port = parts.port
    except ValueError:
        return "", None
    if parts.username is not None or parts.path or parts.query or parts.fragment:
        return "", None
    return (parts.hostname or "").rstrip("."), port


class Guard:
    """The rules for one viewer."""

    def __init__(
        self,
        host: str,
        port: int,
        allow_hosts: Iterable[str] = (),
        allow_origins: Iterable[str] = (),
        token: Optional[str] = None,
    ) -> None:
        self._port = port
        self._hosts: FrozenSet[str] = frozenset(name.lower().rstrip(".") for name in allow_hosts)
        self._origins: FrozenSet[str] = frozenset(origin.lower().rstrip("/") for origin in allow_origins)
        self._own = host.lower()
        self.token = token

    def host_allowed(self, authority: str) -> bool:
        """Whether a Host header names this viewer: a loopback literal, ``localhost`` or an allowed name, with our
        port.
        """
        name, port = _split(authority)
        if authority.lower() in self._hosts:  # NAME:PORT was allowed as it stands, for a mapped port
            return True
        if not name or (port if port is not None else 80) != self._port:
            return False
        return is_loopback(name) or name in self._hosts or (name == self._own and name not in ("0.0.0.0", "::"))

    def check_host(self, request: Request) -> None:
        """For the page and the API: this ends DNS rebinding."""
        host = request.headers.get("host", "")
        if not self.host_allowed(host):
            raise Refused(
                421,
                "host",
                "this viewer does not answer for host {!r}; --allow-host NAME allows one".format(host[:200]),
            )

    def check_origin(self, request: Request) -> None:
        """For the receiving paths: a web page elsewhere must not be able to send."""
        origin = request.headers.get("origin")
        if origin is None:
            return
        origin = origin.lower().rstrip("/")
        if origin in self._origins:
            return
        scheme, separator, rest = origin.partition("://")
        if not (separator and scheme == "http" and self.host_allowed(rest)):
            raise Refused(
                403, "origin", "requests from {!r} are not accepted; --allow-origin allows one".format(origin[:200])
            )

    def check_change(self, request: Request) -> None:
        """For what changes data: only our page, or a program that says what it does."""
        self.check_origin(request)
        headers = request.headers
        if headers.get("x-gossamer") != "1":
            raise Refused(403, "header", "the header X-Gossamer: 1 is missing")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refused(415, "content_type", "Content-Type must be application/json")
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise Refused(403, "site", "requests from other sites are not accepted")

    def check_token(self, request: Request) -> Optional[Response]:
        """With ``--token``: the cookie must hold it. An address with ``?token=`` sets the cookie and leads to the
        page.
        """
        if self.token is None:
            return None
        if self._same(self._cookie(request.headers)):
            return None
        given = parse_qs(request.query).get("token", [""])[0]
        if request.method == "GET" and request.path == "/" and self._same(given):
            cookie = "{}={}; Path=/; HttpOnly; SameSite=Strict".format(_COOKIE, self.token)
            return Response(302, b"", {"Location": "/", "Set-Cookie": cookie, "Cache-Control": "no-store"})
        raise Refused(401, "token", "open the address with ?token=... that the viewer printed")

    def _same(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), (self.token or "").encode("utf-8", "replace"))

    @staticmethod
    def _cookie(headers: Dict[str, str]) -> str:
        for part in headers.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == _COOKIE:
                return value
        return ""
