"""Cheap calls of libraries, all inside this process, for `gossamer doctor --cost` to measure.

A case makes what it calls anew each time it is asked, so that what a hook puts into new objects (connections,
applications) is there with the hooks and absent without. Libraries are imported by name: they may not be there.
"""

from __future__ import annotations

import sys
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Tuple

    Run = Callable[[int], object]
    Made = Tuple[Run, Callable[[], object]]

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
_PATIENCE = 5.0


class Case:
    """A call: `make` answers what makes it so many times, and what cleans up after it.

    `request` says that the call is the handling of a request, which begins a trace; all others are made within one.
    `everywhere` counts the time of all threads: where the library does its part in another one. `kept` says that the
    hooks are in the objects made, and not in what these call: then they must not be taken out between the rounds.
    """

    def __init__(
        self,
        module: str,
        call: str,
        make: Callable[[], Made],
        request: bool = False,
        everywhere: bool = False,
        kept: bool = False,
    ) -> None:
        self.module = module
        self.call = call
        self.make = make
        self.request = request
        self.everywhere = everywhere
        self.kept = kept


def nothing() -> None:
    """What there is to clean up after most cases."""


def both(*functions: Callable[[], object]) -> Callable[[], None]:
    """One after the other."""

    def call() -> None:
        for function in functions:
            function()

    return call


def repeat(function: Callable[[], object]) -> Run:
    """A loop over a call."""

    def run(count: int) -> None:
        for _ in range(count):
            function()

    return run


# -- what answers -----------------------------------------------------------------------------------------------------


class Responder:
    """A server in this process, on the loopback interface: answers each complete message, until it is closed."""

    def __init__(self, answer: Callable[[bytes], Tuple[bytes, bytes]]) -> None:
        import socket

        self._answer = answer
        self._open: List[Any] = []
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(8)
        self.port = int(self._listener.getsockname()[1])
        self._start(self._accept)

    @staticmethod
    def _start(function: Callable[..., None], *arguments: Any) -> None:
        import threading

        threading.Thread(target=function, args=arguments, daemon=True).start()

    def _accept(self) -> None:
        try:
            while True:
                connection = self._listener.accept()[0]
                self._open.append(connection)
                connection.settimeout(60)
                self._start(self._serve, connection)
        except OSError:
            pass

    def _serve(self, connection: Any) -> None:
        rest = b""
        try:
            while True:
                data = connection.recv(65536)
                if not data:
                    return
                answer, rest = self._answer(rest + data)
                if answer:
                    connection.sendall(answer)
        except (OSError, ValueError, IndexError):
            pass

    def close(self) -> None:
        """Close everything; the threads end by themselves."""
        for one in [self._listener] + self._open:
            try:
                one.shutdown(2)
            except OSError:
                pass
            one.close()


def _http(data: bytes) -> Tuple[bytes, bytes]:
    """The answers to the requests in `data`, none of which has a body, and what is left of it."""
    whole, _, rest = data.rpartition(b"\r\n\r\n")
    return (_ANSWER * (whole.count(b"\r\n\r\n") + 1) if whole else b""), rest


def _resp(data: bytes) -> Tuple[bytes, bytes]:
    """The same for commands of Redis: every value is "1"."""
    answers = b""
    while data.startswith(b"*"):
        parts = data.split(b"\r\n")
        need = 2 * int(parts[0][1:]) + 1
        if len(parts) <= need:
            break
        answers += b"$1\r\n1\r\n" if parts[2].upper() == b"GET" else b"+OK\r\n"
        data = b"\r\n".join(parts[need:])
    return answers, data


# -- the standard library ---------------------------------------------------------------------------------------------


def _sqlite3() -> Made:
    connection = import_module("sqlite3").connect(":memory:", check_same_thread=False)
    return repeat(lambda: connection.execute("SELECT 1").fetchone()), connection.close


def _logging() -> Made:
    logging = import_module("logging")
    logger = logging.Logger("gossamer.doctor.cost")
    logger.addHandler(logging.NullHandler())
    return repeat(lambda: logger.warning("%s is %d", "answer", 42)), nothing


def _threads() -> Made:
    thread = import_module("threading").Thread

    def call() -> None:
        one = thread(target=nothing)
        one.start()
        one.join()

    return repeat(call), nothing


def _futures() -> Made:
    pool = import_module("concurrent.futures").ThreadPoolExecutor(1)
    return repeat(lambda: pool.submit(nothing).result()), pool.shutdown


def _http_client() -> Made:
    server = Responder(_http)
    connection = import_module("http.client").HTTPConnection("127.0.0.1", server.port, timeout=_PATIENCE)

    def call() -> None:
        connection.request("GET", "/items/7")
        connection.getresponse().read()

    return repeat(call), both(connection.close, server.close)


# -- clients ----------------------------------------------------------------------------------------------------------


def _urllib3() -> Made:
    server = Responder(_http)
    pool = import_module("urllib3").PoolManager()
    url = "http://127.0.0.1:%d/items/7" % server.port
    return repeat(lambda: pool.request("GET", url, timeout=_PATIENCE)), both(pool.clear, server.close)


def _requests() -> Made:
    server = Responder(_http)
    session = import_module("requests").Session()
    session.trust_env = False  # no proxies: the server is in this process
    url = "http://127.0.0.1:%d/items/7" % server.port
    return repeat(lambda: session.get(url, timeout=_PATIENCE)), both(session.close, server.close)


