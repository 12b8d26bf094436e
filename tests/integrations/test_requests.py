"""Requests, with or without urllib3 of its own, on one layer with urllib3 and http.client."""

from __future__ import annotations

import inspect
import threading
from contextvars import copy_context

import pytest

import gossamer
from tests.integrations.conftest import exception_of

requests = pytest.importorskip("requests")


@pytest.fixture(autouse=True)
def instrumented(patched):
    patched("requests", "urllib3", "httplib")


def trace_id(span):
    return str(span.trace.trace_id & 0xFFFFFFFFFFFFFFFF)


def test_span_of_a_request(http_server, spans):
    response = requests.get(http_server.url + "/users/7?x=1&token=abc#top")
    assert response.text == "ok"
    span = spans.one()
    assert (span.name, span.resource, span.service) == ("requests.request", "GET /users/7", "requests")
    assert (span.type, span.kind, span.integration, span.error) == ("http", "client", "requests", False)
    assert span.attributes == {
        "http.request.method": "GET",
        "url.full": http_server.url + "/users/7?x=1&<redacted>",
        "server.address": "127.0.0.1",
        "server.port": http_server.port,
        "http.response.status_code": 200,
    }


def test_one_span_and_one_set_of_headers_for_all_layers(http_server, spans):
    with gossamer.trace("outer") as outer:
        requests.get(http_server.url + "/")
    inner = spans.one("requests.request")
    assert len(spans) == 2 and inner.parent_id == outer.span_id and inner.trace is outer.trace
    headers = http_server.last.headers
    assert headers["x-datadog-trace-id"] == trace_id(inner)
    assert headers["x-datadog-parent-id"] == str(inner.span_id)
    assert headers["traceparent"].split("-")[1:3] == ["%032x" % inner.trace.trace_id, "%016x" % inner.span_id]
    assert "," not in headers["traceparent"]


def test_what_runs_after_is_a_sibling(http_server, spans):
    with gossamer.trace("outer") as outer:
        requests.get(http_server.url + "/")
        with gossamer.trace("after"):
            pass
    assert spans.one("after").parent_id == outer.span_id


def test_credentials_are_not_recorded(http_server, spans):
    requests.get("http://me:pw@127.0.0.1:%d/private" % http_server.port)
    assert http_server.last.headers["authorization"].startswith("Basic ")
    assert spans.one().attributes["url.full"] == http_server.url + "/private"


@pytest.mark.parametrize("status, failed", [(204, False), (304, False), (404, False), (500, True)])
def test_error_statuses(http_server, spans, status, failed):
    response = requests.post(http_server.url + "/status/%d" % status, data=b"abc")
    assert response.status_code == status
    span = spans.one()
    assert span.resource == "POST /status/%d" % status
    assert span.attributes["http.response.status_code"] == status
    assert span.error is failed and span.attributes.get("error.type") == (str(status) if failed else None)


def test_redirects_are_one_span(http_server, spans):
    response = requests.get(http_server.url + "/redirect/2")
    assert [hop.status_code for hop in response.history] == [302, 302]
    span = spans.one()
    assert span.resource == "GET /redirect/2" and span.attributes["http.response.status_code"] == 200
    assert {request.headers["x-datadog-parent-id"] for request in http_server.requests} == {str(span.span_id)}
    assert len(http_server.requests) == 3


def test_following_by_hand_is_a_span_for_each(http_server, spans):
    session = requests.Session()
    first = session.get(http_server.url + "/redirect/1", allow_redirects=False)
    assert first.status_code == 302
    list(session.resolve_redirects(first, first.request))
    assert [span.resource for span in spans] == ["GET /redirect/1", "GET /"]
    sent = [request.headers["x-datadog-parent-id"] for request in http_server.requests]
    assert sent == [str(span.span_id) for span in spans]


def test_streamed_body(http_server, spans):
    response = requests.get(http_server.url + "/stream/3", stream=True)
    assert len(spans) == 1
    assert b"".join(response.iter_content(4)) == b"chunk 0\nchunk 1\nchunk 2\n"
    assert len(spans) == 1


def test_refused_connection(spans):
    with pytest.raises(requests.exceptions.ConnectionError) as raised:
        requests.get("http://127.0.0.1:1/x")
    span = spans.one()
    assert span.error and span.resource == "GET /x" and "http.response.status_code" not in span.attributes
    assert exception_of(span)["exception.type"] == "requests.exceptions." + type(raised.value).__name__
    assert exception_of(span)["exception.message"] == str(raised.value)
    assert gossamer.current_span() is None


def test_timeout(http_server, spans):
    with pytest.raises(requests.exceptions.Timeout):
        requests.get(http_server.url + "/delay/3", timeout=0.05)
    assert spans.one().error


def test_what_the_user_passed_is_unchanged(http_server, spans):
    headers, params, cookies = {"X-Mine": "1"}, {"a": "b"}, {"c": "d"}
    requests.get(http_server.url + "/", headers=headers, params=params, cookies=cookies)
    assert (headers, params, cookies) == ({"X-Mine": "1"}, {"a": "b"}, {"c": "d"})
    assert http_server.last.headers["x-mine"] == "1"
    session = requests.Session()
    before = dict(session.headers)
    session.get(http_server.url + "/")
    assert dict(session.headers) == before


def test_stale_context_in_the_headers_is_replaced(http_server, spans):
    stale = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    requests.get(http_server.url + "/", headers={"Traceparent": stale, "X-Datadog-Trace-Id": "5"})
    headers = http_server.last.headers
    assert headers["traceparent"].split("-")[2] == "%016x" % spans.one().span_id
    assert headers["x-datadog-trace-id"] == trace_id(spans.one())


