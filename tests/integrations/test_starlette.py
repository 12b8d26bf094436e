"""Starlette on uvicorn and through its test client."""

import asyncio
import inspect
import sys

import pytest

pytest.importorskip("starlette")

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, Router, WebSocketRoute

import gossamer
from gossamer.middleware import ASGIMiddleware
from gossamer.testing import capture_spans
from tests.services import web


@pytest.fixture(autouse=True)
def patched():
    gossamer.patch("starlette")
    yield
    gossamer.unpatch("starlette")


@pytest.fixture
def spans():
    with capture_spans() as found:
        yield found


async def user(request):
    with gossamer.trace("load"):
        await asyncio.sleep(0)
    return PlainTextResponse("user %d" % request.path_params["id"])


def in_a_thread(request):
    with gossamer.trace("load"):
        return PlainTextResponse("thread")


async def boom(request):
    raise ValueError("no such cart")


async def refused(request):
    raise HTTPException(status_code=int(request.path_params["status"]), detail="refused")


class Teapot(Exception):
    pass


async def teapot(request):
    raise Teapot("short and stout")


async def on_teapot(request, error):
    return JSONResponse({"error": str(error)}, status_code=418)


async def stream(request):
    async def parts():
        for index in range(3):
            with gossamer.trace("part"):
                await asyncio.sleep(0)
                yield b"%d" % index

    return StreamingResponse(parts())


async def broken_stream(request):
    async def parts():
        yield b"one"
        raise KeyError("two")

    return StreamingResponse(parts())


async def slow(request):
    async def parts():
        for _ in range(100):
            yield b"x" * 1000
            await asyncio.sleep(0.01)

    return StreamingResponse(parts())


async def background(request):
    async def later():
        with gossamer.trace("later"):
            await asyncio.sleep(0)

    return PlainTextResponse("now", background=BackgroundTask(later))


def later_in_a_thread():
    with gossamer.trace("later"):
        pass


async def background_thread(request):
    return PlainTextResponse("now", background=BackgroundTask(later_in_a_thread))


class Things(HTTPEndpoint):
    async def get(self, request):
        return PlainTextResponse("thing")


async def chat(websocket):
    await websocket.accept()
    await websocket.send_text("welcome to " + websocket.path_params["room"])
    await websocket.receive_text()
    await websocket.close()


class Static:
    """A mounted application that is none of Starlette's."""

    async def __call__(self, scope, receive, send):
        await PlainTextResponse("file")(scope, receive, send)


def make_app(**options):
    inner = Starlette(routes=[Route("/items/{id}", user_name), Route("/boom", boom)])
    app = Starlette(
        routes=[
            Route("/users/{id:int}", user, methods=["GET", "POST"]),
            Route("/thread", in_a_thread),
            Route("/boom", boom),
            Route("/refused/{status}", refused),
            Route("/teapot", teapot),
            Route("/stream", stream),
            Route("/stream/broken", broken_stream),
            Route("/slow", slow),
            Route("/background", background),
            Route("/background/thread", background_thread),
            Route("/things", Things),
            Route("/slash/", in_a_thread),
            WebSocketRoute("/chat/{room}", chat),
            Mount("/admin/{tenant}", app=Router([Route("/reports/{name}", user_name)])),
            Mount("/inner", app=inner),
            Mount("/static", app=Static()),
        ],
        **options,
    )
    app.add_exception_handler(Teapot, on_teapot)
    return app


async def user_name(request):
    return PlainTextResponse("ok")


@pytest.fixture(scope="module")
def served():
    with web.serve_asgi(make_app()) as address:
        yield address


def one(spans, name="starlette.request"):
    web.eventually(lambda: spans.find(name))
    return spans.one(name)


