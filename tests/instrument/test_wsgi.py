"""The WSGI protocol, by hand-written applications on a real server."""

import gc
import io
import sys
import threading
import time
import wsgiref.util
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gossamer
from gossamer._instrument.conventions import http_server, query
from gossamer._instrument.conventions.http_server import WebServer
from gossamer._instrument.protocols import wsgi
from gossamer.middleware import WSGIMiddleware
from gossamer.testing import capture_spans
from tests.services.web import eventually, request, serve_wsgi


@pytest.fixture
def spans():
    with capture_spans() as found:
        yield found


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def one(spans, name="wsgi.request"):
    eventually(lambda: spans.find(name))
    return spans.one(name)


def serve_one(application, path="/", **how):
    with serve_wsgi(WSGIMiddleware(application)) as server:
        return request(server.server_address, path, **how)


def test_a_request(spans):
    with serve_wsgi(WSGIMiddleware(hello, service="shop")) as server:
        host, port = server.server_address
        answer = request((host, port), "/a%20b/c?x=1", headers={"User-Agent": "tests/1"})
    assert (answer.status, answer.body) == (200, b"hello")
    span = one(spans)
    assert (span.service, span.type, span.kind, span.resource) == ("shop", "web", "server", "GET 200")
    assert span.integration == "wsgi" and span.parent_id == 0 and not span.error
    assert span.attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/a%20b/c",
        "url.query": "x=1",
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
    assert span.trace.priority == (2 if "x-datadog-trace-id" in headers else 1)


def test_baggage_without_a_trace(spans):
    seen = []

    def application(environ, start_response):
        seen.append(gossamer.current_span().context.baggage)
        return hello(environ, start_response)

    serve_one(application, headers={"baggage": "user=7"})
    assert one(spans).parent_id == 0
    assert seen == [{"user": "7"}]


def test_headers_of_another_trace_become_a_link(spans):
    serve_one(
        hello,
        headers={
            "x-datadog-trace-id": "123",
            "x-datadog-parent-id": "456",
            "traceparent": "00-000000000000000000000000000000ff-00000000000001c8-01",
        },
    )
    (link,) = one(spans).links
    assert link.context.trace_id == 255


def test_the_span_is_active_in_the_call_and_nothing_after_it(spans):
    def application(environ, start_response):
        with gossamer.trace("work"):
            pass
        return hello(environ, start_response)

    call(WSGIMiddleware(application))
    assert gossamer.current_span() is None
    assert spans.one("work").parent_id == spans.one("wsgi.request").span_id


def call(application, **environ):
    """Call an application as a server would, up to its body."""
    wsgiref.util.setup_testing_defaults(environ)
    return application(environ, lambda *args: None)


def test_a_call_in_the_process_is_a_child(spans):
    with gossamer.trace("test") as outer:
        call(WSGIMiddleware(hello))
        assert gossamer.current_span() is outer
    assert spans.one("wsgi.request").parent_id == outer.span_id


def test_what_an_ended_request_left_active_is_no_parent(spans):
    left = gossamer.start_span("earlier")
    left.finish()
    with gossamer.activate(left):
        call(WSGIMiddleware(hello))
    span = spans.one("wsgi.request")
    assert span.parent_id == 0 and span.trace_id != left.trace_id


def test_a_list_stays_a_list(spans):
    body = [b"a"]
    assert call(WSGIMiddleware(lambda environ, start: start("200 OK", []) and body or body)) is body
    assert spans.one("wsgi.request").attributes["http.response.status_code"] == 200


def test_a_generator_is_part_of_the_request(spans):
    between = []

    def application(environ, start_response):
        start_response("200 OK", [])
        for index in range(2):
            with gossamer.trace("part"):
                pass
            yield b"%d" % index

    body = call(WSGIMiddleware(application))
    assert not spans
    for _ in body:
        between.append(gossamer.current_span())
        assert not spans.find("wsgi.request")
    body.close()
    assert between == [None, None]
    span = spans.one("wsgi.request")
    assert [part.parent_id for part in spans.find("part")] == [span.span_id] * 2


