"""Flask on Werkzeug's server, gunicorn, and through its test client."""

import inspect
import sys

import pytest
from flask import Blueprint, Flask, Response, abort, render_template_string, request
from werkzeug.test import create_environ

import gossamer
from gossamer.middleware import WSGIMiddleware
from gossamer.testing import capture_spans
from tests.services import web


@pytest.fixture(autouse=True)
def patched():
    gossamer.patch("flask")
    yield
    gossamer.unpatch("flask")


@pytest.fixture
def spans():
    with capture_spans() as found:
        yield found


def get(app, path):
    """Through the test client, which closes a body only if it is told to read all of it."""
    return app.test_client().get(path, buffered=True)


class Teapot(Exception):
    pass


def make_app(**config):
    app = Flask("shop")
    app.config.update(config)
    app.logger.disabled = True
    admin = Blueprint("admin", "admin_blueprint", url_prefix="/admin")

    @admin.route("/reports/<name>")
    def report(name):
        return name

    app.register_blueprint(admin)

    @app.route("/users/<int:id>", methods=["GET", "POST"])
    def user(id):
        with gossamer.trace("load"):
            return "user %d" % id

    @app.route("/boom")
    def boom():
        raise ValueError("no such cart")

    @app.route("/teapot/<int:status>")
    def teapot(status):
        raise Teapot(str(status))

    @app.errorhandler(Teapot)
    def on_teapot(error):
        return "handled", int(str(error))

    @app.route("/abort/<int:status>")
    def aborted(status):
        abort(status)

    @app.route("/slash/")
    def slash():
        return "slash"

    @app.route("/stream")
    def stream():
        def parts():
            for index in range(3):
                with gossamer.trace("part"):
                    yield "part %d " % index

        return Response(parts())

    @app.route("/stream/broken")
    def broken():
        def parts():
            yield "one "
            raise KeyError("two")

        return Response(parts())

    @app.route("/page")
    def page():
        return render_template_string("Hello {{ name }}", name="Ada")

    return app


@pytest.fixture(scope="module")
def served():
    with web.serve_werkzeug(make_app()) as address:
        yield address


def one(spans):
    web.eventually(lambda: spans.find("flask.request"))
    return spans.one("flask.request")


def test_a_request(served, spans):
    answer = web.request(served, "/users/7?page=2&token=abc")
    assert (answer.status, answer.body) == (200, b"user 7")
    span = one(spans)
    assert (span.name, span.resource, span.service) == ("flask.request", "GET /users/<int:id>", None)
    assert (span.type, span.kind, span.integration) == ("web", "server", "flask")
    assert span.parent_id == 0 and not span.error and not span.events
    attributes = dict(span.attributes)
    assert attributes.pop("flask.version")[0].isdigit()
    assert attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/users/<int:id>",
        "url.scheme": "http",
        "url.path": "/users/7",
        "url.query": "page=2&<redacted>",
        "server.address": "127.0.0.1",
        "server.port": served[1],
        "client.address": "127.0.0.1",
        "network.protocol.version": attributes["network.protocol.version"],
        "flask.endpoint": "user",
        "flask.url_rule": "/users/<int:id>",
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


def test_a_service_of_its_own(monkeypatch, spans):
    gossamer.unpatch("flask")
    monkeypatch.setenv("DD_FLASK_SERVICE", "front")
    gossamer.settings.clear()
    gossamer.patch("flask")
    get(make_app(), "/users/7")
    monkeypatch.undo()
    gossamer.settings.clear()
    assert one(spans).service == "front"


@pytest.mark.parametrize(
    "path, method, status, resource",
    [
        ("/admin/reports/may", "GET", 200, "GET /admin/reports/<name>"),
        ("/users/7", "POST", 200, "POST /users/<int:id>"),
        ("/users/7", "HEAD", 200, "HEAD /users/<int:id>"),
        ("/users/7", "OPTIONS", 200, "OPTIONS /users/<int:id>"),
        ("/users/7", "DELETE", 405, "DELETE 405"),
        ("/users/seven", "GET", 404, "GET 404"),
        ("/nothing", "GET", 404, "GET 404"),
        ("/abort/404", "GET", 404, "GET /abort/<int:status>"),
        ("/abort/403", "GET", 403, "GET /abort/<int:status>"),
        ("/slash/", "GET", 200, "GET /slash/"),
        ("/static/none.css", "GET", 404, "GET /static/<path:filename>"),
    ],
)
def test_resources(served, spans, path, method, status, resource):
    assert web.request(served, path, method).status == status
    span = one(spans)
    assert span.resource == resource
    assert span.attributes["http.response.status_code"] == status
    assert not span.error and not span.events


