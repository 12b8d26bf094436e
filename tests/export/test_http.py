"""The HTTP client against servers that behave and servers that do not."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
from typing import Any

import pytest

from gossamer._export.http import MAX_BODY, HttpClient, HttpError, split_url
from tests.export.scripted import OK, Connection, forever
from tests.services.ports import free_port


def test_requests_share_a_connection(scripted: Any) -> None:
    server = scripted(
        forever(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello", b"HTTP/1.1 204 No\r\n\r\n")
    )
    client = HttpClient(server.url + "/base/")
    response = client.request("PUT", "/a", b"body", {"X-Own": "1\r\nX-Bad: 2"})
    assert (response.status, response.body, response.headers["x-a"]) == (200, b"hello", "b")
    assert client.request("GET", "/b").status == 204
    assert client.request("GET", "/c").body == b"{}"
    assert server.accepted == 1
    assert server.paths() == ["PUT /base/a", "GET /base/b", "GET /base/c"]
    first = server.requests[0].split(b"\r\n")
    assert b"Content-Length: 4" in first and f"Host: 127.0.0.1:{server.port}".encode() in first
    assert b"X-Own: 1  X-Bad: 2" in first  # no header smuggled in


def test_chunked_answers_and_interim_answers(scripted: Any) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n"
    server = scripted(forever(b"HTTP/1.1 100 Continue\r\n\r\n" + chunked))
    client = HttpClient(server.url)
    assert client.request("PUT", "/").body == b"abcde"
    assert client.request("PUT", "/").body == b"{}"
    assert server.accepted == 1


def test_an_answer_byte_by_byte(scripted: Any) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        for byte in OK:
            connection.send(bytes([byte]))

    assert HttpClient(scripted(script).url).request("GET", "/").body == b"{}"


def test_an_answer_that_ends_with_the_connection(scripted: Any) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.send(b"HTTP/1.0 200 OK\r\n\r\nall of it")

    server = scripted(script, forever())
    client = HttpClient(server.url)
    assert client.request("GET", "/").body == b"all of it"
    assert client.request("GET", "/").status == 200
    assert server.accepted == 2


def test_a_connection_closed_between_requests_is_replaced(scripted: Any) -> None:
    def one_request(connection: Connection) -> None:
        connection.request()
        connection.send(OK)

    server = scripted(one_request, one_request, forever())
    client = HttpClient(server.url)
    for _ in range(3):
        assert client.request("PUT", "/", b"x" * 200000).status == 200
        time.sleep(0.05)  # let the end of the connection arrive
    assert server.accepted == 3
    assert len(server.requests) == 3


def test_connection_close_is_honoured(scripted: Any) -> None:
    closing = b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n"
    server = scripted(forever(closing))
    client = HttpClient(server.url)
    client.request("GET", "/")
    client.request("GET", "/")
    assert server.accepted == 2


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"],
    ids=["nothing", "head", "body"],
)
def test_an_answer_that_is_cut(scripted: Any, answer: bytes) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.send(answer)

    server = scripted(script)
    client = HttpClient(server.url)
    with pytest.raises(HttpError) as caught:
        client.request("PUT", "/", b"x")
    assert caught.value.reason == "cut"
    assert len(server.requests) == 1  # a fresh connection that is cut is not tried again


def test_no_second_attempt_once_a_byte_of_an_answer_has_come(scripted: Any) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        connection.send(OK)
        connection.request()
        connection.send(b"HTTP/1.1 2")

    server = scripted(script)
    client = HttpClient(server.url)
    client.request("PUT", "/")
    with pytest.raises(HttpError) as caught:
        client.request("PUT", "/")
    assert caught.value.reason == "cut"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 200000,
    ],
    ids=["ssh", "status", "length", "negative", "chunk", "headers", "header"],
)
def test_what_is_no_http(scripted: Any, answer: bytes) -> None:
    client = HttpClient(scripted(forever(answer)).url)
    with pytest.raises(HttpError) as caught:
        client.request("PUT", "/")
    assert caught.value.reason == "protocol"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_huge_answer_is_cut_off(scripted: Any, chunked: bool) -> None:
    def script(connection: Connection) -> None:
        connection.request()
        size = 64 << 20
        if chunked:
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        else:
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size >> 16):
            connection.send((b"10000\r\n" if chunked else b"") + b"x" * 65536 + (b"\r\n" if chunked else b""))

    client = HttpClient(scripted(script, forever()).url)
    response = client.request("PUT", "/")
    assert response.status == 200 and len(response.body) <= MAX_BODY
    assert client.request("PUT", "/").body == b"{}"


def test_nobody_listening() -> None:
    client = HttpClient(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(HttpError) as caught:
        client.request("GET", "/")
    assert caught.value.reason == "unreachable"


def test_a_server_that_never_answers(scripted: Any) -> None:
    server = scripted(lambda connection: server.ended.wait(10))
    client = HttpClient(server.url, timeout=0.3)
    began = time.monotonic()
    with pytest.raises(HttpError) as caught:
        client.request("GET", "/")
    assert caught.value.reason == "timeout"
    assert 0.25 < time.monotonic() - began < 1.0


def test_the_timeout_is_for_the_whole_request(scripted: Any) -> None:
    def drip(connection: Connection) -> None:
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not connection.server.ended.wait(0.05):
            connection.send(b"x")

    client = HttpClient(scripted(drip).url, timeout=0.4)
    began = time.monotonic()
    with pytest.raises(HttpError):
        client.request("GET", "/")
    assert time.monotonic() - began < 1.0


def test_a_server_that_does_not_read(scripted: Any) -> None:
    server = scripted(lambda connection: server.ended.wait(10))
    client = HttpClient(server.url, timeout=0.4)
    began = time.monotonic()
    with pytest.raises(HttpError) as caught:
        client.request("PUT", "/", b"x" * (32 << 20))
    assert caught.value.reason == "timeout"
    assert time.monotonic() - began < 1.5


def test_an_answer_before_the_body_was_read(scripted: Any) -> None:
    def script(connection: Connection) -> None:
        connection.socket.recv(1000)
        connection.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        connection.socket.shutdown(1)
        while connection.socket.recv(1 << 16):
            pass

    assert HttpClient(scripted(script).url).request("PUT", "/", b"x" * (8 << 20)).status == 413


def test_a_unix_socket(scripted: Any) -> None:
    folder = tempfile.mkdtemp(prefix="http-")
    try:
        path = os.path.join(folder, "a.socket")
        server = scripted(forever(), path=path)
        client = HttpClient(server.url)
        assert client.request("PUT", "/v0.4/traces", b"x").status == 200
        assert b"Host: localhost\r\n" in server.requests[0]
        with pytest.raises(HttpError) as caught:
            HttpClient("unix://" + path + "x").request("GET", "/")
        assert caught.value.reason == "unreachable"
    finally:
        shutil.rmtree(folder)


def test_tls(scripted: Any, tmp_path: Any) -> None:
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def script(connection: Connection) -> None:
        connection.socket = context.wrap_socket(connection.socket, server_side=True)
        forever()(connection)

    url = scripted(script).url.replace("http:", "https:")
    trusted = HttpClient(url, tls=lambda: ssl.create_default_context(cafile=certificate))
    assert trusted.request("PUT", "/", b"x" * 500000).status == 200
    assert trusted.request("PUT", "/").status == 200
    with pytest.raises(HttpError) as caught:
        HttpClient(url).request("GET", "/")
    assert caught.value.reason == "unreachable" and "CERTIFICATE_VERIFY_FAILED" in str(caught.value)


def test_close_forgets_the_connection(scripted: Any) -> None:
    server = scripted(forever())
    client = HttpClient(server.url)
    client.request("GET", "/")
    client.close()
    client.close()
    client.request("GET", "/")
    assert server.accepted == 2


@pytest.mark.parametrize(
    "url, parts",
    [
        ("http://a", ("http", "a", 80, "")),
        ("https://a", ("https", "a", 443, "")),
        ("HTTP://a:1/", ("http", "a", 1, "")),
        ("http://a:1/b/c/?d=e", ("http", "a", 1, "/b/c")),
        ("http://[::1]:8126/v1", ("http", "::1", 8126, "/v1")),
        ("http://[::1]", ("http", "::1", 80, "")),
        ("http://user:secret@a:1", ("http", "a", 1, "")),
        ("unix:///var/run/a.socket", ("unix", "/var/run/a.socket", 0, "")),
    ],
)
def test_addresses(url: str, parts: Any) -> None:
    assert split_url(url) == parts


@pytest.mark.parametrize(
    "url", ["", "a", "a:80", "ftp://a", "http://", "http://a:b", "http://a:0", "http://a:99999", "unix://a"]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError):
        split_url(url)


def test_an_interrupt_in_the_middle_leaves_no_half_answer(scripted: Any) -> None:
    server = scripted(forever())
    client = HttpClient(server.url)
    client.request("GET", "/")

    class Interrupting(threading.local):
        def settimeout(self, seconds: float) -> None:
            raise KeyboardInterrupt

        def close(self) -> None:
            pass

    kept, client._socket = client._socket, Interrupting()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        client.request("GET", "/")
    assert client._socket is None
    assert kept is not None
    kept.close()
