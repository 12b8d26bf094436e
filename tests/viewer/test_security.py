"""Who may ask, and what every answer says to the browser."""

from __future__ import annotations

from typing import Any

import pytest

from gossamer.viewer import Viewer
from gossamer.viewer.security import CSP
from tests.viewer.helpers import CHANGE, Client, pack, span

BODY = pack([[span()]])


def host(client: Client, name: str, path: str = "/api/status", **headers: str) -> int:
    return client.ask("GET", path, headers={"Host": name, **headers}).status


def test_host_must_be_this_machine_with_our_port(client: Client) -> None:
    port = client.port
    for name in ("localhost", "127.0.0.1", "[::1]", "LOCALHOST", "127.8.8.8", "localhost."):
        assert host(client, f"{name}:{port}") == 200, name
    bad = [
        "localhost",
        f"localhost:{port + 1}",
        f"evil.example:{port}",
        f"127.0.0.1.evil.example:{port}",
        "",
        f"localhost:{port}@evil.example",
        f"evil@localhost:{port}",
        f"localhost:{port}/x",
        f"192.168.1.1:{port}",
        f"0.0.0.0:{port}",
        "localhost:port",
        f"localhost.evil:{port}",
    ]
    for name in bad:
        for path in ("/", "/static/app.js", "/api/status", "/api/live", "/nowhere"):
            assert host(client, name, path) == 421, (name, path)


def test_a_missing_host_is_misdirected(client: Client) -> None:
    assert client.raw(b"GET /api/status HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421 ")


def test_allowed_hosts(tmp_path: Any) -> None:
    with Viewer(port=0, data_dir=str(tmp_path), allow_hosts=["dev.example", "mapped.example:9000"]) as viewer:
        client = Client(viewer)
        assert host(client, f"dev.example:{viewer.port}") == 200
        assert host(client, "mapped.example:9000") == 200
        assert host(client, f"mapped.example:{viewer.port}") == 421
        assert host(client, f"other.example:{viewer.port}") == 421


def test_receiving_accepts_any_host_but_no_foreign_origin(client: Client) -> None:
    def send(**headers: str) -> int:
        return client.ask("PUT", "/v0.4/traces", BODY, {"Content-Type": "application/msgpack", **headers}).status

    assert send(Host="host.docker.internal:8126") == 200
    assert send(Origin=f"http://localhost:{client.port}") == 200
    for origin in (
        "http://evil.example",
        "null",
        f"https://localhost:{client.port}",
        "http://localhost:1",
        f"http://localhost:{client.port}.evil.example",
    ):
        assert send(Origin=origin) == 403, origin
    assert (
        client.ask(
            "POST", "/v1/traces", b"{}", {"Content-Type": "application/json", "Origin": "http://evil.example"}
        ).status
        == 403
    )
    refused = client.get("/api/status")["refused"]
    assert sum(refused["/v0.4/traces"].values()) == 5


def test_allowed_origins_and_no_cors_header(tmp_path: Any) -> None:
    with Viewer(port=0, data_dir=str(tmp_path), allow_origins=["http://app.example"]) as viewer:
        client = Client(viewer)
        answer = client.ask("PUT", "/v0.4/traces", BODY, {"Origin": "http://app.example"})
        assert answer.status == 200
        assert client.ask("PUT", "/v0.4/traces", BODY, {"Origin": "http://app.example.evil"}).status == 403
        for path, method in (
            ("/v0.4/traces", "OPTIONS"),
            ("/api/status", "OPTIONS"),
            ("/api/status", "GET"),
            ("/", "GET"),
            ("/info", "GET"),
        ):
            answer = client.ask(method, path, headers={"Origin": "http://app.example"})
            assert not [name for name in answer.headers if name.startswith("access-control")], path


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 200),
        ({"X-Gossamer": None}, 403),
        ({"X-Gossamer": "2"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": None}, 415),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Host": "evil.example"}, 421),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("DELETE", "/api/data"), ("POST", "/api/sample")])
def test_changes_need_the_header_the_type_and_the_site(
    client: Client, change: dict[str, Any], status: int, method: str, path: str
) -> None:
    client.send([[span()]])
    headers = {name: value for name, value in {**CHANGE, **change}.items() if value is not None}
    assert client.ask(method, path, b"{}", headers).status == status
    spans = client.get("/api/status")["spans"]
    assert (spans != 1) == (status == 200)


def test_a_get_changes_nothing(client: Client) -> None:
    client.send([[span()]])
    for path in ("/api/data", "/api/sample"):
        assert client.ask("GET", path, headers=CHANGE).status in (404, 405)
    assert client.ask("POST", "/api/data", b"{}", CHANGE).status in (404, 405)
    assert client.get("/api/status")["spans"] == 1