def test_a_redirect_to_the_path_with_a_slash(served, spans):
    answer = web.request(served, "/slash")
    assert answer.status in (301, 308)
    assert one(spans).resource == "GET %d" % answer.status


def test_an_unhandled_exception(served, spans):
    assert web.request(served, "/boom").status == 500
    span = one(spans)
    assert span.error and span.resource == "GET /boom"
    assert span.attributes["http.response.status_code"] == 500
    (event,) = span.events
    assert event.attributes["exception.type"] == "ValueError"
    assert event.attributes["exception.message"] == "no such cart"
    assert "in boom" in event.attributes["exception.stacktrace"]


def test_a_propagated_exception(spans):
    app = make_app(PROPAGATE_EXCEPTIONS=True)
    with pytest.raises(ValueError, match="no such cart") as caught:
        get(app, "/boom")
    assert "boom" in [entry.name for entry in caught.traceback]
    span = one(spans)
    assert span.error and span.attributes["http.response.status_code"] == 500
    assert len(span.events) == 1
    assert gossamer.current_span() is None


@pytest.mark.parametrize("status, error", [(418, False), (503, True)])
def test_an_exception_with_a_handler(served, spans, status, error):
    answer = web.request(served, "/teapot/%d" % status)
    assert (answer.status, answer.body) == (status, b"handled")
    span = one(spans)
    assert span.error is error
    assert [event.attributes["exception.message"] for event in span.events] == [str(status)]


def test_a_handler_of_a_status(spans):
    app = make_app()
    app.errorhandler(500)(lambda error: ("sorry", 500))
    app.errorhandler(404)(lambda error: ("where?", 404))
    assert get(app, "/boom").data == b"sorry"
    assert get(app, "/nothing").data == b"where?"
    broken, missing = spans
    assert broken.error and len(broken.events) == 1
    assert not missing.error and not missing.events and missing.resource == "GET 404"


def test_abort_with_an_error_status(served, spans):
    assert web.request(served, "/abort/503").status == 503
    span = one(spans)
    assert span.error and not span.events


def test_a_streamed_body(served, spans):
    assert web.request(served, "/stream").body == b"part 0 part 1 part 2 "
    span = one(spans)
    assert [part.parent_id for part in spans.find("part")] == [span.span_id] * 3
    assert span.duration >= sum(part.duration for part in spans.find("part"))


def test_an_exception_in_a_streamed_body(spans):
    response = make_app().test_client().get("/stream/broken", buffered=False)
    with pytest.raises(KeyError, match="two"):
        list(response.response)
    response.close()
    span = one(spans)
    assert span.error and span.attributes["http.response.status_code"] == 200
    assert span.events[0].attributes["exception.type"] == "KeyError"


def test_callbacks_are_part_of_the_request(spans):
    app, seen = make_app(), []
    app.before_request(lambda: seen.append(gossamer.current_span()))
    app.after_request(lambda response: seen.append(gossamer.current_span()) or response)
    app.teardown_request(lambda error: seen.append(gossamer.current_span()))
    response = get(app, "/users/7")
    assert response.status_code == 200
    assert seen == [one(spans)] * 3


def test_only_finished_bodies_go_without_us(spans):
    app, seen = make_app(), []

    @app.route("/closing")
    def closing():
        response = Response("done")
        response.call_on_close(lambda: seen.append(gossamer.current_span()))
        return response

    assert get(app, "/closing").data == b"done"
    assert seen == [one(spans)]
    kinds = {}
    for path in ("/closing", "/stream"):
        body = app.wsgi_app(create_environ(path), lambda *args: None)
        kinds[path] = type(body).__name__
        list(body)
        body.close()
    assert kinds == {"/closing": "ReadyBody", "/stream": "Body"}
    assert len(spans.find("part")) == 3


def test_a_resource_set_by_hand_stays(spans):
    app = make_app()

    @app.route("/mine")
    def mine():
        gossamer.current_span().resource = "mine"
        return ""

    get(app, "/mine")
    assert one(spans).resource == "mine"