def test_a_span_of_the_body_stays_active_over_its_yields(spans):
    def application(environ, start_response):
        start_response("200 OK", [])
        with gossamer.trace("render"):
            yield b"1"
            with gossamer.trace("part"):
                yield b"2"

    body = call(WSGIMiddleware(application))
    with gossamer.trace("server") as server:
        assert list(body) == [b"1", b"2"]
        assert gossamer.current_span() is server
    body.close()
    assert spans.one("part").parent_id == spans.one("render").span_id
    assert spans.one("render").parent_id == spans.one("wsgi.request").span_id


def test_streaming_over_a_socket(spans):
    def application(environ, start_response):
        write = start_response("200 OK", [("X-A", "1")])
        write(b"first ")
        yield b"second "
        yield b"third"

    assert serve_one(application).body == b"first second third"
    assert one(spans).attributes["http.response.status_code"] == 200


class Sized:
    """A body that is no list, but knows its length."""

    def __init__(self, parts):
        self.parts = parts
        self.closed = 0
        self.note = "kept"

    def __iter__(self):
        return iter(self.parts)

    def __len__(self):
        return len(self.parts)

    def close(self):
        self.closed += 1


def test_length_and_attributes_of_a_body(spans):
    parts = Sized([b"12345"])
    body = call(WSGIMiddleware(lambda environ, start: parts))
    assert len(body) == 1 and body.note == "kept"
    body.close()
    assert parts.closed == 1
    assert not hasattr(call(WSGIMiddleware(lambda environ, start: iter([b""]))), "__len__")


def test_the_server_still_knows_the_length(spans):
    def application(environ, start_response):
        start_response("200 OK", [])
        return Sized([b"12345"])

    assert serve_one(application).headers["content-length"] == "5"


def test_the_servers_file_wrapper_stays_what_it_is(spans):
    file = io.BytesIO(b"x" * 20000)

    def application(environ, start_response):
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](file)

    kinds = []

    def server(environ, start_response):
        body = WSGIMiddleware(application)(environ, start_response)
        kinds.append(isinstance(body, environ["wsgi.file_wrapper"]))
        assert not spans
        return body

    with serve_wsgi(server) as running:
        assert len(request(running.server_address).body) == 20000
    assert kinds == [True]
    assert one(spans).attributes["http.response.status_code"] == 200
    assert file.closed


def test_a_file_of_a_server_whose_wrapper_is_a_function(spans):
    for file in (io.BytesIO(b"x"), open(__file__, "rb")):  # the second one's `close` cannot be watched
        body = call(WSGIMiddleware(lambda environ, start: file), **{"wsgi.file_wrapper": lambda file, size=0: file})
        assert body is file
        body.close()
        assert file.closed
    assert len(spans.find("wsgi.request")) == 2


def test_an_exception_of_the_application(spans):
    error = ValueError("no")

    def application(environ, start_response):
        raise error

    with serve_wsgi(WSGIMiddleware(application)) as server:
        assert request(server.server_address).status == 500
        assert server.problems[0][1] is error
    span = one(spans)
    assert span.error and span.resource == "GET 500"
    (event,) = span.events
    assert event.attributes["exception.type"] == "ValueError"
    assert "in application" in event.attributes["exception.stacktrace"]


def test_an_exception_in_the_body(spans):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Length", "10")])
        yield b"12345"
        raise KeyError("late")

    with serve_wsgi(WSGIMiddleware(application)) as server:
        assert request(server.server_address).body == b"12345"
        assert server.problems[0][0] is KeyError
    span = one(spans)
    assert span.error and span.attributes["http.response.status_code"] == 200
    assert span.events[0].attributes["exception.type"] == "KeyError"


