"""redis-py, sync and asyncio, against a server and a cluster."""

from __future__ import annotations

import asyncio
import inspect

import pytest

import gossamer
from gossamer._instrument.versions import parse
from tests.integrations.conftest import exception_of

redis = pytest.importorskip("redis")
VERSION = parse(redis.__version__)
SECRET = "s3cret"
NO_RETRY = {}
if VERSION >= (4, 2):
    import redis.asyncio
if VERSION >= (6, 0):
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    NO_RETRY = {"retry": Retry(NoBackoff(), 0)}


def since(*version):
    return pytest.mark.skipif(VERSION < version, reason="redis-py is %s" % redis.__version__)


@pytest.fixture(autouse=True)
def instrumented(patched, redis_server):
    client = redis.StrictRedis(host=redis_server.host, port=redis_server.port, db=1)
    client.flushdb()
    patched("redis")


@pytest.fixture
def client(redis_server, spans):
    client = redis.StrictRedis(host=redis_server.host, port=redis_server.port, db=1)
    spans.clear()  # 4.0 asks for the server's commands at once
    return client


def expected(server, operation, text, **more):
    return dict(
        {
            "db.system.name": "redis",
            "db.namespace": "1",
            "server.address": server.host,
            "server.port": server.port,
            "db.operation.name": operation,
            "db.query.text": text,
        },
        **more,
    )


def test_span_of_a_command(client, redis_server, spans):
    assert client.set("key", SECRET) is True
    assert client.get("key") == SECRET.encode()
    put, got = spans
    assert (put.name, put.resource, put.service) == ("redis.command", "SET", "redis")
    assert (put.type, put.kind, put.integration, put.error) == ("redis", "client", "redis", False)
    assert put.attributes == expected(redis_server, "SET", "SET key ?")
    assert got.attributes == expected(redis_server, "GET", "GET key")


def test_parent(client, spans):
    with gossamer.trace("outer") as outer:
        client.get("key")
        with gossamer.trace("after"):
            pass
    assert spans.one("redis.command").parent_id == outer.span_id
    assert spans.one("after").parent_id == outer.span_id


@pytest.mark.parametrize(
    "command, text",
    [
        (("MSET", "a", SECRET, "b", SECRET), "MSET a ? b ?"),
        (("mget", "a", "b"), "MGET a b"),
        (("HSET", "h", "field", SECRET), "HSET h ? ?"),
        (("ECHO", SECRET), "ECHO ?"),
        (("EVAL", "return 1", 0), "EVAL ? ?"),
        (("GET", b"\xff\xfe"), "GET \ufffd\ufffd"),
        (("PING",), "PING"),
    ],
)
def test_values_are_not_shown(client, spans, command, text):
    client.execute_command(*command)
    span = spans.one()
    assert span.attributes["db.query.text"] == text and span.resource == text.split(" ")[0]


def test_passwords_are_not_shown(redis_server, spans):
    client = redis.StrictRedis(host=redis_server.host, port=redis_server.port, **NO_RETRY)
    spans.clear()
    for command in (("AUTH", SECRET), ("AUTH", "me", SECRET), ("CONFIG SET", "requirepass", SECRET, "x", "y")):
        with pytest.raises(redis.exceptions.RedisError):
            client.execute_command(*command)
    assert SECRET not in repr([span.attributes for span in spans])
    assert spans[0].attributes["db.query.text"] == "AUTH ?"


def test_long_commands_are_cut(client, spans):
    client.delete(*["key%d" % number + "x" * 1000 for number in range(100)])
    assert 900 < len(spans.one().attributes["db.query.text"]) <= 1000


def test_error(client, spans):
    client.rpush("list", "a")
    spans.clear()
    with pytest.raises(redis.exceptions.ResponseError) as raised:
        client.incr("list")
    span = spans.one()
    assert span.error and exception_of(span)["exception.type"] == "redis.exceptions.ResponseError"
    assert span.status_message == str(raised.value)
    assert gossamer.current_span() is None


def test_refused_connection(spans):
    client = redis.StrictRedis(host="127.0.0.1", port=1, **NO_RETRY)
    spans.clear()
    with pytest.raises(redis.exceptions.ConnectionError):
        client.get("key")
    span = spans.one()
    assert span.error and span.attributes["server.port"] == 1


