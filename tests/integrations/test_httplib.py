"""http.client, and urllib over it."""

from __future__ import annotations

import gc
import http.client
import inspect
import socket
import urllib.error
import urllib.request

import pytest

import gossamer
from tests.integrations.conftest import exception_of


@pytest.fixture(autouse=True)
def instrumented(patched):
    patched("httplib")


@pytest.fixture
def connection(http_server):
    connection = http.client.HTTPConnection("127.0.0.1", http_server.port, timeout=5)
    yield connection
    connection.close()


def test_span_of_a_request(connection, http_server, spans):
    with gossamer.trace("outer") as outer:
        connection.request("GET", "/users/7?x=1&secret=abc", headers={"X-Mine": "1"})
        response = connection.getresponse()
        assert response.status == 200 and response.read() == b"ok"
        with gossamer.trace("after"):
            pass
    span = spans.one("http.client.request")
    assert (span.resource, span.service, span.type, span.kind) == ("GET /users/7", None, "http", "client")
    assert span.integration == "httplib" and span.parent_id == outer.span_id and not span.error
    assert spans.one("after").parent_id == outer.span_id
    assert span.attributes == {
        "http.request.method": "GET",
        "url.full": http_server.url + "/users/7?x=1&<redacted>",
        "server.address": "127.0.0.1",
        "server.port": http_server.port,
        "http.response.status_code": 200,
    }
    headers = http_server.last.headers
    assert headers["x-mine"] == "1" and headers["x-datadog-parent-id"] == str(span.span_id)
    assert headers["traceparent"].split("-")[1:3] == ["%032x" % span.trace.trace_id, "%016x" % span.span_id]


def test_headers_are_sent_once(connection, http_server, spans):
    mine = {"Traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01", "X-Datadog-Trace-Id": "5"}
    connection.request("GET", "/echo", headers=mine)
    echoed = connection.getresponse().read().decode()
    assert mine["X-Datadog-Trace-Id"] == "5" and "1" * 32 not in echoed
    assert http_server.last.headers["traceparent"].split("-")[2] == "%016x" % spans.one().span_id


def test_several_requests_on_one_connection(connection, http_server, spans):
    for path in ("/a", "/status/503", "/c"):
        connection.request("POST", path, body=b"abc")
        connection.getresponse().read()
    assert [request.body for request in http_server.requests] == [b"abc"] * 3
    assert [(span.resource, span.error) for span in spans] == [
        ("POST /a", False), ("POST /status/503", True), ("POST /c", False),
    ]  # fmt: skip


def test_step_by_step(connection, http_server, spans):
    connection.putrequest("PUT", "/steps", skip_accept_encoding=True)
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders(iter([b"one", b"two"]), encode_chunked=True)
    assert connection.getresponse().read() == b"ok"
    assert http_server.last.body == b"onetwo"
    assert spans.one().resource == "PUT /steps"


def test_urllib(http_server, spans):
    with urllib.request.urlopen(http_server.url + "/redirect/1?a=b") as response:
        assert response.read() == b"ok"
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(http_server.url + "/status/500")
    assert [(span.resource, span.error) for span in spans] == [
        ("GET /redirect/1", False), ("GET /", False), ("GET /status/500", True),
    ]  # fmt: skip


def test_refused_connection(spans):
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", 1).request("GET", "/x")
    span = spans.one()
    assert span.error and exception_of(span)["exception.type"] == "ConnectionRefusedError"
    assert gossamer.current_span() is None


def test_no_answer(connection, spans):
    connection.request("GET", "/close")
    with pytest.raises(http.client.RemoteDisconnected):
        connection.getresponse()
    assert spans.one().error


def test_timeout(http_server, spans):
    connection = http.client.HTTPConnection("127.0.0.1", http_server.port, timeout=0.05)
    connection.request("GET", "/delay/2")
    with pytest.raises(socket.timeout):
        connection.getresponse()
    assert spans.one().error
    connection.close()


def test_nobody_waits_for_the_answer(connection, http_server, spans):
    connection.request("GET", "/a")
    connection.close()
    assert spans.one().resource == "GET /a" and not spans.one().error
    other = http.client.HTTPConnection("127.0.0.1", http_server.port)
    with gossamer.trace("outer"):
        other.request("GET", "/b")
    del other
    gc.collect()
    assert [span.resource for span in spans.find("http.client.request")] == ["GET /a", "GET /b"]


def test_the_span_is_not_active_while_one_waits(connection, spans):
    with gossamer.trace("outer") as outer:
        connection.request("GET", "/a")
        assert gossamer.current_span() is outer
        with gossamer.trace("between"):
            pass
        connection.getresponse().read()
    assert spans.one("between").parent_id == outer.span_id


def test_tunnel_and_proxy(http_server, spans):
    connection = http.client.HTTPConnection("127.0.0.1", http_server.port)
    connection.request("GET", "http://shop.test/cart")
    connection.getresponse().read()
    assert spans.one().attributes["url.full"] == "http://shop.test/cart"
    connection.close()


def test_wrong_use_fails_as_ever(connection):
    with pytest.raises(http.client.CannotSendHeader):
        connection.endheaders()
    with pytest.raises(http.client.ResponseNotReady):
        connection.getresponse()


def test_signature():
    assert list(inspect.signature(http.client.HTTPConnection.getresponse).parameters) == ["self"]
    assert "message_body" in inspect.signature(http.client.HTTPConnection.endheaders).parameters


def test_unpatched(connection, http_server, spans):
    gossamer.patch("httplib")
    connection.request("GET", "/")
    gossamer.unpatch()
    connection.getresponse().read()
    connection.request("GET", "/")
    connection.getresponse().read()
    assert "traceparent" not in http_server.last.headers
    connection.close()
    gc.collect()
    assert len(spans) <= 1


def test_line_breaks_of_others_do_not_split_the_head(connection, http_server, spans):
    context = gossamer.SpanContext(5, 6, 1, tracestate="a=b\r\nx-evil: 1")
    with gossamer.tracer.activate(context):
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"ok"
    assert "x-evil" not in http_server.last.headers and http_server.last.headers["x-datadog-trace-id"] == "5"


def test_a_head_that_cannot_be_written_goes_as_it_is(connection, http_server, spans, monkeypatch):
    def broken(span, carrier):
        raise RuntimeError("ours")

    monkeypatch.setattr(gossamer.tracer.propagation, "inject", broken)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"ok"
    assert spans.one().resource == "GET /" and gossamer.current_span() is None
