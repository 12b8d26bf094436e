"""Run the shop and the stock under `gossamer run`, send them some traffic, and show the traces in the viewer.

With `DEMO=once` in the environment it ends by itself, with exit code 0 only if the expected traces arrived.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from checks import check, table

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "src"))

from gossamer.viewer import Viewer  # noqa: E402

ROUNDS = 6
REQUESTS = [
    ("GET", "/", None),
    ("GET", "/product/1", None),
    ("GET", "/product/3", None),
    ("POST", "/checkout", b"item=1&buyer=ada"),
    ("GET", "/report", None),
    ("GET", "/product/99", None),
    ("GET", "/refund/2", None),
    ("GET", "/statistics", None),
]


def free_port():
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Processes:
    """The programs of the demo; they end with it."""

    def __init__(self, folder):
        self.folder = folder
        self.running = []

    def start(self, name, command, environ):
        log = open(self.folder / (name + ".log"), "wb")  # noqa: SIM115
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=subprocess.STDOUT, cwd=str(HERE))
        self.running.append((name, process))
        return process

    def wait_for(self, url, seconds=30):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for name, process in self.running:
                if process.poll() is not None:
                    text = (self.folder / (name + ".log")).read_text(errors="replace")
                    raise SystemExit("%s ended with %s:\n%s" % (name, process.returncode, text))
            try:
                urllib.request.urlopen(url, timeout=2).close()
                return
            except urllib.error.HTTPError as error:
                error.close()
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("nothing answers at %s" % url)

    def end(self):
        for _, process in reversed(self.running):
            process.send_signal(signal.SIGTERM)
        for _, process in self.running:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def send(method, url, body):
    request = urllib.request.Request(url, body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as error:
        error.read()
        error.close()  # the server ends a request when its connection is closed
        return error.code


def start_viewer():
    """The viewer on the Agent's port, or on a free one when that is taken."""
    for port in (8126, free_port()):
        try:
            viewer = Viewer(port=port, data_dir=None)
            viewer.start()
            return viewer
        except OSError:
            continue
    raise SystemExit("no port for the viewer")


def start_services(processes, viewer):
    shop, stock = free_port(), free_port()
    environ = dict(os.environ)
    environ.update(
        PYTHONPATH=os.pathsep.join([str(HERE.parent / "src"), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep),
        DD_TRACE_AGENT_URL=viewer.address,
        DD_ENV="demo",
        SHOP_PORT=str(shop),
        SHOP_URL="http://127.0.0.1:%d" % shop,
        STOCK_URL="http://127.0.0.1:%d" % stock,
        SHOP_DATABASE=str(processes.folder / "shop.db"),
    )
    redis = shutil.which("redis-server")
    if redis:
        port = free_port()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(processes.folder)]
        processes.start("redis", [redis] + options, environ)
        environ["REDIS_PORT"] = str(port)
    run = [sys.executable, "-m", "gossamer", "run"]
    processes.start("shop", run + [sys.executable] + ["shop.py"], dict(environ, DD_SERVICE="shop"))
    uvicorn = [sys.executable] + ["-m", "uvicorn", "stock:app", "--port", str(stock), "--log-level", "warning"]
    processes.start("stock", run + uvicorn, dict(environ, DD_SERVICE="stock"))
    processes.wait_for(environ["SHOP_URL"] + "/health")
    processes.wait_for(environ["STOCK_URL"] + "/health")
    return environ["SHOP_URL"], bool(redis)


def main():
    once = os.environ.get("DEMO") == "once"
    folder = Path(tempfile.mkdtemp(prefix="gossamer-demo-"))
    processes = Processes(folder)
    viewer = start_viewer()
    try:
        shop, redis = start_services(processes, viewer)
        print("shop      %s   (Flask, SQLite, Jinja%s)" % (shop, ", Redis" if redis else "; no Redis here"))
        print("viewer    %s" % viewer.address)
        for _ in range(ROUNDS):
            for method, path, body in REQUESTS:
                send(method, shop + path, body)
        problems = check(viewer.address, ROUNDS, redis)
        print("\n" + table(viewer.address))
        if problems:
            print("\nNot as expected:\n  " + "\n  ".join(problems))
        if once:
            return 1 if problems else 0
        print("\nOpen %s in a browser, and %s for more traffic. Ctrl-C ends it." % (viewer.address, shop))
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        while all(process.poll() is None for _, process in processes.running):
            time.sleep(0.5)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        processes.end()
        viewer.stop()
        shutil.rmtree(str(folder), ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