def test_a_request(served, spans):
    answer = web.request(served, "/users/7?page=2&token=abc", headers={"User-Agent": "tests/1"})
    assert (answer.status, answer.body) == (200, b"user 7")
    span = one(spans)
    assert (span.name, span.resource, span.service) == ("starlette.request", "GET /users/{id:int}", None)
    assert (span.type, span.kind, span.integration) == ("web", "server", "starlette")
    assert span.parent_id == 0 and not span.error and not span.events
    assert span.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/users/{id:int}",
        "url.scheme": "http",
        "url.path": "/users/7",
        "url.query": "page=2&<redacted>",
        "server.address": "127.0.0.1",
        "server.port": served[1],
        "client.address": "127.0.0.1",
        "network.protocol.version": "1.1",
        "user_agent.original": "tests/1",
    }
    assert spans.one("load").parent_id == span.span_id


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": "00-0000000000000000000000000000007b-00000000000001c8-01"},
        {"x-datadog-trace-id": "123", "x-datadog-parent-id": "456", "x-datadog-sampling-priority": "2"},
    ],
    ids=["w3c", "datadog"],
)
def test_the_caller_is_the_parent(served, spans, headers):
    web.request(served, "/users/7", headers=headers)
    span = one(spans)
    assert (span.trace_id, span.parent_id) == (123, 456)
    assert spans.one("load").trace_id == 123


@pytest.mark.parametrize(
    "path, method, status, resource",
    [
        ("/users/7", "POST", 200, "POST /users/{id:int}"),
        ("/users/7", "HEAD", 200, "HEAD /users/{id:int}"),
        ("/users/7", "DELETE", 405, "DELETE /users/{id:int}"),
        ("/users/seven", "GET", 404, "GET 404"),
        ("/things", "GET", 200, "GET /things"),
        ("/admin/acme/reports/may", "GET", 200, "GET /admin/{tenant}/reports/{name}"),
        ("/inner/items/4", "GET", 200, "GET /inner/items/{id}"),
        ("/inner/nothing", "GET", 404, "GET /inner"),
        ("/static/site.css", "GET", 200, "GET /static"),
        ("/refused/403", "GET", 403, "GET /refused/{status}"),
    ],
)
def test_resources(served, spans, path, method, status, resource):
    answer = web.request(served, path, method)
    assert answer.status == status
    span = one(spans)
    assert (span.resource, span.attributes["http.response.status_code"]) == (resource, status)
    assert not span.error and not span.events
    assert len(spans.find("starlette.request")) == 1


def test_a_mount_without_a_path(spans):
    app = Starlette(routes=[Mount("", app=Router([Route("/last/{name}", user_name)]))])
    with web.serve_asgi(app) as address:
        web.request(address, "/last/one")
        web.request(address, "/nothing")
        web.eventually(lambda: len(spans) == 2)
    assert [span.resource for span in spans] == ["GET /last/{name}", "GET 404"]


def test_an_endpoint_in_a_thread(served, spans):
    assert web.request(served, "/thread").body == b"thread"
    span = one(spans)
    assert spans.one("load").parent_id == span.span_id


@pytest.mark.parametrize("path, resource", [("/boom", "GET /boom"), ("/inner/boom", "GET /inner/boom")])
def test_an_unhandled_exception(served, spans, path, resource):
    assert web.request(served, path).status == 500
    span = one(spans)
    assert span.error and span.resource == resource
    assert span.attributes["http.response.status_code"] == 500
    (event,) = span.events
    assert event.attributes["exception.type"] == "ValueError"
    assert "in boom" in event.attributes["exception.stacktrace"]


def test_an_exception_reaches_the_caller_unchanged(spans):
    sent = []

    async def main():
        async def receive():
            return {"type": "http.request", "body": b""}

        async def send(message):
            sent.append(message["type"])

        scope = {"type": "http", "method": "GET", "path": "/boom", "headers": [], "root_path": "", "query_string": b""}
        await make_app()(scope, receive, send)

    with pytest.raises(ValueError, match="no such cart") as caught:
        asyncio.run(main())
    assert "boom" in [entry.name for entry in caught.traceback]
    assert sent == ["http.response.start", "http.response.body"]
    assert one(spans).error