def test_the_test_client_under_a_span(spans):
    with gossamer.trace("test") as outer:
        get(make_app(), "/users/7")
        assert gossamer.current_span() is outer
    assert one(spans).parent_id == outer.span_id


def test_a_request_context_without_a_request_has_no_span(spans):
    app = make_app()
    with app.test_request_context("/users/7"):
        assert request.url_rule.rule == "/users/<int:id>"
        assert app.full_dispatch_request().data == b"user 7"
        assert gossamer.current_span() is None
    assert [span.name for span in spans] == ["load"]


def test_errors_outside_a_request_are_no_matter_of_ours(spans):
    app = make_app()
    with app.test_request_context("/boom"):
        with gossamer.trace("mine"):
            try:
                raise Teapot("418")
            except Teapot as error:
                assert app.handle_user_exception(error) is not None
    assert not spans.one("mine").events


def test_mounted_applications(spans):
    """Werkzeug's dispatcher in front: the rule is the application's own."""
    from werkzeug.test import Client

    try:
        from werkzeug.middleware.dispatcher import DispatcherMiddleware
    except ImportError:
        from werkzeug.wsgi import DispatcherMiddleware

    mounted = DispatcherMiddleware(make_app(), {"/shop": make_app()})
    assert _status(Client(mounted).get("/shop/users/7", buffered=True)) == 200
    assert one(spans).resource == "GET /users/<int:id>"
    spans.clear()
    assert _status(Client(WSGIMiddleware(mounted)).get("/shop/users/7", buffered=True)) == 200
    (span,) = spans.find(kind="server")
    assert (span.name, span.resource) == ("wsgi.request", "GET /shop/users/<int:id>")


def _status(answer):
    return int(answer[1][:3]) if isinstance(answer, tuple) else answer.status_code


@pytest.mark.skipif(not hasattr(Flask, "ensure_sync"), reason="async views are new in Flask 2")
def test_an_async_view(spans):
    pytest.importorskip("asgiref")
    app = make_app()

    @app.route("/async")
    async def view():
        with gossamer.trace("inside"):
            return "async"

    assert get(app, "/async").data == b"async"
    span = one(spans)
    assert span.resource == "GET /async"
    assert spans.one("inside").parent_id == span.span_id


def test_the_library_looks_as_before():
    gossamer.unpatch("flask")
    originals = {name: vars(Flask)[name] for name in HOOKED}
    gossamer.patch("flask")
    for name, original in originals.items():
        wrapped = vars(Flask)[name]
        assert wrapped is not original and wrapped.__wrapped__ is original
        assert inspect.signature(wrapped) == inspect.signature(original)
        assert (wrapped.__name__, wrapped.__doc__) == (original.__name__, original.__doc__)


HOOKED = ("wsgi_app", "handle_exception", "handle_user_exception")


def test_patched_twice_is_once_and_unpatched_is_none(spans):
    gossamer.patch("flask")
    app = make_app()
    get(app, "/users/7")
    assert len(spans.find("flask.request")) == 1
    gossamer.unpatch("flask")
    assert not any(hasattr(vars(Flask)[name], "__wrapped__") for name in HOOKED)
    assert get(app, "/users/7").data == b"user 7"
    assert len(spans.find("flask.request")) == 1


def test_disabled(spans, monkeypatch):
    monkeypatch.setattr(gossamer.tracer.recorder, "enabled", False)
    assert get(make_app(), "/users/7").data == b"user 7"
    assert not spans


def test_gunicorn(capture_agent, start_server, tmp_path):
    pytest.importorskip("gunicorn")
    (tmp_path / "shop.py").write_text(
        "import gossamer.auto\n"
        "from flask import Flask\n"
        "app = Flask('shop')\n"
        "@app.route('/users/<int:id>')\n"
        "def user(id): return 'user %d' % id\n"
    )
    server = start_server(
        [sys.executable, "-m", "gunicorn", "--chdir", str(tmp_path), "-w", "2", "-b", "127.0.0.1:{port}", "shop:app"],
        DD_TRACE_AGENT_URL=capture_agent.url,
        DD_SERVICE="shop",
    )
    assert web.request(("127.0.0.1", server.port), "/users/7").body == b"user 7"
    (span,) = capture_agent.wait_for_spans(1)
    assert (span["name"], span["resource"], span["service"]) == ("flask.request", "GET /users/<int:id>", "shop")
    assert span["meta"]["http.url"] == "http://127.0.0.1:%d/users/7" % server.port
