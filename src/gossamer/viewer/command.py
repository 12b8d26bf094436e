"""``gossamer viewer``: its options and its messages."""

import argparse
import errno
import http.client
import json
import secrets
import signal
import sys
import threading
import webbrowser
from typing import List, Optional

from gossamer.viewer.app import Viewer, default_folder
from gossamer.viewer.limits import parse_limits


def parser() -> argparse.ArgumentParser:
    """The options."""
    result = argparse.ArgumentParser(
        prog="gossamer viewer",
        description="Receive traces from Datadog and OpenTelemetry tracers and show them in the browser.",
    )
    result.add_argument(
        "--port", type=int, default=8126, help="port to listen on; 0 takes a free one (default: %(default)s)"
    )
    result.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)"
    )
    where = result.add_mutually_exclusive_group()
    where.add_argument("--data", metavar="DIR", help="folder to keep traces in (default: {})".format(default_folder()))
    where.add_argument("--memory", action="store_true", help="keep traces in memory; nothing is left on disk")
    result.add_argument(
        "--keep", default="", metavar="LIMIT", help="spans, bytes, age, or several: 1000000,1GB,7d (the default)"
    )
    result.add_argument(
        "--forward", metavar="URL", help="pass what is received on to a Datadog Agent and return its answer"
    )
    result.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another host name the page may be opened under (NAME or NAME:PORT)",
    )
    result.add_argument(
        "--allow-origin", action="append", default=[], metavar="ORIGIN", help="an origin whose pages may send traces"
    )
    result.add_argument(
        "--token",
        nargs="?",
        const="",
        metavar="TOKEN",
        help="ask for a token before the page is shown; without a value one is made",
    )
    result.add_argument("--open", action="store_true", help="open the page in a browser")
    return result


def main(argv: Optional[List[str]] = None) -> int:
    """Run the viewer until it is interrupted. Answers the exit code."""
    options = parser().parse_args(argv)
    token = secrets.token_urlsafe(16) if options.token == "" else options.token
    try:
        limits = parse_limits(options.keep)
    except ValueError as error:
        return _fail("--keep {}".format(error))
    if not 0 <= options.port <= 65535:
        return _fail("--port {}: expected 0 to 65535".format(options.port))
    folder = None if options.memory else options.data or default_folder()
    try:
        viewer = Viewer(
            options.host, options.port, folder, limits, options.forward, options.allow_host, options.allow_origin, token
        )
    except ValueError as error:
        return _fail(str(error))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return _fail(who_listens(options.host, options.port))
        return _fail("cannot listen on {} port {} or use {}: {}".format(options.host, options.port, folder, error))
    # Decoding and writing keep the interpreter busy; the page's small requests must not wait the usual 5 ms for each
    # turn.
    sys.setswitchinterval(0.001)
    ended = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: ended.set())
    viewer.start()
    address = viewer.address + ("/?token=" + token if token else "")
    print("gossamer viewer: {}".format(address), flush=True)
    print("keeping traces {}".format("in memory" if folder is None else "in " + folder), flush=True)
    if options.open:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    while not ended.wait(3600):
        pass
    viewer.stop()
    return 0


def who_listens(host: str, port: int) -> str:
    """One line about whoever holds the port."""
    connection = http.client.HTTPConnection(host if host not in ("0.0.0.0", "::") else "127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/info")
        answer = connection.getresponse()
        info = json.loads(answer.read(1 << 20).decode("utf-8")) if answer.status == 200 else {}
        version = str(info.get("version", "")) if isinstance(info, dict) else ""
        if version.startswith("gossamer"):
            return "port {0} is taken by another viewer: http://localhost:{0}".format(port)
        if isinstance(info, dict) and "endpoints" in info:
            return "port {} is taken by a Datadog Agent{}; use --port, and --forward http://localhost:{}".format(
                port, " " + version if version else "", port
            )
    except (OSError, ValueError, http.client.HTTPException):
        pass
    finally:
        connection.close()
    return "port {} is taken by another program; use --port".format(port)


def _fail(message: str) -> int:
    print("gossamer viewer: " + message, file=sys.stderr)
    return 2