def test_prepared_requests_adapters_and_subclasses(http_server, spans):
    class Session(requests.Session):
        def send(self, request, **kwargs):
            with gossamer.trace("mine"):
                return super().send(request, **kwargs)

    class Adapter(requests.adapters.HTTPAdapter):
        used = 0

        def send(self, *args, **kwargs):
            Adapter.used += 1
            return super().send(*args, **kwargs)

    session = Session()
    session.mount("http://", Adapter())
    prepared = requests.Request("PUT", http_server.url + "/items/1", data="x").prepare()
    assert session.send(prepared).status_code == 200
    assert session.send(prepared).status_code == 200
    assert Adapter.used == 2 and [request.method for request in http_server.requests] == ["PUT", "PUT"]
    first, second = spans.find("requests.request")
    assert first.resource == "PUT /items/1" and first.parent.name == "mine"
    sent = [request.headers["x-datadog-parent-id"] for request in http_server.requests]
    assert sent == [str(first.span_id), str(second.span_id)]


def test_wrong_arguments_fail_as_ever(spans):
    session = requests.Session()
    request = requests.Request("GET", "http://127.0.0.1:1/", headers={"a": "b"})
    with pytest.raises(ValueError):
        session.send(request)
    assert request.headers == {"a": "b"} and len(spans) == 0
    with pytest.raises(TypeError):
        session.send()
    with pytest.raises(requests.exceptions.MissingSchema):
        requests.get("no-scheme")


def test_proxy(http_server, spans):
    response = requests.get("http://shop.test/cart?x=1", proxies={"http": http_server.url})
    assert response.status_code == 200 and http_server.last.path == "http://shop.test/cart?x=1"
    assert spans.one().attributes["server.address"] == "shop.test"
    assert spans.one().attributes["server.port"] == 80


def test_threads(http_server, spans):
    def work():
        for _ in range(5):
            requests.get(http_server.url + "/")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(spans) == 20 and len({span.trace.trace_id for span in spans}) == 20
    parents = sorted(request.headers["x-datadog-parent-id"] for request in http_server.requests)
    assert parents == sorted(str(span.span_id) for span in spans)


def test_work_that_was_started_inside_a_request_is_traced_after_it(http_server, spans):
    contexts = []
    requests.get(http_server.url + "/a", hooks={"response": lambda *args, **kwargs: contexts.append(copy_context())})
    contexts[0].run(requests.get, http_server.url + "/b")
    first, second = spans
    assert second.resource == "GET /b" and second.parent_id == first.span_id
    assert http_server.last.headers["x-datadog-parent-id"] == str(second.span_id)


def test_signature_is_kept():
    assert list(inspect.signature(requests.Session.send).parameters) == ["self", "request", "kwargs"]


def test_unpatched(http_server, spans):
    gossamer.patch("requests")
    gossamer.patch("requests")
    requests.get(http_server.url + "/")
    assert len(spans) == 1
    gossamer.unpatch()
    requests.get(http_server.url + "/")
    assert len(spans) == 1
    assert "traceparent" not in http_server.last.headers


def test_what_does_not_send_through_http_client_gets_the_headers(spans):
    class Local(requests.adapters.BaseAdapter):
        def send(self, request, **kwargs):
            self.seen = dict(request.headers)
            response = requests.Response()
            response.status_code, response.url, response.request = 200, request.url, request
            return response

        def close(self):
            pass

    class Own(requests.adapters.HTTPAdapter):
        send = Local.send

    for adapter in (Local(), Own()):
        session = requests.Session()
        session.mount("local://", adapter)
        assert session.get("local://shop/cart").status_code == 200
        assert adapter.seen["x-datadog-parent-id"] == str(spans[-1].span_id)


def test_an_adapter_that_turns_out_not_to_send_through_http_client(spans):
    class Adapter(requests.adapters.HTTPAdapter):
        pass

    sent = []

    def send(self, request, **kwargs):
        sent.append(dict(request.headers))
        response = requests.Response()
        response.status_code, response.url, response.request = 200, request.url, request
        return response

    session = requests.Session()
    session.mount("http://", Adapter())
    session.mount("https://", Adapter())
    before, requests.adapters.HTTPAdapter.send = requests.adapters.HTTPAdapter.send, send
    try:
        session.get("http://shop.test/")
        session.get("http://shop.test/")
    finally:
        requests.adapters.HTTPAdapter.send = before
    assert sent[1]["x-datadog-parent-id"] == str(spans[1].span_id)


def test_without_the_hook_of_http_client_the_headers_carry_the_context(http_server, spans):
    gossamer.unpatch("httplib")
    with gossamer.trace("outer"):
        requests.get(http_server.url + "/redirect/1")
    span = spans.one("requests.request")
    assert {request.headers["x-datadog-parent-id"] for request in http_server.requests} == {str(span.span_id)}


def test_nothing_waits_after_the_call(http_server, spans):
    from gossamer._instrument import deferred

    requests.get(http_server.url + "/")
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get("http://127.0.0.1:1/x")
    assert not deferred._waiting


def test_a_trace_that_is_not_recorded_goes_on_elsewhere(http_server, spans):
    recorder = gossamer.tracer.recorder
    recorder.enabled = False
    with gossamer.trace("outer") as outer:
        requests.get(http_server.url + "/status/500")
    recorder.enabled = True
    assert len(spans) == 0
    headers = http_server.last.headers
    assert headers["x-datadog-trace-id"] == trace_id(outer) and headers["x-datadog-parent-id"] != str(outer.span_id)
