"""The ASGI protocol, by hand-written applications on uvicorn and by hand."""

import asyncio
import socket
from types import SimpleNamespace

import pytest

import gossamer
from gossamer._instrument.conventions import http_server
from gossamer._instrument.conventions.http_server import WebServer
from gossamer._instrument.protocols import asgi
from gossamer.middleware import ASGIMiddleware, WSGIMiddleware
from gossamer.testing import capture_spans
from tests.services.web import eventually, request, serve_asgi

pytest.importorskip("uvicorn")


@pytest.fixture
def spans():
    with capture_spans() as found:
        yield found


async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"hello"})


def one(spans, name="asgi.request"):
    eventually(lambda: spans.find(name))
    return spans.one(name)


def serve_one(application, path="/", **how):
    with serve_asgi(ASGIMiddleware(application)) as address:
        return request(address, path, **how)


def scope_of(**values):
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "http_version": "1.1", "asgi": {}}
    scope.update(values)
    return scope


class Client:
    """Calls an application without a server: `messages` are what it receives, `sent` what it sends."""

    def __init__(self, *messages):
        self.messages = list(messages) or [{"type": "http.request", "body": b"", "more_body": False}]
        self.sent = []

    async def receive(self):
        return self.messages.pop(0)

    async def send(self, message):
        self.sent.append(message)

    def call(self, application, scope=None):
        asyncio.run(self.acall(application, scope))
        return self

    async def acall(self, application, scope=None):
        await application(scope or scope_of(), self.receive, self.send)


def test_a_request(spans):
    with serve_asgi(ASGIMiddleware(hello, service="shop")) as (host, port):
        answer = request((host, port), "/a%20b/c?x=1&token=t", headers={"User-Agent": "tests/1"})
    assert (answer.status, answer.body) == (200, b"hello")
    span = one(spans)
    assert (span.service, span.type, span.kind, span.resource) == ("shop", "web", "server", "GET 200")
    assert span.integration == "asgi" and span.parent_id == 0 and not span.error
    assert span.attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/a%20b/c",
        "url.query": "x=1&<redacted>",
        "server.address": host,
        "server.port": port,
        "client.address": "127.0.0.1",
        "network.protocol.version": "1.1",
        "user_agent.original": "tests/1",
        "http.response.status_code": 200,
    }


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": "00-0000000000000000000000000000007b-00000000000001c8-01"},
        {"x-datadog-trace-id": "123", "x-datadog-parent-id": "456", "x-datadog-sampling-priority": "2"},
    ],
    ids=["w3c", "datadog"],
)
def test_the_caller_is_the_parent(spans, headers):
    serve_one(hello, headers=headers)
    span = one(spans)
    assert (span.trace_id, span.parent_id) == (123, 456)


def test_the_tracestate_of_several_headers(spans):
    parent = b"00-0000000000000000000000000000007b-00000000000001c8-01"
    headers = [(b"traceparent", parent), (b"tracestate", b"a=1"), (b"tracestate", b"b=2")]
    Client().call(ASGIMiddleware(hello), scope_of(headers=headers))
    assert one(spans).trace.tracestate == "a=1,b=2"


def test_nothing_is_active_after_it(spans):
    async def main():
        async def application(scope, receive, send):
            with gossamer.trace("work"):
                await hello(scope, receive, send)

        await Client().acall(ASGIMiddleware(application))
        return gossamer.current_span()

    assert asyncio.run(main()) is None
    assert spans.one("work").parent_id == one(spans).span_id


def test_a_call_in_the_process_is_a_child(spans):
    async def main():
        with gossamer.trace("test") as outer:
            await Client().acall(ASGIMiddleware(hello))
            assert gossamer.current_span() is outer

    asyncio.run(main())
    assert one(spans).parent_id == spans.one("test").span_id