def test_an_exception_with_a_handler(served, spans):
    assert web.request(served, "/teapot").status == 418
    span = one(spans)
    assert not span.error and span.attributes["http.response.status_code"] == 418


def test_an_error_status(served, spans):
    assert web.request(served, "/refused/503").status == 503
    span = one(spans)
    assert span.error and span.resource == "GET /refused/{status}"


def test_a_streamed_answer(served, spans):
    assert web.request(served, "/stream").body == b"012"
    span = one(spans)
    assert [part.parent_id for part in spans.find("part")] == [span.span_id] * 3


def test_an_exception_in_a_streamed_answer(served, spans):
    try:
        web.request(served, "/stream/broken")
    except OSError:
        pass  # the server ends the connection
    span = one(spans)
    assert span.error and span.attributes["http.response.status_code"] == 200
    assert "KeyError" in span.events[0].attributes["exception.stacktrace"]


def test_a_client_that_leaves(served, spans):
    import socket

    connection = socket.create_connection(served)
    connection.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    assert connection.recv(100)
    connection.close()
    span = one(spans)
    assert not span.error or span.events
    assert span.attributes["http.response.status_code"] == 200


@pytest.mark.parametrize("path", ["/background", "/background/thread"])
def test_background_tasks(served, spans, path):
    assert web.request(served, path).body == b"now"
    web.eventually(lambda: spans.find("later"))
    span, later = one(spans), spans.one("later")
    assert (later.trace_id, later.parent_id) == (span.trace_id, span.span_id)
    assert list(spans).index(span) < list(spans).index(later)


def test_a_websocket(served, spans):
    client = pytest.importorskip("websockets.sync.client")
    with client.connect("ws://%s:%d/chat/lobby" % served) as socket:
        assert socket.recv() == "welcome to lobby"
        socket.send("thanks")
    span = one(spans)
    assert (span.resource, span.attributes["http.route"]) == ("websocket /chat/{room}", "/chat/{room}")
    assert span.attributes["websocket.messages.sent"] == 1
    assert span.attributes["websocket.close.code"] == 1000


def test_middleware_with_tasks_of_its_own(spans):
    seen = []

    class Outer(BaseHTTPMiddleware):
        async def dispatch(self, request, call_next):
            seen.append(gossamer.current_span())
            with gossamer.trace("outer"):
                response = await call_next(request)
            seen.append(gossamer.current_span())
            return response

    app = make_app()
    app.add_middleware(Outer)
    with web.serve_asgi(app) as address:
        assert web.request(address, "/users/7").body == b"user 7"
        assert web.request(address, "/stream").body == b"012"
        web.eventually(lambda: len(spans.find("starlette.request")) == 2)
    first, second = spans.find("starlette.request")
    assert (first.resource, second.resource) == ("GET /users/{id:int}", "GET /stream")
    assert seen == [first, first, second, second]
    outer = spans.find("outer")
    assert [span.parent_id for span in outer] == [first.span_id, second.span_id]
    assert spans.one("load").parent_id == outer[0].span_id
    assert {span.trace_id for span in spans.find("part")} == {second.trace_id}


def test_an_asgi_middleware_round_it_makes_no_second_span(spans):
    with web.serve_asgi(ASGIMiddleware(make_app())) as address:
        web.request(address, "/inner/items/4")
        one(spans, "asgi.request")
    (span,) = spans.find(kind="server")
    assert span.resource == "GET /inner/items/{id}"


def test_the_test_client(spans):
    try:
        from starlette import testclient
    except (ImportError, RuntimeError) as error:
        pytest.skip(str(error))
    with gossamer.trace("test") as outer:
        assert testclient.TestClient(make_app()).get("/users/7").text == "user 7"
        assert gossamer.current_span() is outer
    assert one(spans).resource == "GET /users/{id:int}"


