"""psycopg 3 against a real PostgreSQL: spans, and everything that the library can do, as ever."""

from __future__ import annotations

import asyncio
import inspect
import threading

import pytest

try:
    import psycopg
except ImportError as error:  # it is not there, or the libpq that it needs is not
    pytest.skip(str(error), allow_module_level=True)

from psycopg import sql
from psycopg.rows import dict_row

import gossamer
from tests.integrations.conftest import exception_of
from tests.services.process import run_python

HOOKED = [
    (prefix + kind, name)
    for prefix in ("", "Async")
    for kind, names in (
        ("Cursor", ("execute", "executemany", "stream", "copy")),
        ("ServerCursor", ("execute",)),
        ("Connection", ("commit", "rollback")),
    )
    for name in names
]


@pytest.fixture(autouse=True)
def instrumented(patched):
    patched("psycopg")


@pytest.fixture
def connection(postgres_server):
    connection = psycopg.connect(postgres_server.conninfo)
    connection.execute("create temp table items (id int primary key, name text)")
    with connection.cursor() as cursor:
        cursor.executemany("insert into items values (%s, %s)", [(1, "one"), (2, "two"), (3, "three")])
    connection.commit()
    yield connection
    connection.close()


@pytest.fixture
def spans(connection, spans):
    spans.clear()
    return spans


def resources(spans):
    return [span.resource for span in spans]


def test_span_of_a_statement(connection, postgres_server, spans):
    cursor = connection.cursor()
    found = cursor.execute("select * from items where name = 'two' and id = %s -- why", (2,))
    assert found is cursor and cursor.fetchall() == [(2, "two")]
    span = spans.one()
    statement = "select * from items where name = ? and id = %s"
    assert (span.name, span.resource, span.service) == ("postgres.query", statement, "postgres")
    assert (span.type, span.kind, span.integration, span.error) == ("sql", "client", "psycopg", False)
    assert span.attributes == {
        "db.system.name": "postgresql",
        "db.namespace": postgres_server.database,
        "db.user": postgres_server.user,
        "server.address": "127.0.0.1",
        "server.port": postgres_server.port,
        "db.query.text": statement,
        "db.operation.name": "SELECT",
        "db.response.returned_rows": 1,
    }


def test_parent(connection, spans):
    with gossamer.trace("outer") as outer:
        connection.execute("select 1")
        with gossamer.trace("after"):
            pass
    assert spans.one("postgres.query").parent_id == outer.span_id
    assert spans.one("after").parent_id == outer.span_id


def test_every_way_to_execute(connection, spans):
    cursor = connection.cursor()
    cursor.execute(query="select 1")
    cursor.execute(b"select 'bytes'")
    cursor.executemany("insert into items values (%s, %s)", [(4, "x"), (5, "y")])
    cursor.executemany("delete from items where id = %s", ((number,) for number in (4, 5)))
    assert connection.execute("select 2").fetchone() == (2,)
    assert [row for row in cursor.stream("select generate_series(1, 3)")] == [(1,), (2,), (3,)]
    assert resources(spans) == [
        "select ?", "select ?", "insert into items values (%s, %s)", "delete from items where id = %s", "select ?",
        "select generate_series(?, ?)",
    ]  # fmt: skip
    many = spans[2].attributes
    assert many["db.operation.batch.size"] == 2 and many["db.response.returned_rows"] == 2
    assert "db.operation.batch.size" not in spans[3].attributes
    assert {span.name for span in spans} == {"postgres.query"}


def test_composed_statements_show_no_values(connection, spans):
    query = sql.SQL("select * from {} where name = {} and id = %s").format(
        sql.Identifier("items"), sql.Literal("secret")
    )
    assert connection.execute(query, (1,)).fetchall() == []
    assert connection.execute(sql.SQL("select 1")).fetchone() == (1,)
    assert resources(spans) == ['select * from "items" where name = ? and id = %s', "select ?"]


