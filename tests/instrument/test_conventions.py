"""What spans say of HTTP calls and databases, and what they keep to themselves."""

import re
import time
from types import SimpleNamespace

import pytest

from gossamer._core import Recorder
from gossamer._instrument.conventions import commands, db, http_client, sql, urls
from gossamer._instrument.declare import Call, Options


def settings(**changed):
    values = {
        "http_client_query_string": True,
        "query_string_obfuscation": None,
        "http_client_error_statuses": frozenset(range(400, 600)),
        "header_tags": {},
    }
    return SimpleNamespace(**dict(values, **changed))


def call(shared=None):
    return Call(None, (), {}, Options({}, shared))


# -- HTTP -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url, full, host, port, path",
    [
        ("http://a.test", "http://a.test/", "a.test", 80, "/"),
        ("https://a.test/x", "https://a.test/x", "a.test", 443, "/x"),
        ("http://A.Test:8080/x#y", "http://A.Test:8080/x", "a.test", 8080, "/x"),
        ("http://me:pw@a.test/x", "http://a.test/x", "a.test", 80, "/x"),
        ("http://me:p@w@a.test/x", "http://a.test/x", "a.test", 80, "/x"),
        ("http://[::1]:81/x", "http://[::1]:81/x", "::1", 81, "/x"),
        ("http://[::1]/x", "http://[::1]/x", "::1", 80, "/x"),
        ("//a.test/x", "http://a.test/x", "a.test", 80, "/x"),
        ("http://a.test:99999999/x", "http://a.test:99999999/x", "a.test", 80, "/x"),
        ("http+unix://socket/x", "http+unix://socket/x", "socket", None, "/x"),
        ("/only/path?a=b", "/only/path?a=b", None, None, "/only/path"),
        ("", "/", None, None, "/"),
        ("http://a.test?q=1", "http://a.test/?q=1", "a.test", 80, "/"),
    ],
)
def test_urls(url, full, host, port, path):
    start = http_client.request(call(), "x", "get", url)
    assert start.resource == "GET " + path and start.attributes["url.full"] == full
    assert start.attributes.get("server.address") == host and start.attributes.get("server.port") == port


def test_methods_and_urls_of_other_types():
    start = http_client.request(call(), "x", b"get", b"http://a.test/x")
    assert start.resource == "GET /x" and start.attributes["http.request.method"] == "GET"


def test_query_strings():
    def shown(query, **changed):
        found = http_client.request(call(settings(**changed)), "x", "GET", "http://a.test/?" + query)
        return found.attributes["url.full"].partition("?")[2]

    assert shown("a=b&c=d") == "a=b&c=d"
    assert "s3cret" not in shown("a=b&password=s3cret&api_key=s3cret&x=1") and "x=1" in shown("token=s3cret&x=1")
    assert shown("a=b", http_client_query_string=False) == ""
    assert shown("a=b&c=d", query_string_obfuscation="c=[^&]*") == "a=b&<redacted>"
    assert shown("token=1", query_string_obfuscation="") == "token=1"


def test_long_and_hostile_urls():
    started = time.perf_counter()
    for url in (
        "http://a.test/" + "x" * 100000,
        "http://a.test/?" + "pass" * 50000,
        "@" * 100000,
        "http://" + ":" * 9999,
    ):
        assert len(http_client.request(call(), "x", "GET", url).attributes["url.full"]) <= 9000
    assert time.perf_counter() - started < 1


def test_answers():
    def answered(status, shared=None, **headers):
        found = call(shared)
        found.span = Recorder().start("x")
        http_client.response(found, status, headers)
        return found.span

    assert not answered(200).error and not answered(399).error
    assert answered(404).error and answered(500).attributes == {"http.response.status_code": 500, "error.type": "500"}
    only = settings(http_client_error_statuses=frozenset((418,)))
    assert answered(418, only).error and not answered(500, only).error
    tags = settings(header_tags={"x-id": "request.id", "x-other": ""})
    span = answered(200, tags, **{"x-id": "5", "x-other": "6", "x-third": "7"})
    assert span.attributes["request.id"] == "5" and span.attributes["http.response.header.x-other"] == "6"
    assert "7" not in span.attributes.values()
    start = http_client.request(call(tags), "x", "GET", "http://a.test/", {"x-id": "8"})
    assert start.attributes["request.id"] == "8"


def test_hosts_are_bounded():
    for number in range(2000):
        urls.split("http://host%d.test/" % number)
    assert len(urls._hosts) <= 512


# -- SQL --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement, shown",
    [
        ("select * from t1 where a = 'it''s' and b = -1.5e3", "select * from t1 where a = ? and b = -?"),
        ("select 1, .5, 0xFF, 1e-3, 12.", "select ?, ?, ?, ?, ?"),
        ("select x'ff', N'text', a1, b_2", "select ?, ?, a1, b_2"),
        ("select a -- secret\nfrom t", "select a from t"),
        ("select /* 'secret' */ a /* b", "select a"),
        ("  select\n\ta ,  b ", "select a , b"),
        ('select "Na me1", `na 2` from "T"', 'select "Na me1", `na 2` from "T"'),
        ("select ?, ?1, :name, :1, @p1, $1, %s, %(name)s", "select ?, ?1, :name, :1, @p1, $1, %s, %(name)s"),
        ("select 'never closed", "select ?"),
        ("select a from t where b in (1, 2,3)", "select a from t where b IN (?)"),
        ("select a from t where b IN (%s, %s)", "select a from t where b IN (?)"),
        ("insert into t values (?, ?), (?, ?)", "insert into t values (?, ?), (?, ?)"),
        ("", ""),
        ("\ud800'x'", "\ud800?"),
    ],
)
def test_literals_and_comments_go(statement, shown):
    assert sql.normalize(statement, "other")[0] == shown


