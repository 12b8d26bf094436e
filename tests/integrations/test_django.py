"""Django in process, on wsgiref and gunicorn, and on uvicorn."""

import inspect
import sys
from wsgiref.util import setup_testing_defaults

import pytest

pytest.importorskip("django")

import django
from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application
from django.test.client import Client, RequestFactory
from django.test.utils import override_settings

import gossamer
from gossamer.middleware import ASGIMiddleware, WSGIMiddleware
from gossamer.testing import capture_spans
from tests.integrations.django_site import USER, Kitchen, shown
from tests.services import web

HAS_ASGI, HAS_ASYNC_VIEWS = django.VERSION >= (3, 0), django.VERSION >= (3, 1)
only_asgi = pytest.mark.skipif(not HAS_ASGI, reason="new in Django 3.0")
only_async_views = pytest.mark.skipif(not HAS_ASYNC_VIEWS, reason="new in Django 3.1")


@pytest.fixture(autouse=True)
def patched():
    gossamer.patch("django")
    yield
    gossamer.unpatch("django")


@pytest.fixture
def spans():
    with capture_spans() as found:
        yield found


@pytest.fixture(scope="module")
def application():
    return get_wsgi_application()


@pytest.fixture(scope="module")
def served(application):
    with web.serve_wsgi(application) as server:
        yield server.server_address


@pytest.fixture(scope="module")
def served_asgi():
    pytest.importorskip("uvicorn")
    from django.core.asgi import get_asgi_application

    with web.serve_asgi(get_asgi_application()) as address:
        yield address


def call(application, path, **environ):
    """A request in process; the status, and the body read and closed as a server does."""
    environ["PATH_INFO"], _, environ["QUERY_STRING"] = path.partition("?")
    setup_testing_defaults(environ)
    found = []
    body = application(environ, lambda status, headers, exc_info=None: found.append(status))
    try:
        return int(found[0][:3]), b"".join(body)
    finally:
        getattr(body, "close", lambda: None)()


def one(spans, name="django.request"):
    web.eventually(lambda: spans.find(name))
    return spans.one(name)


def test_a_request(served, spans):
    answer = web.request(served, "/users/7?page=2&token=abc")
    assert (answer.status, answer.body) == (200, b"user 7")
    span = one(spans)
    assert (span.name, span.resource, span.service) == ("django.request", "GET " + USER, None)
    assert (span.type, span.kind, span.integration) == ("web", "server", "django")
    assert span.parent_id == 0 and not span.error and not span.events
    attributes = dict(span.attributes)
    assert attributes.pop("django.version")[0].isdigit()
    assert attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": USER,
        "url.scheme": "http",
        "url.path": "/users/7",
        "url.query": "page=2&<redacted>",
        "server.address": "127.0.0.1",
        "server.port": served[1],
        "client.address": "127.0.0.1",
        "network.protocol.version": attributes["network.protocol.version"],
        "django.view": "user",
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


def test_a_service_of_its_own(monkeypatch, application, spans):
    gossamer.unpatch("django")
    monkeypatch.setenv("DD_DJANGO_SERVICE", "front")
    gossamer.settings.clear()
    gossamer.patch("django")
    call(application, "/users/7")
    monkeypatch.undo()
    gossamer.settings.clear()
    assert one(spans).service == "front"


@pytest.mark.parametrize(
    "path, method, status, resource",
    [
        ("/users/7", "POST", 200, "POST " + shown("users/<int:pk>")),
        ("/users/7", "HEAD", 200, "HEAD " + shown("users/<int:pk>")),
        ("/users/seven", "GET", 404, "GET 404"),
        ("/nothing", "GET", 404, "GET 404"),
        ("/slash", "GET", 301, "GET 301"),
        ("/slash/", "GET", 200, "GET " + shown("slash/")),
        ("/old/7/", "GET", 200, "GET ^old/(?P<pk>[0-9]+)/$"),
        ("/deep/er/end", "GET", 200, "GET ^deep/er/end$"),
        ("/shop/items/3", "GET", 200, "GET " + shown("shop/items/<int:pk>")),
        ("/raises/404", "GET", 404, "GET " + shown("raises/<int:status>")),
        ("/raises/403", "GET", 403, "GET " + shown("raises/<int:status>")),
        ("/raises/400", "GET", 400, "GET " + shown("raises/<int:status>")),
    ],
)
def test_resources(served, spans, path, method, status, resource):
    assert web.request(served, path, method).status == status
    span = one(spans)
    assert span.resource == resource
    assert span.attributes["http.response.status_code"] == status
    assert not span.error and not span.events