def test_copy(connection, spans):
    cursor = connection.cursor()
    with gossamer.trace("outer") as outer:
        with cursor.copy("copy items from stdin") as copy:
            with gossamer.trace("row"):
                copy.write_row((7, "seven"))
        with cursor.copy("copy (select name from items where id = 7) to stdout") as copy:
            assert list(copy.rows()) == [("seven",)]
        assert gossamer.current_span() is outer
    assert resources(spans)[1:3] == ["copy items from stdin", "copy (select name from items where id = ?) to stdout"]
    first = spans.one(resource="copy items from stdin")
    assert first.parent_id == outer.span_id and spans.one("row").parent_id == first.span_id
    with pytest.raises((ZeroDivisionError, psycopg.errors.QueryCanceled)) as raised:  # which of them: by version
        with cursor.copy("copy items from stdin") as copy:
            raise ZeroDivisionError
    connection.rollback()
    failed = spans.find(resource="copy items from stdin")[1]
    assert failed.error and exception_of(failed)["exception.type"].endswith(raised.type.__name__)


def test_stream_is_a_generator_that_may_be_left(connection, spans):
    rows = connection.cursor().stream("select generate_series(1, 1000)")
    assert inspect.isgenerator(rows) and next(rows) == (1,)
    assert gossamer.current_span() is None
    rows.close()
    assert not spans.one().error


def test_server_cursors(connection, spans):
    with connection.cursor("mine") as cursor:
        assert isinstance(cursor, psycopg.ServerCursor)
        cursor.execute("select * from items order by id")
        assert cursor.fetchone() == (1, "one")
        assert [row[0] for row in cursor] == [2, 3]
    assert spans.one().resource == "select * from items order by id"
    with pytest.raises(psycopg.NotSupportedError):
        connection.cursor("mine").executemany("select 1", [])


def test_commit_and_rollback(connection, postgres_server, spans):
    connection.execute("delete from items")
    connection.rollback()
    connection.commit()
    names = [(span.name, span.resource, span.service, span.type) for span in spans][1:]
    assert names == [
        ("psycopg.connection.rollback", None, "postgres", None),
        ("psycopg.connection.commit", None, "postgres", None),
    ]
    attributes = spans[-1].attributes
    assert attributes["db.operation.name"] == "COMMIT" and attributes["server.port"] == postgres_server.port


def test_context_managers(connection, postgres_server, spans):
    with connection.transaction():
        connection.execute("delete from items where id = 1")
    with psycopg.connect(postgres_server.conninfo) as other:
        other.execute("select 1")
    assert other.closed
    with pytest.raises(ZeroDivisionError), psycopg.connect(postgres_server.conninfo):
        raise ZeroDivisionError
    names = [span.name.rpartition(".")[2] for span in spans]
    assert names == ["query", "query", "commit", "rollback"]


def test_error(connection, spans):
    with pytest.raises(psycopg.errors.UndefinedTable, match='relation "nowhere" does not exist') as raised:
        connection.execute("select * from nowhere")
    assert raised.value.diag.sqlstate == "42P01"
    span = spans.one()
    assert span.error and span.status_message == str(raised.value)
    assert exception_of(span)["exception.type"] == "psycopg.errors.UndefinedTable"
    connection.rollback()
    for wrong in ((), (None,), (object(),), ("select 1", (), "more")):
        with pytest.raises((TypeError, AttributeError)):
            connection.cursor().execute(*wrong)
    assert gossamer.current_span() is None


def test_mistakes_of_the_program_do_not_switch_the_hook_off(connection, spans):
    unfit = sql.SQL("select {}").format(sql.Literal(object()))
    for _ in range(12):
        with pytest.raises(psycopg.ProgrammingError):
            connection.execute(unfit)
        connection.rollback()
    spans.clear()
    connection.execute("select 1")
    assert len(spans) == 1


def test_closed(connection, spans):
    cursor = connection.cursor()
    fresh = psycopg.connect(connection.info.dsn)
    for held in (connection, fresh):  # the second has never told where it was
        held.close()
        with pytest.raises(psycopg.OperationalError, match="connection is closed"):
            held.execute("select 1")
    with pytest.raises(psycopg.OperationalError, match="connection is closed"):
        cursor.execute("select 1")
    assert [span.error for span in spans if span.name == "postgres.query"] == [True] * len(spans)


def test_types_and_attributes_are_the_librarys(connection):
    cursor = connection.cursor()
    assert type(connection) is psycopg.Connection and type(cursor) is psycopg.Cursor
    assert repr(connection).startswith("<psycopg.Connection [IDLE]")
    assert cursor.connection is connection and cursor.row_factory is connection.row_factory
    gossamer.unpatch("psycopg")
    originals = {(kind, name): getattr(psycopg, kind).__dict__[name] for kind, name in HOOKED}
    gossamer.patch("psycopg")
    for (kind, name), original in originals.items():
        wrapped = getattr(psycopg, kind).__dict__[name]
        assert wrapped is not original and wrapped.__wrapped__ is original
        assert inspect.signature(wrapped) == inspect.signature(original)
        assert inspect.iscoroutinefunction(wrapped) == inspect.iscoroutinefunction(original)
        assert inspect.isgeneratorfunction(wrapped) == inspect.isgeneratorfunction(original)
        assert inspect.isasyncgenfunction(wrapped) == inspect.isasyncgenfunction(original)


