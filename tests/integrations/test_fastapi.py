"""FastAPI on uvicorn, alone and with Starlette's integration beside it."""

import asyncio
import inspect

import pytest

pytest.importorskip("fastapi")

from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, WebSocket
from fastapi.responses import StreamingResponse
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Mount, Route

import gossamer
from gossamer.testing import capture_spans
from tests.services import web


@pytest.fixture(autouse=True, params=[("fastapi",), ("starlette", "fastapi")], ids="+".join)
def patched(request):
    gossamer.patch(*request.param)
    yield
    gossamer.unpatch(*request.param)


@pytest.fixture
def spans():
    with capture_spans() as found:
        yield found


async def current_user():
    with gossamer.trace("dependency"):
        return "ada"


def connection():
    with gossamer.trace("connect"):
        yield "connection"
    with gossamer.trace("disconnect"):
        pass


class Teapot(Exception):
    pass


def add_routes(app):
    users = APIRouter()

    @users.get("/{id}")
    async def user(id: int, user: str = Depends(current_user), link: str = Depends(connection)):
        with gossamer.trace("load"):
            return {"id": id, "user": user}

    @users.post("/")
    async def new_user(body: dict):
        return body

    outer = APIRouter()
    outer.include_router(users, prefix="/users")
    app.include_router(outer, prefix="/v1")

    @app.get("/thread")
    def in_a_thread():
        with gossamer.trace("load"):
            return "thread"

    @app.get("/boom")
    async def boom():
        raise ValueError("no such cart")

    @app.get("/refused/{status}")
    async def refused(status: int):
        raise HTTPException(status_code=status)

    @app.get("/teapot")
    async def teapot():
        raise Teapot()

    @app.get("/stream")
    async def stream():
        async def parts():
            for index in range(3):
                with gossamer.trace("part"):
                    await asyncio.sleep(0)
                    yield b"%d" % index

        return StreamingResponse(parts())

    @app.get("/background")
    async def background(tasks: BackgroundTasks):
        tasks.add_task(later)
        return "now"

    @app.websocket("/chat/{room}")
    async def chat(websocket: WebSocket, room: str):
        await websocket.accept()
        await websocket.send_text("welcome to " + room)
        await websocket.receive_text()
        await websocket.close()


async def later():
    with gossamer.trace("later"):
        await asyncio.sleep(0)


def make_app():
    app = FastAPI()
    add_routes(app)
    inner = FastAPI()

    @inner.get("/items/{id}")
    async def item(id: str):
        return id

    app.mount("/inner", inner)
    app.add_exception_handler(Teapot, on_teapot)
    return app


async def on_teapot(request, error):
    from starlette.responses import JSONResponse

    return JSONResponse({}, status_code=418)


@pytest.fixture(scope="module")
def served():
    with web.serve_asgi(make_app()) as address:
        yield address


def one(spans, name="fastapi.request"):
    web.eventually(lambda: spans.find(name))
    return spans.one(name)


def test_a_request(served, spans):
    answer = web.request(served, "/v1/users/7?token=abc", headers={"User-Agent": "tests/1"})
    assert (answer.status, answer.body) == (200, b'{"id":7,"user":"ada"}')
    span = one(spans)
    assert (span.name, span.resource, span.service) == ("fastapi.request", "GET /v1/users/{id}", None)
    assert (span.type, span.kind, span.integration) == ("web", "server", "fastapi")
    assert span.parent_id == 0 and not span.error and not span.events
    assert span.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/v1/users/{id}",
        "url.scheme": "http",
        "url.path": "/v1/users/7",
        "url.query": "<redacted>",
        "server.address": "127.0.0.1",
        "server.port": served[1],
        "client.address": "127.0.0.1",
        "network.protocol.version": "1.1",
        "user_agent.original": "tests/1",
    }
    web.eventually(lambda: spans.find("disconnect"))
    for name in ("load", "dependency", "connect", "disconnect"):
        assert spans.one(name).trace_id == span.trace_id
        assert spans.one(name).parent_id == span.span_id
    assert len(spans.find(kind="server")) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": "00-0000000000000000000000000000007b-00000000000001c8-01"},
        {"x-datadog-trace-id": "123", "x-datadog-parent-id": "456", "x-datadog-sampling-priority": "2"},
    ],
    ids=["w3c", "datadog"],
)
def test_the_caller_is_the_parent(served, spans, headers):
    web.request(served, "/v1/users/7", headers=headers)
    span = one(spans)
    assert (span.trace_id, span.parent_id) == (123, 456)