def test_requests_of_one_connection_are_strangers(spans):
    """After a large upload uvicorn reads on in the context of that request, which a later one must not inherit."""

    async def application(scope, receive, send):
        while (await receive()).get("more_body"):
            await asyncio.sleep(0.001)
        await hello(scope, receive, send)

    body = b"x" * 300000
    with serve_asgi(ASGIMiddleware(application)) as address:
        connection = socket.create_connection(address)
        for _ in range(2):
            connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            answer = b""
            while b"hello" not in answer:
                answer += connection.recv(65536)
        # Two requests at once: the second one is read while the first is answered.
        connection.sendall(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = b""
        while answer.count(b"hello") < 2:
            answer += connection.recv(65536)
        connection.close()
        eventually(lambda: len(spans) == 4)
    assert [span.parent_id for span in spans] == [0] * 4
    assert len({span.trace_id for span in spans}) == 4


def test_a_streamed_answer(spans):
    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for index in range(3):
            with gossamer.trace("part"):
                await send({"type": "http.response.body", "body": b"%d" % index, "more_body": True})
        await send({"type": "http.response.body"})

    assert serve_one(application).body == b"012"
    span = one(spans)
    assert [part.parent_id for part in spans.find("part")] == [span.span_id] * 3


def test_work_after_the_answer_is_a_late_child(spans):
    async def application(scope, receive, send):
        await hello(scope, receive, send)
        assert spans.one("asgi.request")
        with gossamer.trace("later"):
            await asyncio.sleep(0.01)

    Client().call(ASGIMiddleware(application))
    span, later = spans.one("asgi.request"), spans.one("later")
    assert later.parent_id == span.span_id and later.trace_id == span.trace_id
    assert span.duration < later.duration


def test_an_error_that_was_answered_before_it_is_raised(spans):
    """As Starlette and others do; the span ends with the answer all the same."""

    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"sorry"})
        await asyncio.sleep(0.1)
        raise ValueError("why")

    with pytest.raises(ValueError, match="why"):
        Client().call(ASGIMiddleware(application))
    span = spans.one("asgi.request")
    assert span.error and span.events[0].attributes["exception.message"] == "why"
    assert span.duration < 90000000


def test_an_exception(spans):
    error = ValueError("no")

    async def application(scope, receive, send):
        raise error

    with pytest.raises(ValueError) as caught:
        Client().call(ASGIMiddleware(application))
    assert caught.value is error
    span = spans.one("asgi.request")
    assert span.error and span.resource == "GET 500"
    assert "in application" in span.events[0].attributes["exception.stacktrace"]


def test_an_exception_on_a_server(spans):
    async def application(scope, receive, send):
        raise ValueError("no")

    assert serve_one(application).status == 500
    assert one(spans).attributes["http.response.status_code"] == 500


