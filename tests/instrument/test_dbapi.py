"""The DB-API protocol for drivers that take no classes: in place, behind a proxy, and with coroutines."""

import asyncio
import inspect

import pytest

from gossamer._core import Recorder, current_span, set_active
from gossamer._instrument import imports
from gossamer._instrument.conventions import db
from gossamer._instrument.declare import Integration
from gossamer._instrument.engine import Engine
from gossamer._trace.tracer import Tracer
from tests.instrument import driver


class Bench:
    def __init__(self):
        self.tracer = Tracer(Recorder())
        self.engine = Engine(self.tracer)
        self.failing = False
        integration = Integration("small", service="smalldb", layer=db.LAYER)
        for name in ("connect", "connect_fixed", "connect_async", "connect_fixed_async"):
            integration.dbapi("tests.instrument.driver:" + name)(self.facts)
        self.engine.add(integration)

    def facts(self, call):
        if self.failing:
            raise ZeroDivisionError
        return db.connection("small", call.argument(0, "database"), "db.test", 5432, call.argument(1, "user"))

    @property
    def spans(self):
        batch = self.tracer.recorder.buffer.swap()
        return [span for chunk in batch or () for span in chunk.spans]


@pytest.fixture
def bench():
    set_active(None)
    found = Bench()
    yield found
    found.engine.uninstall()
    imports._watchers.clear()
    set_active(None)


@pytest.fixture(params=["connect", "connect_fixed"])
def connection(request, bench):
    connection = getattr(driver, request.param)(":memory:")
    connection.cursor().execute("create table items (id integer, name text)")
    bench.spans
    yield connection
    connection.close()


def test_span_of_a_statement(bench, connection):
    cursor = connection.cursor()
    with bench.tracer.trace("outer") as outer:
        assert cursor.execute("insert into items values (1, 'secret')") is cursor
    inner, _ = bench.spans
    assert (inner.name, inner.resource) == ("small.query", "insert into items values (?, ?)")
    assert (inner.service, inner.type, inner.kind) == ("smalldb", "sql", "client")
    assert inner.parent_id == outer.span_id
    assert inner.attributes == {
        "db.system.name": "small",
        "db.namespace": ":memory:",
        "server.address": "db.test",
        "server.port": 5432,
        "db.query.text": "insert into items values (?, ?)",
        "db.operation.name": "INSERT",
        "db.response.returned_rows": 1,
    }


def test_statements_inside_a_statement_are_no_spans(bench, connection):
    cursor = connection.cursor()
    cursor.executemany("insert into items values (?, ?)", [(1, "a"), (2, "b")])
    assert cursor.callproc("proc", (1, 2)) == (1, 2)
    many, called = bench.spans
    assert many.attributes["db.operation.batch.size"] == 2
    assert called.resource == "proc"


def test_transactions(bench, connection):
    connection.commit()
    connection.rollback()
    with connection:
        connection.cursor().execute("select 1")
    names = [span.name.rpartition(".")[2] for span in bench.spans]
    assert names[:3] == ["commit", "rollback", "query"]


def test_types_attributes_and_protocols(bench, connection):
    fixed = "Fixed" in type(connection).__name__ or isinstance(connection, driver.FixedConnection)
    cursor = connection.cursor()
    assert isinstance(connection, driver.Connection) and isinstance(cursor, driver.Cursor)
    assert isinstance(connection, driver.FixedConnection) is fixed
    assert connection.__class__.__name__ == ("FixedConnection" if fixed else "Connection")
    with cursor as entered:
        assert entered is cursor
        entered.execute("insert into items values (1, 'a')")
        entered.execute("select id from items")
        assert [row[0] for row in entered] == [1]
    connection.extra = 5
    assert connection.extra == 5 and "extra" in dir(connection)
    del connection.extra
    assert not hasattr(connection, "extra")
    assert connection == connection and hash(connection) == hash(connection) and connection != 5
    assert "driver." in repr(connection)
    assert list(inspect.signature(cursor.execute).parameters)[:2] in (["query", "args"], ["args", "kwargs"])