def test_the_empty_route(application, spans):
    assert call(application, "/")[0] == 200
    assert one(spans).resource == ("GET ^/" if USER[0] != "^" else "GET ^$")


def test_names_of_the_view(application, spans):
    call(application, "/shop/items/3")
    attributes = one(spans).attributes
    assert (attributes["django.view"], attributes["django.namespace"]) == ("sale:item", "sale")
    spans.clear()
    call(application, "/boom")
    assert one(spans).attributes["django.view"] == "tests.integrations.django_site.boom"


def test_an_unhandled_exception(served, spans):
    assert web.request(served, "/boom").status == 500
    span = one(spans)
    assert span.error and span.resource == "GET " + shown("boom")
    assert span.attributes["http.response.status_code"] == 500
    (event,) = span.events
    assert event.attributes["exception.type"] == "ValueError"
    assert event.attributes["exception.message"] == "no such cart"
    assert "in boom" in event.attributes["exception.stacktrace"]


def test_an_exception_with_the_debug_page(application, spans):
    with override_settings(DEBUG=True):
        status, body = call(application, "/boom")
    assert status == 500 and b"no such cart" in body
    span = one(spans)
    assert span.error and len(span.events) == 1


def test_a_propagated_exception(application, spans):
    with override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True):
        with pytest.raises(ValueError, match="no such cart") as caught:
            call(application, "/boom")
    assert "boom" in [entry.name for entry in caught.traceback]
    span = one(spans)
    assert span.error and span.attributes["http.response.status_code"] == 500
    assert span.resource == "GET " + shown("boom") and len(span.events) == 1
    assert gossamer.current_span() is None


@pytest.mark.parametrize("status, error", [(418, False), (503, True)])
def test_an_exception_with_a_handler(application, spans, status, error):
    assert call(application, "/teapot/%d" % status) == (status, b"handled")
    span = one(spans)
    assert span.error is error
    events = [event.attributes["exception.message"] for event in span.events or ()]
    assert events == ([str(status)] if django.VERSION >= (1, 10) else [])


def test_an_error_status(application, spans):
    assert call(application, "/raises/503")[0] == 503
    span = one(spans)
    assert span.error and not span.events


def test_a_streamed_body(served, spans):
    assert web.request(served, "/stream").body == b"part 0 part 1 part 2 "
    span = one(spans)
    assert [part.parent_id for part in spans.find("part")] == [span.span_id] * 3
    assert span.duration >= sum(part.duration for part in spans.find("part"))


def test_an_exception_in_a_streamed_body(application, spans):
    with pytest.raises(KeyError, match="two"):
        call(application, "/broken")
    span = one(spans)
    assert span.error and span.attributes["http.response.status_code"] == 200
    assert span.events[0].attributes["exception.type"] == "KeyError"


def test_a_file(served, spans):
    assert web.request(served, "/file").body == b"x" * 10000
    assert one(spans).resource == "GET " + shown("file")


def test_middleware_is_part_of_the_request(application, spans):
    Kitchen.seen.clear()
    call(application, "/users/7")
    seen = [span.span_id for span in Kitchen.seen]
    assert seen == ([one(spans).span_id] if django.VERSION >= (1, 10) else [])


def test_a_resource_set_by_hand_stays(application, spans):
    call(application, "/mine")
    assert one(spans).resource == "mine"


def test_in_process_under_a_span(application, spans):
    with gossamer.trace("test") as outer:
        call(application, "/users/7")
        assert gossamer.current_span() is outer
    assert one(spans).parent_id == outer.span_id


def test_requests_that_come_through_no_server_have_no_span(application, spans):
    call(application, "/mine")
    spans.clear()
    assert Client().get("/users/7").content == b"user 7"
    assert application.get_response(RequestFactory().get("/users/7")).content == b"user 7"
    assert [span.name for span in spans] == ["load", "load"]


def test_static_files(application, spans):
    from django.contrib.staticfiles.handlers import StaticFilesHandler

    handler = StaticFilesHandler(application)
    if getattr(handler, "_middleware_chain", "") is not None:  # Django 2.0 forgets it here, and fails
        assert call(handler, "/static/none.css")[0] == 404
        assert one(spans).resource == "GET 404"
        spans.clear()
    assert call(handler, "/users/7") == (200, b"user 7")
    assert one(spans).resource == "GET " + USER