def test_a_client_that_leaves(spans):
    left = []

    async def application(scope, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        left.append((await receive())["type"])

    with serve_asgi(ASGIMiddleware(application)) as address:
        connection = socket.create_connection(address)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(1000)
        connection.close()
        span = one(spans)
    assert left == ["http.disconnect"]
    assert not span.error and span.attributes["client.disconnected"] is True


def test_the_end_of_a_complete_request_is_no_disconnect(spans):
    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body"})
        assert (await receive())["type"] == "http.disconnect"

    Client({"type": "http.disconnect"}).call(ASGIMiddleware(application))
    assert "client.disconnected" not in spans.one("asgi.request").attributes


def test_a_cancelled_request(spans):
    async def application(scope, receive, send):
        await asyncio.sleep(10)

    async def main():
        task = asyncio.ensure_future(Client().acall(ASGIMiddleware(application)))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    span = spans.one("asgi.request")
    assert not span.error and span.attributes["cancelled"] is True
    assert "http.response.status_code" not in span.attributes


def test_messages_and_results_pass_unchanged(spans):
    start = {"type": "http.response.start", "status": 200}
    body = {"type": "http.response.body", "more_body": False, "body": b"x"}
    trailer = {"type": "http.response.debug"}
    asked = {"type": "http.request", "body": b"ask"}

    client = Client(asked)

    async def send(message):
        client.sent.append(message)
        return "sent"

    async def main():
        async def app(scope, receive, send):
            assert await receive() is asked
            assert await send(start) == "sent"
            await send(body)
            await send(trailer)
            return "result"

        return await ASGIMiddleware(app)(scope_of(), client.receive, send)

    assert asyncio.run(main()) == "result"
    assert [id(message) for message in client.sent] == [id(start), id(body), id(trailer)]


async def chat(scope, receive, send):
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") == "bye":
            await send({"type": "websocket.close", "code": 4001, "reason": "bye"})
            return
        if message.get("text") == "boom":
            raise ValueError("boom")
        await send({"type": "websocket.send", "text": message["text"].upper()})


def connect(address):
    client = pytest.importorskip("websockets.sync.client")
    return client.connect("ws://%s:%d/chat?room=1" % address)


def test_a_websocket_that_the_application_closes(spans):
    with serve_asgi(ASGIMiddleware(chat)) as address:
        with connect(address) as socket:
            socket.send("hello")
            assert socket.recv() == "HELLO"
            assert not spans
            socket.send("bye")
            with pytest.raises(Exception):
                socket.recv()
        span = one(spans)
    assert (span.resource, span.kind, span.type, span.error) == ("websocket 101", "server", "web", False)
    assert span.attributes["http.upgraded"] == "websocket"
    assert span.attributes["url.scheme"] == "ws" and span.attributes["url.query"] == "room=1"
    assert span.attributes["websocket.close.code"] == 4001
    assert span.attributes["websocket.messages.received"] == 2
    assert span.attributes["websocket.messages.sent"] == 1


def test_a_websocket_that_the_client_closes(spans):
    with serve_asgi(ASGIMiddleware(chat)) as address:
        with connect(address) as socket:
            socket.close(4002)
        span = one(spans)
    assert span.attributes["websocket.close.code"] == 4002 and not span.error


def test_a_websocket_that_fails(spans):
    with serve_asgi(ASGIMiddleware(chat)) as address:
        with connect(address) as socket:
            socket.send("boom")
            with pytest.raises(Exception):
                socket.recv()
        span = one(spans)
    assert span.error and span.attributes["http.response.status_code"] == 101
    assert span.events[0].attributes["exception.message"] == "boom"


def test_a_websocket_that_is_refused(spans):
    async def refuse(scope, receive, send):
        await receive()
        await send({"type": "websocket.close"})

    with serve_asgi(ASGIMiddleware(refuse)) as address:
        with pytest.raises(Exception):
            connect(address)
        span = one(spans)
    assert span.resource == "websocket 403" and not span.error


def test_a_lifespan_is_left_alone(spans):
    seen = []

    async def application(scope, receive, send):
        if scope["type"] != "lifespan":
            return await hello(scope, receive, send)
        assert "gossamer.request" not in scope
        for state in ("startup", "shutdown"):
            message = await receive()
            seen.append((message["type"], gossamer.current_span()))
            await send({"type": "lifespan.%s.complete" % state})

    with serve_asgi(ASGIMiddleware(application), lifespan="on") as address:
        assert request(address).status == 200
    assert seen == [("lifespan.startup", None), ("lifespan.shutdown", None)]
    assert len(spans) == 1


def test_a_nested_application_has_no_span_of_its_own(spans):
    inner = ASGIMiddleware(hello)

    async def mount(scope, receive, send):
        await inner(dict(scope, root_path="/mounted"), receive, send)

    serve_one(mount)
    one(spans)
    assert len(spans) == 1


def test_a_wsgi_application_inside_has_no_span_of_its_own(spans):
    def application(environ, start_response):
        start_response("200 OK", [])
        return [b"%d" % len(spans.find("wsgi.request"))]

    async def bridge(scope, receive, send):
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": scope["path"], "wsgi.url_scheme": "http"}
        body = WSGIMiddleware(application)(environ, lambda *args: None)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"".join(body)})

    assert serve_one(bridge, "/a").body == b"0"
    assert one(spans) and len(spans) == 1


class Second:
    """An application of ASGI's second version, as a class."""

    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        await hello(self.scope, receive, send)


def second(scope):
    """And as a function."""
    return Second(scope)


class Third:
    async def __call__(self, scope, receive, send):
        await hello(scope, receive, send)


@pytest.mark.parametrize("application", [Second, second, Third(), hello, Third().__call__])
def test_both_versions(spans, application):
    client = Client().call(ASGIMiddleware(application))
    assert client.sent[1]["body"] == b"hello"
    assert spans.one("asgi.request").attributes["http.response.status_code"] == 200


def traced(application, **values):
    requests = asgi.Requests(WebServer(gossamer.tracer, "asgi.request", settings=SimpleNamespace(**values)))

    async def app(scope, receive, send):
        await asgi.call(requests, application, scope, receive, send)

    return app


