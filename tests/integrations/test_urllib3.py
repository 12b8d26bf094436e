"""urllib3 called directly."""

from __future__ import annotations

import inspect

import pytest

import gossamer
from tests.integrations.conftest import exception_of

urllib3 = pytest.importorskip("urllib3")


@pytest.fixture(autouse=True)
def instrumented(patched):
    patched("urllib3", "httplib")


@pytest.fixture
def manager():
    manager = urllib3.PoolManager()
    yield manager
    manager.clear()


@pytest.fixture
def pool(http_server):
    pool = urllib3.HTTPConnectionPool("127.0.0.1", http_server.port)
    yield pool
    pool.close()


def test_span_of_a_request(manager, http_server, spans):
    with gossamer.trace("outer") as outer:
        assert manager.request("GET", http_server.url + "/users/7?x=1&password=abc").data == b"ok"
    span = spans.one("urllib3.request")
    assert len(spans) == 2
    assert (span.resource, span.service, span.type, span.kind) == ("GET /users/7", "urllib3", "http", "client")
    assert span.integration == "urllib3" and span.parent_id == outer.span_id and not span.error
    assert span.attributes == {
        "http.request.method": "GET",
        "url.full": http_server.url + "/users/7?x=1&<redacted>",
        "server.address": "127.0.0.1",
        "server.port": http_server.port,
        "http.response.status_code": 200,
    }
    headers = http_server.last.headers
    assert headers["x-datadog-parent-id"] == str(span.span_id)
    assert headers["traceparent"].split("-")[2] == "%016x" % span.span_id


def test_headers_of_the_user_stay_as_they_are(manager, pool, http_server, spans):
    mine = {"X-Mine": "1"}
    manager.request("GET", http_server.url + "/", headers=mine)
    pool.urlopen("GET", "/", None, mine)
    pool.urlopen("GET", "/", headers=mine)
    pool.headers = {"X-Mine": "1"}
    pool.urlopen("GET", "/")
    assert mine == {"X-Mine": "1"} == pool.headers
    sent = [request.headers["x-datadog-parent-id"] for request in http_server.requests]
    assert sent == [str(span.span_id) for span in spans]
    assert all(request.headers["x-mine"] == "1" for request in http_server.requests)


def test_kinds_of_headers(pool, http_server, spans):
    class Headers(dict):
        pass

    for headers in (Headers(a="1"), urllib3.util.make_headers(keep_alive=True), {}):
        pool.request("GET", "/", headers=headers)
        assert "traceparent" in http_server.last.headers and "traceparent" not in headers
    pool.request("GET", "/", headers={"TraceParent": "stale"})
    assert http_server.last.headers["traceparent"].split("-")[2] == "%016x" % spans[-1].span_id


def test_each_hop_of_a_redirect_is_a_span(manager, http_server, spans):
    assert manager.request("GET", http_server.url + "/redirect/2").status == 200
    assert [(span.resource, span.attributes["http.response.status_code"]) for span in spans] == [
        ("GET /redirect/2", 302), ("GET /redirect/1", 302), ("GET /", 200),
    ]  # fmt: skip


def test_retries_are_one_span(manager, http_server, spans):
    retries = urllib3.Retry(total=2, status_forcelist=[500], backoff_factor=0)
    with pytest.raises(urllib3.exceptions.MaxRetryError):
        manager.request("GET", http_server.url + "/status/500", retries=retries)
    span = spans.one()
    assert len(http_server.requests) == 3 and span.error
    assert {request.headers["x-datadog-parent-id"] for request in http_server.requests} == {str(span.span_id)}


@pytest.mark.parametrize("status, failed", [(204, False), (404, False), (500, True)])
def test_error_statuses(pool, http_server, spans, status, failed):
    assert pool.request("POST", "/status/%d" % status, body="abc").status == status
    assert spans.one().error is failed and spans.one().attributes["http.response.status_code"] == status


def test_refused_connection(manager, spans):
    with pytest.raises(urllib3.exceptions.MaxRetryError) as raised:
        manager.request("GET", "http://127.0.0.1:1/x", retries=1)
    span = spans.one()
    assert span.error and exception_of(span)["exception.type"] == "urllib3.exceptions.MaxRetryError"
    assert exception_of(span)["exception.message"] == str(raised.value)
    assert gossamer.current_span() is None


def test_streamed_body(manager, http_server, spans):
    response = manager.request("GET", http_server.url + "/stream/3", preload_content=False)
    assert len(spans) == 1 and b"".join(response.stream(5)) == b"chunk 0\nchunk 1\nchunk 2\n"
    response.release_conn()
    assert len(spans) == 1


def test_proxy(http_server, spans):
    proxy = urllib3.ProxyManager(http_server.url)
    assert proxy.request("GET", "http://shop.test/cart").status == 200
    assert spans.one().attributes["url.full"] == "http://shop.test/cart"
    assert spans.one().attributes["server.address"] == "shop.test"


def test_absolute_url_on_a_pool(pool, http_server, spans):
    pool.urlopen("GET", http_server.url + "/there")
    assert spans.one().attributes["url.full"] == http_server.url + "/there"


def test_signature_and_wrong_arguments(pool):
    assert list(inspect.signature(urllib3.HTTPConnectionPool.urlopen).parameters)[:4] == [
        "self", "method", "url", "body",
    ]  # fmt: skip
    with pytest.raises(TypeError):
        pool.urlopen()


def test_without_urllib3_the_layer_below_is_seen(manager, http_server, spans):
    gossamer.unpatch("urllib3")
    manager.request("GET", http_server.url + "/")
    assert spans.one().name == "http.client.request"
    assert http_server.last.headers["x-datadog-parent-id"] == str(spans.one().span_id)
    gossamer.unpatch()
    manager.request("GET", http_server.url + "/")
    assert len(spans) == 1 and "traceparent" not in http_server.last.headers


def test_a_connection_that_writes_its_head_itself_gets_the_headers(http_server, spans):
    class Connection(urllib3.connection.HTTPConnection):
        def endheaders(self, *args, **kwargs):
            seen.append(b"\n".join(self._buffer).decode())
            return super().endheaders(*args, **kwargs)

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Connection

    seen = []
    mine = {"X-Mine": "1"}
    pool = Pool("127.0.0.1", http_server.port)
    pool.request("GET", "/", headers=mine)
    pool.close()
    span = spans.one()
    assert "x-datadog-parent-id: %d" % span.span_id in seen[0].lower() and mine == {"X-Mine": "1"}
    assert http_server.last.headers["x-datadog-parent-id"] == str(span.span_id)


def test_without_the_hook_of_http_client_the_headers_carry_the_context(pool, http_server, spans):
    gossamer.unpatch("httplib")
    mine = {"X-Mine": "1"}
    pool.request("GET", "/", headers=mine)
    assert mine == {"X-Mine": "1"} and http_server.last.headers["x-datadog-parent-id"] == str(spans.one().span_id)
