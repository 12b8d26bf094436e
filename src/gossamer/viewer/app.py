"""The viewer as one object: store, receiver, API and server."""

import os
import sys
from typing import Iterable, Optional, Union

from gossamer import _log
from gossamer.viewer.api import API
from gossamer.viewer.http import HTTPError, Request, Response, Server
from gossamer.viewer.limits import Limits, parse_limits
from gossamer.viewer.live import Live
from gossamer.viewer.receive import Receiver, is_receiving
from gossamer.viewer.security import Guard, Refused, is_loopback
from gossamer.viewer.status import Counters
from gossamer.viewer.store import Store


def default_folder() -> str:
    """Where traces are kept unless told otherwise."""
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local")
    elif sys.platform == "darwin":
        base = os.path.join(home, "Library", "Application Support")
    else:
        base = os.environ.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share")
    return os.path.join(base, "gossamer")


class Viewer:
    """An embedded collector with a page to look at what it received.

    ``data_dir`` is the folder to keep traces in; ``None`` keeps them in memory. ``keep`` is ``Limits`` or text such
    as ``"500000,7d"``. ``port`` 0 takes a free one. A ``host`` that other machines can reach needs a ``token``.
    Raises ``OSError`` where the port is taken, ``ValueError`` for settings that cannot be.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8126,
        data_dir: Optional[str] = None,
        keep: Union[Limits, str, None] = None,
        forward: Optional[str] = None,
        allow_hosts: Iterable[str] = (),
        allow_origins: Iterable[str] = (),
        token: Optional[str] = None,
    ) -> None:
        if not is_loopback(host) and not token:
            raise ValueError("listening on {} lets other machines read your traces: give --token".format(host))
        limits = parse_limits(keep) if isinstance(keep, str) else keep
        self.counters = Counters()
        self._server = Server(host, port, self._handle, self._http2)
        try:
            self.store = Store(data_dir, limits)
            self._receiver = Receiver(self.store, self.counters, forward)
        except BaseException:
            self._server.stop()
            raise
        self._guard = Guard(host, self._server.port, allow_hosts, allow_origins, token)
        self._live = Live(self.store, self.counters.rate)
        self._api = API(self.store, self.counters, self._guard, self._live)
        shown = "localhost" if is_loopback(host) and host != "::1" else host
        self.host = host
        self.port = self._server.port
        self.address = "http://{}:{}".format("[{}]".format(shown) if ":" in shown else shown, self.port)
        self._api.address = self.address

    def start(self) -> "Viewer":
        """Begin to write and to answer, in background threads."""
        self.store.start()
        self._server.start()
        return self

    def stop(self) -> None:
        """Stop answering, write what is queued, close."""
        self._live.stop()
        self._server.stop()
        self.store.stop()

    def __enter__(self) -> "Viewer":
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _http2(self) -> None:
        self._receiver.http2()

    def _handle(self, request: Request) -> Response:
        if is_receiving(request.path):
            try:
                self._guard.check_origin(request)
            except Refused as error:
                self.counters.refused(request.path, str(error))
                _log.once(("viewer origin", str(error)), _log.WARNING, "viewer: %s", error)
                raise HTTPError(error.status, str(error), close=False) from None
            return self._receiver.handle(request)
        return self._api.handle(request)