def test_an_exception_when_the_body_is_closed(spans):
    class Closing(Sized):
        def close(self):
            raise OSError("no")

    body = call(WSGIMiddleware(lambda environ, start: Closing([])))
    with pytest.raises(OSError, match="no"):
        body.close()
    assert spans.one("wsgi.request").error


def test_the_client_leaves_early(spans):
    ended = []

    def application(environ, start_response):
        start_response("200 OK", [])
        try:
            for _ in range(1000):
                yield b"x"
        except GeneratorExit:
            ended.append(gossamer.current_span())
            raise

    body = call(WSGIMiddleware(application))
    next(body)
    body.close()
    body.close()
    span = spans.one("wsgi.request")
    assert not span.error and ended == [span]


def test_a_server_that_never_closes(spans):
    body = call(WSGIMiddleware(lambda environ, start: iter([b"1"])))
    assert list(body) == [b"1"]
    assert not spans
    del body
    gc.collect()
    assert spans.one("wsgi.request")


def test_start_response_is_passed_on(spans):
    calls = []

    def start_response(*args, **kwargs):
        calls.append((args, kwargs))
        return "write"

    def application(environ, start_response):
        assert start_response("200 OK", [("A", "b")]) == "write"
        try:
            raise ValueError("late")
        except ValueError:
            start_response("500 Oh", [("A", "b")], sys.exc_info())
        return []

    environ = {}
    wsgiref.util.setup_testing_defaults(environ)
    WSGIMiddleware(application)(environ, start_response)
    assert calls[0] == (("200 OK", [("A", "b")]), {})
    assert calls[1][0][:2] == ("500 Oh", [("A", "b")]) and calls[1][0][2][0] is ValueError
    span = spans.one("wsgi.request")
    assert span.error and span.attributes["http.response.status_code"] == 500
    assert [event.attributes["exception.message"] for event in span.events] == ["late"]


def test_a_broken_status_is_the_servers_matter(spans):
    seen = []

    def start_response(status, headers):
        seen.append(status)

    environ = {}
    wsgiref.util.setup_testing_defaults(environ)
    WSGIMiddleware(lambda environ, start: start(None, []) or [b""])(environ, start_response)
    assert seen == [None]
    assert "http.response.status_code" not in spans.one("wsgi.request").attributes


def test_a_nested_application_has_no_span_of_its_own(spans):
    serve_one(WSGIMiddleware(hello))
    one(spans)
    assert len(spans) == 1


def test_a_request_inside_a_request_has(spans):
    inner = WSGIMiddleware(hello, name="inner.request")

    def application(environ, start_response):
        call(inner, PATH_INFO="/other")
        return hello(environ, start_response)

    serve_one(application, "/outer")
    assert spans.one("inner.request").parent_id == one(spans).span_id


def test_a_method_that_nobody_knows(spans):
    serve_one(hello, method="BREW")
    span = one(spans)
    assert span.resource == "HTTP 200"
    assert span.attributes["http.request.method"] == "_OTHER"
    assert span.attributes["http.request.method_original"] == "BREW"


def settings(**values):
    return SimpleNamespace(**values)


def traced(application, **values):
    requests = wsgi.Requests(WebServer(gossamer.tracer, "wsgi.request", settings=settings(**values)))
    return lambda environ, start_response: requests.call(application, environ, start_response)


def test_settings(spans):
    def application(environ, start_response):
        start_response("404 Not Found", [("X-Answer", "42")])
        return [b""]

    call(
        traced(
            application,
            http_server_error_statuses=frozenset((404,)),
            http_server_query_string=False,
            header_tags={"x-request-id": "request.id", "x-answer": ""},
        ),
        QUERY_STRING="a=b",
        HTTP_X_REQUEST_ID="7",
    )
    span = spans.one("wsgi.request")
    assert span.error and "url.query" not in span.attributes
    assert span.attributes["request.id"] == "7"
    assert span.attributes["http.response.header.x-answer"] == "42"