def test_inside_another_application(application, spans):
    """The outer span stays the only one, and knows the whole route."""

    def mount(environ, start_response):
        if environ["PATH_INFO"].startswith("/shop/"):
            environ["SCRIPT_NAME"], environ["PATH_INFO"] = "/shop", environ["PATH_INFO"][5:]
        return application(environ, start_response)

    outer = WSGIMiddleware(mount)
    assert call(outer, "/users/7") == (200, b"user 7")
    assert call(outer, "/shop/users/7") == (200, b"user 7")
    assert call(outer, "/boom")[0] == 500
    plain, mounted, failed = spans.find(kind="server")
    assert [span.name for span in (plain, mounted, failed)] == ["wsgi.request"] * 3
    assert (plain.resource, mounted.resource) == ("GET " + USER, "GET /shop/" + USER)
    assert failed.error and len(failed.events) == 1


@only_async_views
def test_an_async_view_over_wsgi(application, spans):
    assert call(application, "/async") == (200, b"async")
    span = one(spans)
    assert span.resource == "GET async" and spans.one("load").parent_id == span.span_id


@only_asgi
def test_asgi_request(served_asgi, spans):
    answer = web.request(served_asgi, "/users/7?token=abc", headers={"x-datadog-trace-id": "123"})
    assert (answer.status, answer.body) == (200, b"user 7")
    span = one(spans)
    assert (span.name, span.resource, span.service) == ("django.request", "GET " + USER, None)
    assert (span.type, span.kind, span.integration, span.error) == ("web", "server", "django", False)
    attributes = span.attributes
    assert attributes["http.route"] == USER and attributes["django.view"] == "user"
    assert (attributes["url.path"], attributes["url.query"]) == ("/users/7", "<redacted>")
    assert attributes["server.port"] == served_asgi[1] and attributes["http.response.status_code"] == 200
    assert spans.one("load").parent_id == span.span_id


@only_asgi
def test_asgi_parent_and_statuses(served_asgi, spans):
    header = {"traceparent": "00-0000000000000000000000000000007b-00000000000001c8-01"}
    assert web.request(served_asgi, "/users/seven", headers=header).status == 404
    span = one(spans)
    assert (span.trace_id, span.parent_id, span.resource) == (123, 456, "GET 404")
    spans.clear()
    assert web.request(served_asgi, "/raises/503").status == 503
    assert one(spans).error
    spans.clear()
    assert web.request(served_asgi, "/teapot/418").status == 418
    span = one(spans)
    assert not span.error and span.events[0].attributes["exception.message"] == "418"


@only_asgi
@pytest.mark.parametrize("path", ["boom", pytest.param("async/boom", marks=only_async_views)])
def test_asgi_exception(served_asgi, spans, path):
    assert web.request(served_asgi, "/" + path).status == 500
    span = one(spans)
    assert span.error and span.resource == "GET " + path
    (event,) = span.events
    assert event.attributes["exception.type"] == "ValueError"
    assert "boom" in event.attributes["exception.stacktrace"]


@only_async_views
def test_asgi_async_view(served_asgi, spans):
    assert web.request(served_asgi, "/async").body == b"async"
    span = one(spans)
    assert span.resource == "GET async" and spans.one("load").parent_id == span.span_id


@only_asgi
@pytest.mark.parametrize(
    "path",
    ["stream", pytest.param("async/stream", marks=pytest.mark.skipif(django.VERSION < (4, 2), reason="since 4.2"))],
)
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_asgi_streamed_body(served_asgi, spans, path):
    assert web.request(served_asgi, "/" + path).body == b"part 0 part 1 part 2 "
    span = one(spans)
    assert {part.trace_id for part in spans.find("part")} == {span.trace_id}
    assert span.duration >= sum(part.duration for part in spans.find("part"))


@only_asgi
def test_asgi_inside_another_application(spans):
    pytest.importorskip("uvicorn")
    from django.core.asgi import get_asgi_application

    with web.serve_asgi(ASGIMiddleware(get_asgi_application())) as address:
        assert web.request(address, "/users/7").body == b"user 7"
        span = one(spans, "asgi.request")
        spans.clear()
        assert web.request(address, "/boom").status == 500
        failed = one(spans, "asgi.request")
    assert span.resource == "GET " + USER
    assert failed.error and len(failed.events) == 1


@only_asgi
def test_asgi_mounted_in_starlette(spans):
    pytest.importorskip("uvicorn")
    applications, routing = pytest.importorskip("starlette.applications"), pytest.importorskip("starlette.routing")
    from django.core.asgi import get_asgi_application

    gossamer.patch("starlette")
    try:
        mount = routing.Mount("/old", app=get_asgi_application())
        with web.serve_asgi(applications.Starlette(routes=[mount])) as address:
            assert web.request(address, "/old/users/7").body == b"user 7"
            span = one(spans, "starlette.request")
    finally:
        gossamer.unpatch("starlette")
    assert len(spans.find(kind="server")) == 1
    assert (span.resource, span.attributes["django.view"]) == ("GET /old/" + USER, "user")