def test_row_and_cursor_factories(connection, postgres_server, spans):
    class Cursor(psycopg.Cursor):
        def execute(self, *args, **kwargs):
            self.connection.seen = args
            return super().execute(*args, **kwargs)

    assert connection.cursor(row_factory=dict_row).execute("select 1 as n").fetchone() == {"n": 1}
    with psycopg.connect(postgres_server.conninfo, row_factory=dict_row) as other:
        other.cursor_factory = Cursor
        cursor = other.cursor()
        assert type(cursor) is Cursor and cursor.execute("select 2 as n").fetchone() == {"n": 2}
        assert other.seen == ("select 2 as n",)
    client = getattr(psycopg, "ClientCursor", None)
    if client is not None:
        assert client(connection).execute("select %s", (3,)).fetchone() == (3,)
    assert len(spans.find("postgres.query")) == (2 if client is None else 3)


def test_several_results_prepared_and_binary(connection, spans):
    cursor = connection.execute("select 1; select 2")
    assert cursor.fetchone() == (1,) and cursor.nextset() and cursor.fetchone() == (2,)
    for _ in range(7):
        assert connection.execute("select %s::int", (5,), prepare=True).fetchone() == (5,)
    assert connection.cursor(binary=True).execute("select 'x'::bytea").fetchone() == (b"x",)
    assert resources(spans)[0] == "select ?; select ?" and len(spans) == 9


def test_pipeline(connection, spans):
    if not hasattr(psycopg.Connection, "pipeline") or not psycopg.Pipeline.is_supported():
        pytest.skip("new in psycopg 3.1, with libpq 14")
    with connection.pipeline():
        cursors = [connection.execute("select %s::int", (number,)) for number in range(3)]
    assert [cursor.fetchone() for cursor in cursors] == [(0,), (1,), (2,)]
    assert resources(spans) == ["select %s::int"] * 3


def test_threads_share_a_connection(connection, spans):
    def work():
        for _ in range(20):
            connection.execute("select 1")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(spans) == 80 and not any(span.error for span in spans)


def test_pool(postgres_server, spans):
    pool_module = pytest.importorskip("psycopg_pool")
    with pool_module.ConnectionPool(postgres_server.conninfo, min_size=1, max_size=1, open=True) as pool:
        with pool.connection() as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        with pool.connection() as again:
            assert again is connection
    assert [span.name for span in spans][:2] == ["postgres.query", "psycopg.connection.commit"]
    assert spans[0].attributes["server.port"] == postgres_server.port


def test_async(postgres_server, spans):
    async def work():
        async with await psycopg.AsyncConnection.connect(postgres_server.conninfo) as connection:
            assert type(connection) is psycopg.AsyncConnection
            with gossamer.trace("outer"):
                cursor = await connection.execute("select 'a'")
                assert type(cursor) is psycopg.AsyncCursor and await cursor.fetchone() == ("a",)
                with gossamer.trace("after"):
                    pass
            await cursor.execute("create temp table items (id int)")
            await cursor.executemany("insert into items values (%s)", [(1,), (2,)])
            async with cursor.copy("copy items from stdin") as copy:
                await copy.write_row((3,))
            assert [row async for row in cursor.stream("select id from items order by 1")] == [(1,), (2,), (3,)]
            async with connection.cursor("mine") as named:
                await named.execute("select count(*) from items")
                assert await named.fetchone() == (3,)
            await connection.commit()
            with pytest.raises(psycopg.errors.UndefinedTable):
                await connection.execute("select * from nowhere")
            await connection.rollback()

    asyncio.run(work())
    outer, first = spans.one("outer"), spans.one(resource="select ?")
    assert first.parent_id == outer.span_id == spans.one("after").parent_id
    assert first.attributes["server.port"] == postgres_server.port
    assert [span.resource or span.name for span in spans if span.integration == "psycopg"] == [
        "select ?",
        "create temp table items (id int)",
        "insert into items values (%s)",
        "copy items from stdin",
        "select id from items order by ?",
        "select count(*) from items",
        "psycopg.connection.commit",
        "select * from nowhere",
        "psycopg.connection.rollback",
        "psycopg.connection.commit",
    ]
    assert spans.one(resource="select * from nowhere").error