def test_a_lifespan(spans):
    events = []
    if "on_startup" in inspect.signature(Starlette.__init__).parameters:
        app = Starlette(on_startup=[lambda: events.append("up")], on_shutdown=[lambda: events.append("down")])
    else:
        from contextlib import asynccontextmanager

        @asynccontextmanager
        async def lifespan(app):
            events.append("up")
            yield
            events.append("down")

        app = Starlette(lifespan=lifespan)
    with web.serve_asgi(app, lifespan="on") as address:
        assert web.request(address, "/").status == 404
    assert events == ["up", "down"]
    assert len(spans) == 1


def test_a_mounted_flask_application(spans):
    flask = pytest.importorskip("flask")
    wsgi = pytest.importorskip("starlette.middleware.wsgi")
    inner = flask.Flask("inner")

    @inner.route("/users/<int:id>")
    def inner_user(id):
        with gossamer.trace("load"):
            return "user %d" % id

    gossamer.patch("flask")
    try:
        with web.serve_asgi(Starlette(routes=[Mount("/old", app=wsgi.WSGIMiddleware(inner))])) as address:
            assert web.request(address, "/old/users/7").body == b"user 7"
            span = one(spans)
    finally:
        gossamer.unpatch("flask")
    assert len(spans.find(kind="server")) == 1
    assert (span.resource, span.attributes["flask.endpoint"]) == ("GET /old/users/<int:id>", "inner_user")
    assert spans.one("load").parent_id == span.span_id


def test_uvicorn_as_a_program(capture_agent, start_server, tmp_path):
    (tmp_path / "shop.py").write_text(
        "import gossamer.auto\n"
        "from starlette.applications import Starlette\n"
        "from starlette.responses import PlainTextResponse\n"
        "from starlette.routing import Route\n"
        "async def user(request): return PlainTextResponse('user')\n"
        "app = Starlette(routes=[Route('/users/{id}', user)])\n"
    )
    server = start_server(
        [sys.executable, "-m", "uvicorn", "--app-dir", str(tmp_path), "--port", "{port}", "shop:app"],
        DD_TRACE_AGENT_URL=capture_agent.url,
        DD_SERVICE="shop",
    )
    assert web.request(("127.0.0.1", server.port), "/users/7").body == b"user"
    (span,) = capture_agent.wait_for_spans(1)
    assert (span["name"], span["resource"], span["service"]) == ("starlette.request", "GET /users/{id}", "shop")
    assert span["meta"]["component"] == "starlette" and span["type"] == "web"
    assert span["meta"]["http.url"] == "http://127.0.0.1:%d/users/7" % server.port


HOOKED = ((Starlette, "__call__"), (Route, "handle"), (WebSocketRoute, "handle"), (Mount, "handle"))


def test_the_library_looks_as_before():
    gossamer.unpatch("starlette")
    originals = [vars(owner)[name] for owner, name in HOOKED]
    gossamer.patch("starlette")
    for (owner, name), original in zip(HOOKED, originals):
        wrapped = vars(owner)[name]
        assert wrapped is not original and wrapped.__wrapped__ is original
        assert inspect.signature(wrapped) == inspect.signature(original)
        assert inspect.iscoroutinefunction(wrapped)


def test_patched_twice_is_once_and_unpatched_is_none(served, spans):
    gossamer.patch("starlette")
    web.request(served, "/users/7")
    one(spans)
    gossamer.unpatch("starlette")
    assert not any(hasattr(vars(owner)[name], "__wrapped__") for owner, name in HOOKED)
    assert web.request(served, "/users/7").body == b"user 7"
    assert len(spans.find("starlette.request")) == 1


def test_disabled(served, spans, monkeypatch):
    monkeypatch.setattr(gossamer.tracer.recorder, "enabled", False)
    assert web.request(served, "/users/7").body == b"user 7"
    assert not spans