@pytest.mark.parametrize(
    "query, recorded",
    [
        ("a=b&token=secret&c=d", "a=b&<redacted>&c=d"),
        ("user[password]=x", "<redacted>"),
        ("api_key=1;x=2", "<redacted>"),
        ("author=poe&design=art&monkey=1&passenger=2", "author=poe&design=art&monkey=1&passenger=2"),
        ("x=eyJhbGciOi.eyJzdWIi.sig_n", "x=<redacted>"),
        ("q=Bearer%20abc.def", "q=<redacted>"),
        ("sig=1&SIGNATURE=2", "<redacted>&<redacted>"),
    ],
)
def test_secrets_in_the_query_string(spans, query, recorded):
    call(WSGIMiddleware(hello), QUERY_STRING=query)
    assert spans.one("wsgi.request").attributes["url.query"] == recorded


QUERY_PARTS = (
    "pass word token TOKEN: %3A a1b2c3d4e5f6g & = %3D auth author sig x 1 bearer+ BEARER%20 gho_ ghp_ ey eyJ .eyJ "
    "BEGIN +RSA+ PRIVATE +KEY api _ - key pa\u017f\u017f \u212aey session id otp spin " + "a" * 36
).split()


@given(st.lists(st.sampled_from(QUERY_PARTS), max_size=9).map("".join))
def test_quick_answers_are_those_of_the_expressions(text):
    assert query.redact(text) == "&".join(query._redact_parameter(part) for part in text.split("&"))


def test_an_expression_of_the_users(spans):
    call(traced(hello, query_string_obfuscation="b+"), QUERY_STRING="a=bb&token=1")
    call(traced(hello, query_string_obfuscation=""), QUERY_STRING="token=1")
    assert [span.attributes["url.query"] for span in spans] == ["a=<redacted>&token=1", "token=1"]


@pytest.mark.parametrize("query", ["eyI" * 1300, "a" * 100000, "%3D" * 2000, "BEGIN " * 700, "pass_" * 900])
def test_a_hostile_query_string_costs_little(spans, query):
    done = threading.Event()

    def run():
        call(WSGIMiddleware(hello), QUERY_STRING=query)
        done.set()

    threading.Thread(target=run, daemon=True).start()
    assert done.wait(1.0)


@pytest.mark.parametrize(
    "host, scheme, address, port",
    [
        ("shop.example", "http", "shop.example", None),
        ("shop.example:8080", "http", "shop.example", 8080),
        ("shop.example:443", "https", "shop.example", None),
        ("[::1]:8080", "http", "::1", 8080),
        ("[::1]", "http", "::1", None),
        ("shop.example:what", "http", "shop.example", None),
    ],
)
def test_hosts(spans, host, scheme, address, port):
    call(WSGIMiddleware(hello), HTTP_HOST=host, **{"wsgi.url_scheme": scheme})
    attributes = spans.one("wsgi.request").attributes
    assert (attributes["server.address"], attributes.get("server.port")) == (address, port)


def test_an_environment_that_is_not_one(spans):
    """What we cannot read is called without a span, and fails or works by itself."""
    assert list(WSGIMiddleware(lambda environ, start: [b"ok"])(None, None)) == [b"ok"]
    assert not spans


def test_details_that_fail_are_reported(spans):
    problems = []
    requests = wsgi.Requests(WebServer(gossamer.tracer, "wsgi.request"), lambda span, environ: 1 / 0, problems.append)
    assert call(lambda environ, start: requests.call(hello, environ, start)) == [b"hello"]
    assert isinstance(problems[0], ZeroDivisionError)
    assert spans.one("wsgi.request")