def test_security_headers_on_everything_the_browser_loads(client: Client) -> None:
    for path in (
        "/",
        "/static/index.html",
        "/api/status",
        "/api/traces?q=bogus:1",
        "/nowhere",
        "/api/nowhere",
        "/favicon.ico",
    ):
        headers = client.ask("GET", path).headers
        assert headers["content-security-policy"] == CSP, path
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
    for part in (
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "base-uri 'none'",
    ):
        assert part in CSP
    assert client.ask("GET", "/api/status").headers["cache-control"] == "no-store"


def test_files_do_not_lead_out_of_their_folder(client: Client) -> None:
    for path in (
        "/static/../api.py",
        "/static/%2e%2e/api.py",
        "/static/..%2fapi.py",
        "/static//etc/passwd",
        "/static/%00",
        "/static/",
        "/static/..",
        "/../../etc/passwd",
        "/static/..%5capi.py",
        "/static/%2fetc%2fpasswd",
        "/static/index.html%00.js",
    ):
        answer = client.ask("GET", path)
        assert answer.status == 404 and b"import" not in answer.body, path
    page = client.ask("GET", "/")
    assert page.status == 200 and page.headers["content-type"].startswith("text/html")
    assert client.ask("GET", "/", headers={"If-None-Match": page.headers["etag"]}).status == 304
    assert client.ask("POST", "/", b"x").status == 405


def test_a_wide_bind_needs_a_token(tmp_path: Any) -> None:
    for name in ("0.0.0.0", "::"):
        with pytest.raises(ValueError, match="--token"):
            Viewer(host=name, port=0, data_dir=str(tmp_path))


def test_token(tmp_path: Any) -> None:
    with Viewer(host="0.0.0.0", port=0, data_dir=str(tmp_path), token="s3cret", allow_hosts=["box.example"]) as viewer:
        client = Client(viewer)
        name = {"Host": f"box.example:{viewer.port}"}
        for path in ("/", "/api/status", "/static/app.js", "/?token=wrong", "/api/status?token=s3cret", "/api/live"):
            assert client.ask("GET", path, headers=name).status == 401, path
        assert client.ask("DELETE", "/api/data", b"{}", {**name, **CHANGE}).status == 401
        answer = client.ask("GET", "/?token=s3cret", headers=name)
        assert answer.status == 302 and answer.headers["location"] == "/"
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        assert (
            client.ask("GET", "/api/status", headers={**name, "Cookie": "a=b; " + cookie.partition(";")[0]}).status
            == 200
        )
        assert client.ask("GET", "/api/status", headers={**name, "Cookie": "gossamer_token=wrong"}).status == 401
        assert client.ask("GET", "/api/status", headers={"Host": "evil.example", "Cookie": cookie}).status == 421
        assert client.ask("PUT", "/v0.4/traces", BODY, {"Host": "anything"}).status == 200


def test_hostile_values_come_out_as_json_and_ids_as_text(client: Client) -> None:
    nasty = "<script>alert(1)</script>\u202e\x00'\"</"
    client.send(
        [
            [
                span(
                    service=nasty,
                    resource=nasty,
                    meta={"__proto__": nasty, nasty: "x", "big": "v" * 200_000},
                    metrics={"nan": float("nan"), "inf": float("inf")},
                )
            ]
        ]
    )
    (row,) = client.get("/api/traces")["rows"]
    assert row["root"]["service"] == nasty
    skeleton = client.get("/api/traces/" + row["trace"])
    detail = client.get("/api/spans/{}/0".format(skeleton["chunk"][0]))
    assert detail["attributes"]["__proto__"] == nasty and detail["attributes"]["nan"] == "nan"
    assert len(detail["attributes"]["big"]) == 65536 and "attributes.big" in detail["truncated"]
    assert isinstance(detail["raw"]["trace_id"], str)
    whole = client.get("/api/spans/{}/0".format(skeleton["chunk"][0]), full=1)
    assert len(whole["attributes"]["big"]) == 200_000 and not whole["truncated"]
    raw = client.ask("GET", "/api/traces").body
    assert raw.isascii() and b"NaN" not in raw


def test_lone_surrogates(client: Client) -> None:
    assert (
        client.ask("PUT", "/v0.4/traces", pack([[span(resource="a\ud800b", meta={"k\udfff": "v\ud800"})]])).status
        == 200
    )
    body = (
        b'[[{"trace_id":1,"span_id":2,"service":"s\\ud800","name":"n","resource":"r\\udc00","meta":{"k":"\\ud83d"}}]]'
    )
    assert client.ask("PUT", "/v0.4/traces", body, {"Content-Type": "application/json"}).status == 200
    client.viewer.store.flush()
    assert len(client.search("has:@k")) == 1 and len(client.search("")) == 2
    for row in client.search(""):
        skeleton = client.get("/api/traces/" + row["trace"])
        assert client.get("/api/spans/{}/0".format(skeleton["chunk"][0]))["resource"]