def test_cursor_of_a_class_that_the_user_gives(bench, connection):
    class Mine(driver.Cursor):
        def execute(self, query, args=None):
            self.seen = query
            return super().execute(query, args)

    cursor = connection.cursor(Mine)
    cursor.execute("select 1")
    assert isinstance(cursor, Mine) and cursor.seen == "select 1"
    assert len(bench.spans) == 1


def test_errors(bench, connection):
    with pytest.raises(driver.Error) as raised:
        connection.cursor().execute("select * from nowhere")
    (span,) = bench.spans
    assert span.error and span.status_message == str(raised.value)
    with pytest.raises(TypeError):
        connection.cursor().execute()
    with pytest.raises(TypeError):
        driver.connect()
    assert current_span() is None


def test_a_failing_handler_leaves_the_connection_as_it_is(bench):
    bench.failing = True
    connection = driver.connect(":memory:")
    assert type(connection) is driver.Connection
    assert connection.cursor().execute("select 1").fetchall() == [(1,)]
    assert bench.spans == []


def test_uninstalled(bench, connection):
    bench.engine.uninstall()
    connection.cursor().execute("select 1")
    assert bench.spans == [] and type(driver.connect(":memory:")) is driver.Connection


@pytest.mark.parametrize("connect", ["connect_async", "connect_fixed_async"])
def test_coroutines(bench, connect):
    async def work():
        assert inspect.iscoroutinefunction(getattr(driver, connect))
        async with await getattr(driver, connect)(":memory:") as connection:
            assert isinstance(connection, driver.AsyncConnection)
            cursor = await connection.cursor()
            assert isinstance(cursor, driver.AsyncCursor) and inspect.iscoroutinefunction(cursor.execute)
            with bench.tracer.trace("outer"):
                assert await cursor.execute("select 'secret'") is cursor
                assert await cursor.fetchall() == [("secret",)]
                await cursor.execute("create table t (a)")
                await cursor.executemany("insert into t values (?)", [(1,), (2,)])
                await connection.commit()
                with pytest.raises(driver.Error):
                    await cursor.execute("select * from nowhere")
            async with cursor as entered:
                assert entered is cursor

    asyncio.run(work())
    *inner, outer = bench.spans
    assert [(span.name, span.error) for span in inner] == [
        ("small.query", False), ("small.query", False), ("small.query", False),
        ("small.connection.commit", False), ("small.query", True),
    ]  # fmt: skip
    assert inner[0].resource == "select ?" and {span.parent_id for span in inner} == {outer.span_id}


def test_coroutines_at_once(bench):
    async def one(number):
        connection = await driver.connect_async(":memory:")
        with bench.tracer.trace("task", resource=str(number)):
            cursor = await connection.cursor()
            for _ in range(3):
                await cursor.execute("select %d" % number)

    async def main():
        await asyncio.gather(*[one(number) for number in range(10)])

    asyncio.run(main())
    spans = bench.spans
    for task in [span for span in spans if span.name == "task"]:
        assert sum(span.parent_id == task.span_id for span in spans) == 3


def test_a_statement_that_is_passed_by_name(bench):
    cursor = driver.connect(":memory:").cursor()
    assert bench.spans == []
    assert cursor.execute(query="select 'secret'").fetchall() == [("secret",)]
    (span,) = bench.spans
    assert span.resource == "select ?" and span.attributes["db.operation.name"] == "SELECT"
    with pytest.raises(TypeError):
        cursor.execute(statements="select 1")
    with pytest.raises(TypeError):
        type(cursor).execute()
    assert bench.spans == [] and bench.engine.statuses["small"].sites[0].failures == 0


def test_what_is_no_text_is_shown_by_its_text(bench):
    class Composed:
        __hash__ = None

        def __str__(self):
            return "select 'secret'"

    cursor = driver.connect_fixed(":memory:").cursor()
    with pytest.raises(Exception):
        cursor.execute(Composed())
    (span,) = bench.spans
    assert span.resource == "select ?" and span.error