@pytest.mark.parametrize("transaction", [True, False])
def test_pipeline_is_one_span(client, redis_server, spans, transaction):
    pipeline = client.pipeline(transaction=transaction)
    assert pipeline.set("a", SECRET).get("a").incr("n") is pipeline
    assert len(spans) == 0
    assert pipeline.execute() == [True, SECRET.encode(), 1]
    span = spans.one()
    increment = "INCRBY" if "INCRBY" in span.resource else "INCR"
    assert (span.name, span.resource) == ("redis.command", "SET\nGET\n%s" % increment)
    text = "SET a ?\nGET a\n%s n%s" % (increment, " ?" if increment == "INCRBY" else "")
    more = {"db.operation.batch.size": 3}
    assert span.attributes == expected(redis_server, "PIPELINE", text, **more)


def test_pipeline_details(client, spans):
    assert client.pipeline().execute() == []
    assert len(spans) == 0
    with client.pipeline() as pipeline:
        pipeline.watch("a")
        assert pipeline.get("a") is None
        pipeline.multi()
        pipeline.set("a", 1)
        pipeline.execute()
    assert [span.resource for span in spans] == ["WATCH", "GET", "SET"]
    pipeline = client.pipeline()
    for number in range(500):
        pipeline.set("key%d" % number, "x" * 100)
    pipeline.execute()
    span = spans[-1]
    assert span.attributes["db.operation.batch.size"] == 500 and len(span.attributes["db.query.text"]) <= 1000
    assert span.resource.count("\n") == 99


@since(2, 7)
def test_pipeline_error(client, spans):
    pipeline = client.pipeline()
    pipeline.rpush("list", 1).incr("list")
    with pytest.raises(redis.exceptions.ResponseError):
        pipeline.execute()
    assert spans.one().error


@since(2, 7)
def test_transaction_and_script(client, spans):
    def work(pipeline):
        pipeline.multi()
        pipeline.set("t", 1)

    client.transaction(work, "t")
    script = client.register_script("return ARGV[1]")
    assert script(args=[SECRET]) == SECRET.encode()
    assert SECRET not in repr([span.attributes for span in spans])
    assert {"WATCH", "SET", "EVALSHA"} <= {span.resource for span in spans}


def test_pubsub_is_left_alone(client, spans):
    pubsub = client.pubsub()
    pubsub.subscribe("news")
    assert pubsub.parse_response()[0] == b"subscribe"
    client.publish("news", SECRET)
    assert pubsub.parse_response()[2] == SECRET.encode()
    pubsub.close()
    assert spans.one().attributes["db.query.text"] == "PUBLISH news ?"


@since(2, 7)
def test_unix_socket_and_url(redis_server, spans):
    client = redis.StrictRedis.from_url("redis://:%s@%s:%d/2" % (SECRET, redis_server.host, redis_server.port))
    spans.clear()
    try:
        client.get("key")
    except redis.exceptions.RedisError:
        pass  # the server has no password; some versions mind
    assert spans.one().attributes["db.namespace"] == "2" and SECRET not in repr(spans.one().attributes)
    client = redis.StrictRedis(unix_socket_path="/nowhere/redis.sock", **NO_RETRY)
    with pytest.raises(redis.exceptions.ConnectionError):
        client.get("key")
    assert spans[-1].attributes["server.address"] == "/nowhere/redis.sock"
    assert "server.port" not in spans[-1].attributes


def test_legacy_client(redis_server, spans):
    client = redis.Redis(redis_server.host, redis_server.port, 1)
    spans.clear()
    client.get("key")
    pipeline = client.pipeline()
    pipeline.get("key")
    pipeline.execute()
    assert len(spans) == 2


def test_signature_and_subclasses(client, redis_server, spans):
    assert list(inspect.signature(redis.StrictRedis.execute_command).parameters) == ["self", "args", "options"]

    class Mine(redis.StrictRedis):
        def execute_command(self, *args, **options):
            self.seen = args[0]
            return super().execute_command(*args, **options)

    mine = Mine(host=redis_server.host, port=redis_server.port, db=1)
    spans.clear()
    mine.get("key")
    assert mine.seen == "GET" and len(spans) == 1


def test_unpatched(client, spans):
    gossamer.patch("redis")
    client.get("key")
    assert len(spans) == 1
    gossamer.unpatch("redis")
    client.get("key")
    client.pipeline().get("key").execute()
    assert len(spans) == 1


# -- asyncio ----------------------------------------------------------------------------------------------------------


async def closed(client):
    await (client.aclose() if hasattr(client, "aclose") else client.close())