@pytest.mark.parametrize(
    "system, statement, shown",
    [
        ("postgresql", r"select E'it\'s', 'a\', $$bo'dy$$, $x$ $y$ $x$, a::text", "select ?, ?, ?, ?, a::text"),
        ("mysql", r'select "sec\"ret", ' + r"'it\'s', `c` # note", "select ?, ?, `c`"),
        ("mariadb", "select 'a\\", "select ?"),
    ],
)
def test_dialects(system, statement, shown):
    assert sql.normalize(statement, system)[0] == shown


def test_operations_and_limits():
    assert sql.normalize("(select 1)", "x")[1] == "SELECT"
    assert sql.normalize("/* a */ Insert into t", "x")[1] == "INSERT"
    assert sql.normalize("", "x")[1] == "" and sql.normalize(b"select 'a'", "x") == ("select ?", "SELECT")
    assert len(sql.normalize("select " + "a, " * 10000, "x", 100)[0]) == 100


def test_statements_are_remembered_within_bounds():
    assert sql.normalize("select 1", "x") is sql.normalize("select 1", "x")
    for number in range(5000):
        sql.normalize("select %d" % number, "x")
    assert 0 < len(sql.known("x")) <= 2000
    sql.known("x").clear()
    sql.normalize("select '%s'" % ("x" * 5000), "x")
    assert not sql.known("x")
    for number in range(500):
        sql.normalize("select 1", "system %d" % number)
    assert len(sql._caches) <= 50


@pytest.mark.parametrize(
    "part", ["'", '"', "/*", "*", "$a$", "$", "-", "E'\\", "1.", "0x", "(?,", "IN (?, ", "\\", "`", " "]
)
def test_no_statement_is_slow(part):
    for system in ("x", "postgresql", "mysql"):
        started = time.perf_counter()
        sql.normalize(part * (50000 // len(part)), system)
        assert time.perf_counter() - started < 0.5


def test_what_is_composed_is_shown_by_its_text():
    class Composed:
        def __str__(self):
            return "select 5"

    start = db.query("x.query", Composed(), db.connection("x"))
    assert start.resource == "select ?"


# -- Redis ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args, shown",
    [
        (("SET", "k", "v", "EX", 5), "SET k ? ? ?"),
        (("set", b"k", b"v"), "SET k ?"),
        (("MSET", "a", 1, "b", 2), "MSET a ? b ?"),
        (("DEL", "a", "b"), "DEL a b"),
        (("RENAME", "a", "b"), "RENAME a b"),
        (("AUTH", "user", "secret"), "AUTH ? ?"),
        (("HELLO", 3, "AUTH", "user", "secret"), "HELLO ? ? ? ?"),
        (("ACL SETUSER", "me", ">secret"), "ACL SETUSER ? ?"),
        (("MIGRATE", "h", 1, "k", 0, 5, "AUTH", "secret"), "MIGRATE ? ? ? ? ? ? ?"),
        (("UNHEARD.OF", "secret"), "UNHEARD.OF ?"),
        (("PING",), "PING"),
        (("GET", "k" * 500), "GET " + "k" * 100),
        ((5, 6), "5 ?"),
        ((), ""),
        ((memoryview(b"GET"), "secret"), None),
    ],
)
def test_commands(args, shown):
    operation, text = commands.shown_command(args)
    assert "secret" not in text
    if shown is not None:
        assert text == shown and shown.startswith(operation)


def test_the_resource_is_one_word():
    start = db.command("redis.command", ("CONFIG GET", "x"), db.connection("redis"))
    assert start.resource == "CONFIG" and start.attributes["db.operation.name"] == "CONFIG GET"


def test_long_commands():
    assert commands.shown_command(["MGET"] + ["k"] * 1000)[1].endswith(" k ...")
    assert commands.shown_command(["LPUSH", "l"] + ["secret"] * 1000)[1] == "LPUSH l" + " ?" * 29 + " ..."
    for number in range(3000):
        commands.shown_command(("C%d" % number,))
    assert len(commands._names) <= 1000


def test_pipelines():
    facts = db.connection("redis", "0", "h", "6379")
    assert facts["server.port"] == 6379
    start = db.pipeline("redis.command", [("SET", "k", "secret")] * 300, facts, 50)
    assert start.resource.split("\n") == ["SET"] * 100 and start.attributes["db.operation.batch.size"] == 300
    assert (
        re.match(r"(SET k \?\n)+", start.attributes["db.query.text"]) and len(start.attributes["db.query.text"]) <= 50
    )
    assert "db.operation.name" not in facts


def test_the_facts_of_a_connection_are_not_shared():
    facts = db.connection("x", "name")
    first, second = db.query("x", "select 1", facts), db.query("x", "select 2", facts)
    first.attributes["more"] = 1
    assert "more" not in second.attributes and "more" not in facts