def _httpx() -> Made:
    server = Responder(_http)
    client = import_module("httpx").Client(trust_env=False, timeout=_PATIENCE)
    url = "http://127.0.0.1:%d/items/7" % server.port
    return repeat(lambda: client.get(url)), both(client.close, server.close)


def _redis() -> Made:
    server = Responder(_resp)
    redis = import_module("redis")
    options: Dict[str, Any] = {"port": server.port, "socket_timeout": _PATIENCE}
    try:
        client = redis.Redis("127.0.0.1", protocol=2, **options)
        client.get("item")
    except TypeError:  # older versions know no other protocol
        client = redis.Redis("127.0.0.1", **options)
    return repeat(lambda: client.get("item")), both(client.connection_pool.disconnect, server.close)


def _jinja2() -> Made:
    template = import_module("jinja2").Environment().from_string("Hello {{ name }}!")
    return repeat(lambda: template.render(name="you")), nothing


# -- requests ---------------------------------------------------------------------------------------------------------


def wsgi_call(application: Any) -> Run:
    """Requests to a WSGI application."""
    environ: Dict[str, Any] = {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/", "QUERY_STRING": "", "SERVER_NAME": "localhost",
        "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost", "HTTP_USER_AGENT": "doctor",
        "REMOTE_ADDR": "127.0.0.1", "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr,
        "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False,
    }  # fmt: skip
    import io

    def start_response(status: str, headers: Any, error: Any = None) -> Callable[[bytes], object]:
        if not status.startswith("200"):
            raise RuntimeError("the application answers " + status)
        return lambda data: None

    def call() -> None:
        answer = application(dict(environ, **{"wsgi.input": io.BytesIO()}), start_response)
        try:
            for _ in answer:
                pass
        finally:
            close = getattr(answer, "close", None)
            if close is not None:
                close()

    return repeat(call)


def asgi_call(application: Any) -> Made:
    """Requests to an ASGI application, in an event loop."""
    asyncio = import_module("asyncio")
    loop = asyncio.new_event_loop()
    headers = [(b"host", b"localhost"), (b"user-agent", b"doctor")]

    async def receive() -> Dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Dict[str, Any]) -> None:
        if message.get("status", 200) != 200:
            raise RuntimeError("the application answers %s" % message["status"])

    async def many(count: int) -> None:
        for _ in range(count):
            scope = {
                "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
                "path": "/", "raw_path": b"/", "query_string": b"", "root_path": "", "headers": list(headers),
                "client": ("127.0.0.1", 40000), "server": ("localhost", 80),
            }  # fmt: skip
            await application(scope, receive, send)

    return lambda count: loop.run_until_complete(many(count)), loop.close


def plain_wsgi(environ: Dict[str, Any], start_response: Callable[..., Any]) -> List[bytes]:
    """The smallest application."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


async def plain_asgi(scope: Any, receive: Any, send: Any) -> None:
    """The smallest application."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


def _flask() -> Made:
    application = import_module("flask").Flask("gossamer_doctor")
    application.add_url_rule("/", "index", lambda: "ok")
    return wsgi_call(application), nothing


def _django() -> Made:
    settings = import_module("django.conf").settings
    urls = "gossamer_doctor_urls"
    if not settings.configured:
        settings.configure(ROOT_URLCONF=urls, ALLOWED_HOSTS=["*"], SECRET_KEY="none", LOGGING_CONFIG=None)
        import_module("django").setup()
    if urls != settings.ROOT_URLCONF:
        raise RuntimeError("Django is configured already, for an application of yours")
    if urls not in sys.modules:
        answer = import_module("django.http").HttpResponse
        module: Any = type(sys)(urls)
        module.urlpatterns = [import_module("django.urls").path("", lambda request: answer("ok"))]
        sys.modules[urls] = module
    return wsgi_call(import_module("django.core.handlers.wsgi").WSGIHandler()), nothing


def _starlette() -> Made:
    application = import_module("starlette.applications").Starlette
    route, answer = import_module("starlette.routing").Route, import_module("starlette.responses").PlainTextResponse

    async def index(request: Any) -> Any:
        return answer("ok")

    return asgi_call(application(routes=[route("/", index)]))


def _fastapi() -> Made:
    application = import_module("fastapi").FastAPI()

    async def index() -> Any:
        return "ok"

    application.get("/")(index)
    return asgi_call(application)


CASES = {
    "sqlite3": Case("sqlite3", "SELECT 1", _sqlite3, kept=True),
    "logging": Case("logging", "a record", _logging),
    "threads": Case("threading", "start and join", _threads, everywhere=True),
    "futures": Case("concurrent.futures", "submit and result", _futures, everywhere=True),
    "httplib": Case("http.client", "GET", _http_client),
    "urllib3": Case("urllib3", "GET", _urllib3),
    "requests": Case("requests", "GET", _requests),
    "httpx": Case("httpx", "GET", _httpx),
    "redis": Case("redis", "GET", _redis),
    "jinja2": Case("jinja2", "render", _jinja2),
    "flask": Case("flask", "a request", _flask, request=True),
    "django": Case("django", "a request", _django, request=True),
    "starlette": Case("starlette", "a request", _starlette, request=True),
    "fastapi": Case("fastapi", "a request", _fastapi, request=True),
}
"""By the name of the integration."""