def test_async_tasks_keep_their_parents(postgres_server, spans):
    async def work(number):
        with gossamer.trace("task", resource=str(number)):
            connection = await psycopg.AsyncConnection.connect(postgres_server.conninfo)
            await connection.execute("select pg_sleep(0.01), '%d'" % number)
            await connection.close()

    async def main():
        await asyncio.gather(*[work(number) for number in range(4)])

    asyncio.run(main())
    parents = {span.span_id for span in spans.find("task")}
    assert {span.parent_id for span in spans.find("postgres.query")} == parents and len(parents) == 4


def test_cancelled(postgres_server, spans):
    async def main():
        connection = await psycopg.AsyncConnection.connect(postgres_server.conninfo)
        task = asyncio.ensure_future(connection.execute("select pg_sleep(30)"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises((asyncio.CancelledError, psycopg.Error)):
            await task
        await connection.close()

    asyncio.run(main())
    assert spans.one("postgres.query").duration < 10 * 10**9


def test_connect_fails_as_ever(spans):
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect("host=127.0.0.1 port=1 dbname=none connect_timeout=2")
    assert len(spans) == 0


def test_inside_another_span_of_a_database_there_is_one(connection, spans):
    recorder = gossamer.tracer.recorder
    outer = recorder.start("orm", None, None, "sql", "client", {}, "orm", "db", None, True)
    connection.execute("select 1")
    outer.finish()
    assert [span.name for span in spans] == ["orm"]


def test_in_a_trace_that_is_dropped(connection, postgres_server, spans, monkeypatch):
    monkeypatch.setattr(gossamer.tracer.recorder, "keep_unsampled", False)
    context = gossamer.extract({"traceparent": "00-0000000000000000000000000000007b-00000000000001c8-00"})

    async def work():
        async with await psycopg.AsyncConnection.connect(postgres_server.conninfo) as other:
            return await (await other.execute("select 2")).fetchone()

    with gossamer.trace("outer", parent=context) as outer:
        assert not outer.trace.recording
        assert connection.execute("select 1").fetchone() == (1,)
        assert asyncio.run(work()) == (2,)
        with connection.cursor().copy("copy items to stdout") as copy:
            assert len(list(copy.rows())) == 3
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("select * from nowhere")
        assert gossamer.current_span() is outer
    assert len(spans) == 0


def test_patched_twice_is_once_and_unpatched_is_none(connection, spans):
    gossamer.patch("psycopg")
    connection.execute("select 1")
    assert len(spans) == 1
    gossamer.unpatch("psycopg")
    files = {getattr(psycopg, kind).__dict__[name].__code__.co_filename for kind, name in HOOKED}
    assert not any("gossamer" in file for file in files)
    assert connection.execute("select 1").fetchone() == (1,)
    assert len(spans) == 1


def test_disabled(connection, spans, monkeypatch):
    monkeypatch.setattr(gossamer.tracer.recorder, "enabled", False)
    assert connection.execute("select 1").fetchone() == (1,)
    with connection.cursor().copy("copy items to stdout") as copy:
        assert len(list(copy.rows())) == 3
    assert not spans


def test_patched_before_the_import_and_sent(postgres_server, capture_agent):
    done = run_python(
        "import gossamer.auto, sys\n"
        "import psycopg\n"
        "with psycopg.connect(sys.argv[1]) as connection:\n"
        "    connection.execute('select 1')\n",
        postgres_server.conninfo,
        DD_TRACE_AGENT_URL=capture_agent.url,
        DD_SERVICE="shop",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    query, commit = sorted(capture_agent.wait_for_spans(2), key=lambda span: span["start"])
    assert (query["name"], query["resource"], query["service"]) == ("postgres.query", "select ?", "postgres")
    assert commit["name"] == commit["resource"] == "psycopg.connection.commit"
    assert query["type"] == "sql" and query["meta"]["component"] == "psycopg"
    names = ("db.system", "db.name", "db.user", "out.host", "span.kind")
    assert [query["meta"][name] for name in names] == ["postgresql", "shop", "shop", "127.0.0.1", "client"]
    assert query["metrics"]["network.destination.port"] == postgres_server.port
    assert query["metrics"]["db.row_count"] == 1
