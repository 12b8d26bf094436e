"""HTTPX, sync and async."""

from __future__ import annotations

import asyncio
import inspect

import pytest

import gossamer
from tests.integrations.conftest import exception_of

httpx = pytest.importorskip("httpx")
FOLLOW = "follow_redirects" if "follow_redirects" in inspect.signature(httpx.get).parameters else "allow_redirects"


@pytest.fixture(autouse=True)
def instrumented(patched):
    patched("httpx")


def test_span_of_a_request(http_server, spans):
    with gossamer.trace("outer") as outer:
        assert httpx.get(http_server.url + "/users/7?x=1&token=abc").text == "ok"
    span = spans.one("http.request")
    assert (span.resource, span.service, span.type, span.kind) == ("GET /users/7", None, "http", "client")
    assert span.integration == "httpx" and span.parent_id == outer.span_id and not span.error
    assert span.attributes == {
        "http.request.method": "GET",
        "url.full": http_server.url + "/users/7?x=1&<redacted>",
        "server.address": "127.0.0.1",
        "server.port": http_server.port,
        "http.response.status_code": 200,
    }
    headers = http_server.last.headers
    assert headers["x-datadog-parent-id"] == str(span.span_id)
    assert headers["traceparent"].split("-")[1:3] == ["%032x" % span.trace.trace_id, "%016x" % span.span_id]


def test_credentials_are_not_recorded(http_server, spans):
    httpx.get("http://me:pw@127.0.0.1:%d/private" % http_server.port)
    assert http_server.last.headers["authorization"].startswith("Basic ")
    assert spans.one().attributes["url.full"] == http_server.url + "/private"


@pytest.mark.parametrize("status, failed", [(204, False), (404, False), (500, True)])
def test_error_statuses(http_server, spans, status, failed):
    assert httpx.post(http_server.url + "/status/%d" % status, content=b"abc").status_code == status
    assert spans.one().error is failed and spans.one().attributes["http.response.status_code"] == status


def test_redirects_are_one_span(http_server, spans):
    response = httpx.get(http_server.url + "/redirect/2", **{FOLLOW: True})
    assert len(response.history) == 2
    span = spans.one()
    assert span.resource == "GET /redirect/2" and span.attributes["http.response.status_code"] == 200
    assert {request.headers["x-datadog-parent-id"] for request in http_server.requests} == {str(span.span_id)}


def test_refused_connection(spans):
    with pytest.raises(httpx.ConnectError) as raised:
        httpx.get("http://127.0.0.1:1/x")
    span = spans.one()
    assert span.error and exception_of(span)["exception.type"] == "httpx.ConnectError"
    assert exception_of(span)["exception.message"] == str(raised.value)
    assert gossamer.current_span() is None


def test_timeout(http_server, spans):
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(http_server.url + "/delay/2", timeout=0.1)
    assert spans.one().error


def test_what_the_user_passed_is_unchanged(http_server, spans):
    mine = {"X-Mine": "1", "Traceparent": "stale"}
    with httpx.Client(headers={"X-All": "2"}) as client:
        before = dict(client.headers)
        client.get(http_server.url + "/", headers=mine)
        assert dict(client.headers) == before
    assert mine == {"X-Mine": "1", "Traceparent": "stale"}
    headers = http_server.last.headers
    assert (headers["x-mine"], headers["x-all"]) == ("1", "2")
    assert headers["traceparent"].split("-")[2] == "%016x" % spans.one().span_id


def test_streamed_body(http_server, spans):
    with httpx.Client() as client:
        with client.stream("GET", http_server.url + "/stream/3") as response:
            assert len(spans) == 1
            assert b"".join(response.iter_bytes()) == b"chunk 0\nchunk 1\nchunk 2\n"
    assert len(spans) == 1


def test_built_requests_transports_and_subclasses(spans):
    class Client(httpx.Client):
        def send(self, request, **kwargs):
            request.extensions if hasattr(request, "extensions") else None
            return super().send(request, **kwargs)

    transport = httpx.MockTransport(lambda request: httpx.Response(201, text=request.headers["traceparent"]))
    with Client(transport=transport) as client:
        request = client.build_request("PATCH", "https://shop.test/items/1")
        response = client.send(request)
    span = spans.one()
    assert response.text.split("-")[2] == "%016x" % span.span_id
    assert span.resource == "PATCH /items/1" and span.attributes["server.port"] == 443


def test_async(http_server, spans):
    async def fetch(client, number):
        with gossamer.trace("task", resource=str(number)):
            return (await client.get(http_server.url + "/item/%d" % number)).status_code

    async def work():
        async with httpx.AsyncClient() as client:
            assert await asyncio.gather(*[fetch(client, number) for number in range(5)]) == [200] * 5

    asyncio.run(work())
    for task in spans.find("task"):
        (inner,) = spans.children(task)
        assert inner.resource == "GET /item/" + task.resource
    sent = {request.path: request.headers["x-datadog-parent-id"] for request in http_server.requests}
    assert sent == {span.resource[4:]: str(span.span_id) for span in spans.find("http.request")}


def test_async_stream_error_and_cancellation(http_server, spans):
    async def work():
        async with httpx.AsyncClient() as client:
            async with client.stream("GET", http_server.url + "/stream/2") as response:
                assert [line async for line in response.aiter_lines()]
            with pytest.raises(httpx.ConnectError):
                await client.get("http://127.0.0.1:1/x")
            task = asyncio.ensure_future(client.get(http_server.url + "/delay/1"))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(work())
    streamed, refused, cancelled = spans
    assert not streamed.error and refused.error
    assert cancelled.attributes["cancelled"] is True and not cancelled.error


def test_kind_and_signature():
    assert inspect.iscoroutinefunction(httpx.AsyncClient.send)
    assert list(inspect.signature(httpx.Client.send).parameters)[:2] == ["self", "request"]


def test_unpatched(http_server, spans):
    gossamer.patch("httpx")
    httpx.get(http_server.url + "/")
    assert len(spans) == 1
    gossamer.unpatch()
    httpx.get(http_server.url + "/")
    assert len(spans) == 1 and "traceparent" not in http_server.last.headers