@only_asgi
def test_asgi_many_at_once(served_asgi, spans):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda pk: web.request(served_asgi, "/users/%d" % pk).body, range(40)))
    assert answers == [b"user %d" % pk for pk in range(40)]
    web.eventually(lambda: len(spans.find("django.request")) == 40)
    requests = {span.span_id: span for span in spans.find("django.request")}
    loads = spans.find("load")
    assert len(requests) == 40 and {span.parent_id for span in loads} == set(requests)


PROGRAM = """
import gossamer.auto, django
from django.conf import settings
settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF="shop", SECRET_KEY="x", DEFAULT_CHARSET="utf-8")
from django.http import HttpResponse
try:
    from django.urls import path
    def user(request, pk): return HttpResponse("user %d" % pk)
    urlpatterns = [path("users/<int:pk>", user)]
except ImportError:
    from django.conf.urls import url
    def user(request, pk): return HttpResponse("user %s" % pk)
    urlpatterns = [url(r"^users/(?P<pk>\\d+)$", user)]
"""


@pytest.mark.parametrize("server", ["gunicorn", pytest.param("uvicorn", marks=only_asgi)])
def test_a_program(capture_agent, start_server, tmp_path, server):
    pytest.importorskip(server)
    kind = "wsgi" if server == "gunicorn" else "asgi"
    made = "from django.core.%s import get_%s_application\napp = get_%s_application()\n" % (kind, kind, kind)
    (tmp_path / "shop.py").write_text(PROGRAM + made)
    options = ["--chdir", str(tmp_path), "-w", "2", "-b", "127.0.0.1:{port}"]
    if server == "uvicorn":
        options = ["--app-dir", str(tmp_path), "--port", "{port}"]
    started = start_server(
        [sys.executable, "-m", server] + options + ["shop:app"],
        DD_TRACE_AGENT_URL=capture_agent.url,
        DD_SERVICE="shop",
    )
    assert web.request(("127.0.0.1", started.port), "/users/7").body == b"user 7"
    (span,) = capture_agent.wait_for_spans(1)
    assert (span["name"], span["resource"], span["service"]) == ("django.request", "GET " + USER, "shop")
    assert span["type"] == "web" and span["meta"]["component"] == "django"
    assert span["meta"]["http.url"] == "http://127.0.0.1:%d/users/7" % started.port
    assert (span["meta"]["http.status_code"], span["meta"]["django.view"]) == ("200", "shop.user")


def hooked():
    """(holder, name) of everything that is hooked in this version."""
    from django.core.handlers import base

    found = [(WSGIHandler, "__call__")]
    if HAS_ASGI:
        from django.core.handlers.asgi import ASGIHandler

        found += [(ASGIHandler, "__call__")]
    if django.VERSION >= (1, 10):
        from django.core.handlers import exception

        found += [(exception, "handle_uncaught_exception"), (base.BaseHandler, "process_exception_by_middleware")]
    else:
        found += [(base.BaseHandler, "handle_uncaught_exception")]
    return found + [(base.BaseHandler, "resolve_request" if django.VERSION >= (3, 1) else "get_response")]


def test_the_library_looks_as_before():
    gossamer.unpatch("django")
    originals = [vars(owner)[name] for owner, name in hooked()]
    gossamer.patch("django")
    for (owner, name), original in zip(hooked(), originals):
        wrapped = vars(owner)[name]
        assert wrapped is not original and wrapped.__wrapped__ is original
        assert inspect.signature(wrapped) == inspect.signature(original)
        assert inspect.iscoroutinefunction(wrapped) == inspect.iscoroutinefunction(original)


def test_patched_twice_is_once_and_unpatched_is_none(application, spans):
    gossamer.patch("django")
    call(application, "/users/7")
    assert len(spans.find("django.request")) == 1
    gossamer.unpatch("django")
    assert not any(hasattr(vars(owner)[name], "__wrapped__") for owner, name in hooked())
    assert call(application, "/users/7") == (200, b"user 7")
    assert call(application, "/boom")[0] == 500
    assert len(spans.find("django.request")) == 1


def test_disabled(application, spans, monkeypatch):
    monkeypatch.setattr(gossamer.tracer.recorder, "enabled", False)
    assert call(application, "/users/7") == (200, b"user 7")
    assert call(application, "/boom")[0] == 500
    assert not spans