def test_settings(spans):
    app = traced(
        hello,
        http_server_error_statuses=frozenset((200,)),
        http_server_query_string=False,
        header_tags={"x-request-id": "request.id", "content-type": ""},
    )
    Client().call(app, scope_of(headers=[(b"x-request-id", b"7")], query_string=b"a=b"))
    span = spans.one("asgi.request")
    assert span.error and "url.query" not in span.attributes
    assert span.attributes["request.id"] == "7"
    assert span.attributes["http.response.header.content-type"] == "text/plain"


@pytest.mark.parametrize(
    "values, path",
    [
        ({"path": "/caf\xe9", "raw_path": b"/caf%C3%A9"}, "/caf%C3%A9"),
        ({"path": "/caf\xe9"}, "/caf%C3%A9"),
        ({"path": "/a b", "raw_path": None}, "/a%20b"),
        ({"path": "/plain"}, "/plain"),
    ],
)
def test_paths(spans, values, path):
    Client().call(ASGIMiddleware(hello), scope_of(**values))
    assert spans.one("asgi.request").attributes["url.path"] == path


@pytest.mark.parametrize("client", [None, ("10.1.1.1", 1), (None, 1)])
def test_scopes_with_little_in_them(spans, client):
    scope = {"type": "http", "method": "GET", "path": "/", "headers": (), "client": client, "server": ("unix", None)}
    Client().call(ASGIMiddleware(hello), scope)
    assert spans.one("asgi.request").attributes.get("client.address") == (client[0] if client and client[0] else None)


def test_a_scope_that_is_not_one(spans):
    async def application(scope, receive, send):
        return "ok"

    assert asyncio.run(ASGIMiddleware(application)({}, None, None)) == "ok"
    assert not spans


def test_routes_add_up(spans):
    async def application(scope, receive, send):
        mount, route = object(), object()
        http_server.route(scope, mount, "/api")
        http_server.route(scope, mount, "/api")
        http_server.route(dict(scope), route, "/users/{id}")
        await hello(scope, receive, send)

    Client().call(ASGIMiddleware(application))
    span = spans.one("asgi.request")
    assert (span.resource, span.attributes["http.route"]) == ("GET /api/users/{id}", "/api/users/{id}")


@pytest.mark.parametrize(
    "server, address, port",
    [(("shop", 8000), "shop", 8000), (("shop", 80), "shop", None), (("unix", None), "unix", None), (None, None, None)],
)
def test_without_a_host_header_the_server_says_where_it_is(spans, server, address, port):
    Client().call(ASGIMiddleware(hello), scope_of(server=server))
    attributes = spans.one("asgi.request").attributes
    assert (attributes.get("server.address"), attributes.get("server.port")) == (address, port)


def test_requests_do_not_share_attributes(spans):
    application = ASGIMiddleware(hello)
    for path, host in (("/one", b"a"), ("/two", b"a"), ("/one", b"b:81")):
        Client().call(application, scope_of(path=path, headers=[(b"host", host), (b"user-agent", path.encode())]))
    assert [span.attributes["url.path"] for span in spans] == ["/one", "/two", "/one"]
    assert [span.attributes["user_agent.original"] for span in spans] == ["/one", "/two", "/one"]
    assert [span.attributes["server.address"] for span in spans] == ["a", "a", "b"]
    assert spans[2].attributes["server.port"] == 81


def test_headers_that_settings_name(spans):
    app = traced(hello, header_tags={"host": "", "user-agent": "agent", "x-long": ""})
    headers = [(b"host", b"a:1"), (b"user-agent", b"x"), (b"x-long", b"y" * 5000), (b"x-long", b"z")]
    Client().call(app, scope_of(headers=headers))
    attributes = spans.one("asgi.request").attributes
    assert attributes["http.request.header.host"] == "a:1" and attributes["agent"] == "x"
    assert attributes["http.request.header.x-long"] == "y" * 4096


def test_an_error_that_is_answered_ends_with_the_call_but_at_the_answer(spans):
    """Nothing is active in between that was not: late work stays below the request."""

    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body"})
        assert not spans and gossamer.current_span() is scope[http_server.KEY]

    Client().call(ASGIMiddleware(application))
    assert spans.one("asgi.request").error