def test_a_body_that_is_never_closed_ends_when_it_was_last_asked(spans):
    def application(environ, start_response):
        start_response("200 OK", [])
        return (part for part in [b"a", b"b"])

    environ = {}
    wsgiref.util.setup_testing_defaults(environ)
    body = WSGIMiddleware(application)(environ, lambda status, headers: None)
    assert list(body) == [b"a", b"b"]
    time.sleep(0.3)
    assert not spans.find("wsgi.request")
    del body
    gc.collect()
    assert spans.one("wsgi.request").duration < 250000000


def test_arguments_by_keyword_are_passed_on_by_keyword(spans):
    calls = []

    def application(environ, start_response):
        start_response("200 OK", response_headers=[("A", "b")])
        start_response("201 Created", [("A", "b")], None)
        start_response(status="404 Not Found", headers=[])
        return []

    environ = {}
    wsgiref.util.setup_testing_defaults(environ)
    WSGIMiddleware(application)(environ, lambda *args, **kwargs: calls.append((args, kwargs)))
    assert calls == [
        (("200 OK",), {"response_headers": [("A", "b")]}),
        (("201 Created", [("A", "b")], None), {}),
        (("404 Not Found",), {"headers": []}),
    ]
    assert spans.one("wsgi.request").attributes["http.response.status_code"] == 404


def test_a_body_of_finished_parts_is_taken_without_us(spans):
    parts = Parts([b"1", b"2"])
    requests = wsgi.Requests(WebServer(gossamer.tracer, "wsgi.request"), ready=lambda body: body is parts)
    body = call(lambda environ, start: requests.call(lambda environ, start: parts, environ, start))
    iterator = iter(body)
    assert iterator is parts.iterator and list(iterator) == [b"1", b"2"]
    assert not spans
    body.close()
    span = spans.one("wsgi.request")
    assert parts.closed_in is span


def test_a_body_that_ready_cannot_judge(spans):
    problems = []
    server = WebServer(gossamer.tracer, "wsgi.request")
    requests = wsgi.Requests(server, None, problems.append, lambda body: 1 / 0)
    body = call(lambda environ, start: requests.call(lambda environ, start: iter([b"1"]), environ, start))
    assert list(body) == [b"1"]
    body.close()
    assert isinstance(problems[0], ZeroDivisionError) and spans.one("wsgi.request")


class Parts:
    """A body whose iterator and whose end can be watched."""

    def __init__(self, parts):
        self.iterator = iter(parts)

    def __iter__(self):
        return self.iterator

    def close(self):
        self.closed_in = gossamer.current_span()


def test_requests_do_not_share_attributes(spans):
    application = WSGIMiddleware(hello)
    for path in ("/one", "/two", "/one"):
        call(application, PATH_INFO=path)
    call(application, PATH_INFO="/post", REQUEST_METHOD="POST", HTTP_HOST="other:81")
    assert [span.attributes["url.path"] for span in spans] == ["/one", "/two", "/one", "/post"]
    assert len({id(span.attributes) for span in spans}) == 4
    assert spans[3].attributes["http.request.method"] == "POST"
    assert (spans[3].attributes["server.address"], spans[3].attributes["server.port"]) == ("other", 81)


def test_what_is_kept_of_requests_has_an_end(spans):
    server = WebServer(gossamer.tracer, "wsgi.request")
    requests = wsgi.Requests(server)

    def application(environ, start_response):
        start_response("200 " + environ["PATH_INFO"], [])
        return []

    for number in range(1200):
        environ = {"PATH_INFO": "/%d" % number, "HTTP_HOST": "h%d" % number, "QUERY_STRING": "p%d=1" % number}
        environ["REQUEST_METHOD"] = "GET" if number % 2 else "BREW%d" % number
        call(lambda environ, start: requests.call(application, environ, start), **environ)
    assert len(server._templates) <= 256 and not any(key[0].startswith("BREW") for key in server._templates)
    assert len(http_server._plain_paths) <= 1024 and len(http_server._statuses) <= 256
    assert len(query._secret) <= 1024
    assert len({span.attributes["url.path"] for span in spans}) == 1200