@pytest.mark.parametrize(
    "path, method, status, resource",
    [
        ("/v1/users/seven", "GET", 422, "GET /v1/users/{id}"),
        ("/v1/users/7", "DELETE", 405, "DELETE /v1/users/{id}"),
        ("/nothing", "GET", 404, "GET 404"),
        ("/v1/nothing", "GET", 404, "GET 404"),
        ("/refused/403", "GET", 403, "GET /refused/{status}"),
        ("/teapot", "GET", 418, "GET /teapot"),
        ("/inner/items/4", "GET", 200, "GET /inner/items/{id}"),
        ("/inner/nothing", "GET", 404, "GET /inner"),
        ("/openapi.json", "GET", 200, "GET /openapi.json"),
        ("/docs", "GET", 200, "GET /docs"),
    ],
)
def test_resources(served, spans, path, method, status, resource):
    assert web.request(served, path, method).status == status
    span = one(spans)
    assert (span.resource, span.attributes["http.response.status_code"]) == (resource, status)
    assert not span.error and not span.events
    assert len(spans.find(kind="server")) == 1


def test_a_body(served, spans):
    body = b'{"name": "%s"}' % (b"x" * 200000)
    answer = web.request(served, "/v1/users/", "POST", {"Content-Type": "application/json"}, body)
    assert (answer.status, len(answer.body)) == (200, len(body) - 1)
    assert one(spans).resource == "POST /v1/users/"


def test_an_endpoint_in_a_thread(served, spans):
    assert web.request(served, "/thread").body == b'"thread"'
    span = one(spans)
    assert spans.one("load").parent_id == span.span_id


def test_an_unhandled_exception(served, spans):
    assert web.request(served, "/boom").status == 500
    span = one(spans)
    assert span.error and span.resource == "GET /boom"
    (event,) = span.events
    assert event.attributes["exception.type"] == "ValueError"
    assert "in boom" in event.attributes["exception.stacktrace"]


def test_an_error_status(served, spans):
    assert web.request(served, "/refused/503").status == 503
    assert one(spans).error


def test_a_streamed_answer(served, spans):
    assert web.request(served, "/stream").body == b"012"
    span = one(spans)
    assert [part.parent_id for part in spans.find("part")] == [span.span_id] * 3


def test_background_tasks(served, spans):
    assert web.request(served, "/background").body == b'"now"'
    web.eventually(lambda: spans.find("later"))
    span = one(spans)
    assert spans.one("later").parent_id == span.span_id


def test_a_websocket(served, spans):
    client = pytest.importorskip("websockets.sync.client")
    with client.connect("ws://%s:%d/chat/lobby" % served) as socket:
        assert socket.recv() == "welcome to lobby"
        socket.send("thanks")
    assert one(spans).resource == "websocket /chat/{room}"


def test_middleware_with_tasks_of_its_own(spans):
    app = make_app()

    class Outer(BaseHTTPMiddleware):
        async def dispatch(self, request, call_next):
            with gossamer.trace("outer"):
                return await call_next(request)

    app.add_middleware(Outer)
    with web.serve_asgi(app) as address:
        web.request(address, "/v1/users/7")
        span = one(spans)
    assert span.resource == "GET /v1/users/{id}"
    assert spans.one("outer").parent_id == span.span_id
    assert spans.one("load").parent_id == spans.one("outer").span_id


def test_inside_a_starlette_application(spans):
    app = Starlette(routes=[Mount("/api", app=make_app())])
    with web.serve_asgi(app) as address:
        web.request(address, "/api/v1/users/7")
        web.eventually(lambda: spans.find(kind="server"))
    (span,) = spans.find(kind="server")
    if span.name == "starlette.request":  # its integration is on
        assert span.resource == "GET /api/v1/users/{id}"
    else:
        assert span.resource == "GET /v1/users/{id}"


def test_a_plain_route_of_starlettes(spans):
    app = FastAPI(routes=[Route("/plain/{name}", plain)])
    with web.serve_asgi(app) as address:
        web.request(address, "/plain/one")
        assert one(spans).resource == "GET /plain/{name}"


async def plain(request):
    from starlette.responses import PlainTextResponse

    return PlainTextResponse("plain")


def test_the_library_looks_as_before(patched):
    gossamer.unpatch("fastapi", "starlette")
    had = "__call__" in vars(FastAPI)
    original = FastAPI.__call__
    assert not hasattr(original, "__wrapped__")
    gossamer.patch("fastapi")
    assert FastAPI.__call__.__wrapped__ is original
    assert inspect.signature(FastAPI.__call__) == inspect.signature(original)
    assert inspect.iscoroutinefunction(FastAPI.__call__)
    gossamer.unpatch("fastapi")
    assert ("__call__" in vars(FastAPI)) is had
    assert FastAPI.__call__ is original


def test_patched_twice_is_once_and_unpatched_is_none(served, spans):
    gossamer.patch("fastapi")
    web.request(served, "/thread")
    one(spans)
    gossamer.unpatch("fastapi", "starlette")
    assert web.request(served, "/thread").body == b'"thread"'
    assert len(spans.find("fastapi.request")) == 1


def test_disabled(served, spans, monkeypatch):
    monkeypatch.setattr(gossamer.tracer.recorder, "enabled", False)
    assert web.request(served, "/thread").body == b'"thread"'
    assert not spans
