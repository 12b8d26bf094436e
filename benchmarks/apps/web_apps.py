"""One trivial application for each web framework, called in this process: no server, no socket, no test client.

Each has one route with a parameter, `/users/<id>`, which answers a short text.
"""

from __future__ import annotations

import asyncio
import io
from typing import Any, Callable, Dict, List

import tracing
from tracing import tracers

PATH = "/users/7"
ANSWER = "user 7"
HEADERS = (
    ("Host", "shop.example"),
    ("User-Agent", "benchmark/1.0 (X11; Linux x86_64)"),
    ("Accept", "*/*"),
    ("Accept-Encoding", "gzip, deflate"),
    ("Connection", "keep-alive"),
)


def environ() -> Dict[str, Any]:
    """What a WSGI server hands to the application."""
    found: Dict[str, Any] = {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": PATH, "QUERY_STRING": "", "RAW_URI": PATH,
        "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "8000", "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_SOFTWARE": "none",
        "REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": "40000", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO(), "wsgi.multithread": False,
        "wsgi.multiprocess": True, "wsgi.run_once": False,
    }  # fmt: skip
    found.update(("HTTP_" + name.upper().replace("-", "_"), value) for name, value in HEADERS)
    return found


def scope() -> Dict[str, Any]:
    """What an ASGI server hands to the application."""
    return {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": PATH, "raw_path": PATH.encode(), "query_string": b"", "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in HEADERS],
        "client": ("127.0.0.1", 40000), "server": ("127.0.0.1", 8000), "state": {},
    }  # fmt: skip


def run_wsgi(application: Callable[..., Any]) -> Callable[[int], int]:
    """What calls a WSGI application N times."""
    given = environ()
    status: List[str] = []

    def start_response(line: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
        status.append(line)
        return lambda data: None

    def run(count: int) -> int:
        for _ in range(count):
            del status[:]
            answer = application(given.copy(), start_response)
            body = b"".join(answer)
            if hasattr(answer, "close"):
                answer.close()
            if body != b"user 7" or status != ["200 OK"]:
                raise RuntimeError("wrong answer: %r %r" % (status, body[:200]))
        return count

    return run


def run_asgi(application: Callable[..., Any]) -> Callable[[int], int]:
    """What calls an ASGI application N times, in an event loop that stays."""
    given = scope()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    sent: List[Dict[str, Any]] = []

    async def receive() -> Dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Dict[str, Any]) -> None:
        sent.append(message)

    async def request() -> None:
        del sent[:]
        await application({**given, "state": {}}, receive, send)
        if sent[0].get("status") != 200 or sent[1].get("body") != b"user 7":
            raise RuntimeError("wrong answer: %r" % (sent,))

    async def requests(count: int) -> None:
        # A task for each request, as servers have it.
        for _ in range(count):
            await loop.create_task(request())

    def run(count: int) -> int:
        loop.run_until_complete(requests(count))
        return count

    return run


def flask(tracer: tracing.Tracing) -> Callable[[int], int]:
    """Flask, through its WSGI interface."""
    return run_wsgi(flask_application(tracer))


def flask_application(tracer: tracing.Tracing) -> Any:
    """The application object, for a server."""
    from flask import Flask

    app = Flask("shop")
    watch = tracer.look

    @app.route("/users/<id>")
    def user(id: str) -> str:
        watch()
        return "user " + id

    tracers.attach("flask", app)
    return app


def django(tracer: tracing.Tracing) -> Callable[[int], int]:
    """Django's WSGI handler with no middleware but what the tracer asks for."""
    return run_wsgi(django_application(tracer))


def django_application(tracer: tracing.Tracing) -> Any:
    """The handler that Django gives to a WSGI server."""
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_settings")
    from django.core.wsgi import get_wsgi_application

    application = get_wsgi_application()
    import django_urls

    django_urls.watch = tracer.look
    return application


def starlette(tracer: tracing.Tracing) -> Callable[[int], int]:
    """Starlette, called as ASGI."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    watch = tracer.look

    async def user(request: Any) -> Any:
        watch()
        return PlainTextResponse("user " + request.path_params["id"])

    app = Starlette(routes=[Route("/users/{id}", user)])
    tracers.attach("starlette", app)
    return run_asgi(app)


def fastapi(tracer: tracing.Tracing) -> Callable[[int], int]:
    """FastAPI, called as ASGI; the answer is text, so that no JSON is measured."""
    return run_asgi(fastapi_application(tracer))


def fastapi_application(tracer: tracing.Tracing) -> Any:
    """The application object, for a server."""
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse

    app = FastAPI()
    watch = tracer.look

    @app.get("/users/{id}", response_class=PlainTextResponse)
    async def user(id: str) -> str:
        watch()
        return "user " + id

    tracers.attach("fastapi", app)
    return app


CASES = {"flask": flask, "django": django, "starlette": starlette, "fastapi": fastapi}


def make(name: str, tracer: tracing.Tracing) -> Callable[[int], int]:
    """What sends N requests to the application of a framework."""
    return CASES[name](tracer)