@since(4, 2)
def test_asyncio(redis_server, spans):
    async def work():
        client = redis.asyncio.Redis(host=redis_server.host, port=redis_server.port, db=1)
        with gossamer.trace("outer"):
            assert await client.set("key", SECRET)
            assert await client.get("key") == SECRET.encode()
            pipeline = client.pipeline()
            pipeline.set("a", 1).get("a")
            assert await pipeline.execute() == [True, b"1"]
            async with client.pipeline() as pipeline:
                await pipeline.watch("a")
                assert await pipeline.get("a") == b"1"
            with pytest.raises(redis.exceptions.ResponseError):
                await client.incr("key")
        await closed(client)

    asyncio.run(work())
    outer = spans.one("outer")
    inner = spans.find("redis.command")
    assert [span.resource for span in inner][:6] == ["SET", "GET", "SET\nGET", "WATCH", "GET", "INCRBY"]
    assert all(span.parent_id == outer.span_id for span in inner)
    assert inner[0].attributes == expected(redis_server, "SET", "SET key ?")
    assert inner[-1].error and inner[-1].resource == "INCRBY"


@since(4, 2)
def test_asyncio_concurrently(redis_server, spans):
    async def one(client, number):
        with gossamer.trace("task", resource=str(number)):
            await client.set("key%d" % number, number)
            await client.get("key%d" % number)

    async def work():
        client = redis.asyncio.Redis(host=redis_server.host, port=redis_server.port, db=1)
        await asyncio.gather(*[one(client, number) for number in range(10)])
        task = asyncio.ensure_future(client.blpop("never", 5))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await closed(client)

    asyncio.run(work())
    for task in spans.find("task"):
        texts = [span.attributes["db.query.text"] for span in spans.children(task)]
        assert texts == ["SET key%s ?" % task.resource, "GET key%s" % task.resource]
    assert spans[-1].resource == "BLPOP" and spans[-1].attributes["cancelled"] is True


# -- cluster ----------------------------------------------------------------------------------------------------------


@since(4, 1)
def test_cluster(redis_cluster, spans):
    node = redis_cluster[0]
    client = redis.RedisCluster(host=node.host, port=node.port)
    spans.clear()
    with gossamer.trace("outer") as outer:
        client.set("key", SECRET)
        assert client.get("key") == SECRET.encode()
        pipeline = client.pipeline()
        pipeline.set("a", 1)
        pipeline.get("a")
        pipeline.get("b")
        assert pipeline.execute()[:2] == [True, b"1"]
    assert client.pipeline().execute() == []
    put, got, piped = [span for span in spans.find("redis.command") if span.resource != "COMMAND"]
    assert {span.parent_id for span in (put, got, piped)} == {outer.span_id}
    assert (put.resource, put.attributes["db.query.text"]) == ("SET", "SET key ?")
    assert put.attributes["server.port"] in [node.port for node in redis_cluster]
    assert piped.resource == "SET\nGET\nGET" and piped.attributes["db.operation.batch.size"] == 3
    client.close()


@since(4, 3)
def test_asyncio_cluster(redis_cluster, spans):
    node = redis_cluster[0]

    async def work():
        client = redis.asyncio.RedisCluster(host=node.host, port=node.port)
        await client.initialize()
        spans.clear()
        with gossamer.trace("outer"):
            await client.set("key", SECRET)
            assert await client.get("key") == SECRET.encode()
            if VERSION >= (4, 3, 2):
                pipeline = client.pipeline()
                pipeline.set("a", 1)
                pipeline.get("a")
                assert await pipeline.execute() == [True, b"1"]
        await closed(client)

    asyncio.run(work())
    found = spans.find("redis.command")
    assert [span.resource for span in found] == ["SET", "GET", "SET\nGET"][: len(found)]
    assert len(found) == (3 if VERSION >= (4, 3, 2) else 2)
    assert {span.parent_id for span in found} == {spans.one("outer").span_id}
    assert found[0].attributes["server.port"] in [node.port for node in redis_cluster]


def test_inside_a_trace_that_is_not_recorded(client, spans):
    recorder = gossamer.tracer.recorder
    recorder.enabled = False
    with gossamer.trace("outer"):
        client.set("key", "1")
        client.pipeline().get("key").execute()
    recorder.enabled = True
    assert len(spans) == 0
    client.get("key")
    assert spans.one().resource == "GET"
