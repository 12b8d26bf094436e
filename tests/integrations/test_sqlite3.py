"""sqlite3: everything the module can do goes on working on traced connections."""

from __future__ import annotations

import sqlite3
import threading
from sqlite3 import dbapi2

import pytest

import gossamer
from tests.integrations.conftest import exception_of
from tests.services.process import run_python


@pytest.fixture(autouse=True)
def instrumented(patched):
    patched("sqlite3")


@pytest.fixture
def connection():
    connection = sqlite3.connect(":memory:")
    connection.execute("create table items (id integer primary key, name text)")
    connection.executemany("insert into items values (?, ?)", [(1, "one"), (2, "two"), (3, "three")])
    connection.commit()
    yield connection
    connection.close()


@pytest.fixture
def spans(connection, spans):
    spans.clear()
    return spans


def test_span_of_a_statement(connection, spans):
    cursor = connection.cursor()
    assert cursor.execute("select * from items where name = 'two' and id = 2 -- why").fetchall() == [(2, "two")]
    span = spans.one()
    statement = "select * from items where name = ? and id = ?"
    assert (span.name, span.resource, span.service) == ("sqlite.query", statement, "sqlite")
    assert (span.type, span.kind, span.integration, span.error) == ("sql", "client", "sqlite3", False)
    assert span.attributes == {
        "db.system.name": "sqlite",
        "db.namespace": ":memory:",
        "db.query.text": statement,
        "db.operation.name": "SELECT",
    }


def test_parent(connection, spans):
    with gossamer.trace("outer") as outer:
        connection.execute("select 1")
        with gossamer.trace("after"):
            pass
    assert spans.one("sqlite.query").parent_id == outer.span_id
    assert spans.one("after").parent_id == outer.span_id


def test_every_way_to_execute(connection, spans):
    cursor = connection.cursor()
    cursor.executemany("insert into items (name) values (?)", (("x",) for _ in range(2)))
    cursor.executescript("select 1; select 'a'")
    assert connection.execute("select 2").fetchone() == (2,)
    connection.executemany("delete from items where id = ?", [(4,), (5,)])
    connection.executescript("select 3")
    assert [span.resource for span in spans.find("sqlite.query")] == [
        "insert into items (name) values (?)", "select ?; select ?", "select ?", "delete from items where id = ?",
        "select ?",
    ]  # fmt: skip
    many = spans.find(resource="delete from items where id = ?")[0].attributes
    assert many["db.response.returned_rows"] == 2 and many["db.operation.batch.size"] == 2


def test_the_cursor_of_a_shortcut_is_traced(connection, spans):
    cursor = connection.execute("select 1")
    cursor.execute("select 2")
    assert len(spans) == 2 and isinstance(cursor, sqlite3.Cursor) and cursor.connection is connection


def test_commit_and_rollback(connection, spans):
    connection.execute("delete from items")
    connection.rollback()
    connection.commit()
    names = [(span.name, span.resource, span.type) for span in spans][1:]
    assert names == [("sqlite.connection.rollback", None, None), ("sqlite.connection.commit", None, None)]
    assert connection.execute("select count(*) from items").fetchone() == (3,)


def test_context_manager(connection, spans):
    with connection as entered:
        assert entered is connection
        connection.execute("delete from items where id = 1")
    with pytest.raises(ZeroDivisionError), connection:
        connection.execute("delete from items where id = 2")
        raise ZeroDivisionError
    with connection:
        pass  # nothing to commit
    assert [span.name.rpartition(".")[2] for span in spans if span.name != "sqlite.query"][:2] == ["commit", "rollback"]
    assert connection.execute("select count(*) from items").fetchone() == (2,)


def test_error(connection, spans):
    with pytest.raises(sqlite3.OperationalError) as raised:
        connection.execute("select * from nowhere")
    assert str(raised.value) == "no such table: nowhere"
    span = spans.one()
    assert span.error and span.status_message == "no such table: nowhere"
    assert exception_of(span)["exception.type"] == "sqlite3.OperationalError"
    with pytest.raises(TypeError):
        connection.cursor().execute()
    with pytest.raises((TypeError, ValueError)):
        connection.execute(None)
    assert gossamer.current_span() is None


def test_types_are_the_librarys(connection):
    cursor = connection.cursor()
    assert isinstance(connection, sqlite3.Connection) and isinstance(cursor, sqlite3.Cursor)
    assert type(connection).__name__ == "Connection" and repr(connection).startswith("<sqlite3.Connection object")
    assert type(cursor).__qualname__ == "Cursor" and type(cursor).__module__ == "sqlite3"
    assert sqlite3.connect.__name__ == "connect" and sqlite3.connect.__doc__
    assert connection.cursor().execute.__name__ == "execute" and connection.commit.__doc__


def test_backup_dump_rows_and_functions(connection, spans):
    target = sqlite3.connect(":memory:")
    connection.backup(target)
    assert target.execute("select count(*) from items").fetchone() == (3,)
    assert any("INSERT INTO" in line for line in connection.iterdump())
    connection.row_factory = sqlite3.Row
    row = connection.execute("select * from items").fetchone()
    assert row["name"] == "one" and isinstance(row, sqlite3.Row)
    connection.text_factory = bytes
    assert connection.execute("select name from items").fetchone()[0] == b"one"
    connection.create_function("double", 1, lambda value: value * 2)
    assert connection.execute("select double(21)").fetchone()[0] == 42
    connection.interrupt()
    assert connection.in_transaction is False and connection.total_changes == 3
    cursor = connection.execute("select id from items")
    assert [row[0] for row in cursor] == [1, 2, 3]
    assert cursor.description[0][0] == "id"
    target.close()


def test_factory_of_the_user(spans):
    class Cursor(sqlite3.Cursor):
        mine = "cursor"

        def execute(self, *args):
            self.seen = args
            return super().execute(*args)

    class Connection(sqlite3.Connection):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.ready = True

        def cursor(self, *args):
            return super().cursor(*(args or (Cursor,)))

        def commit(self):
            self.committed = True
            return super().commit()

    for arguments in ({"factory": Connection}, {}):
        positional = () if arguments else (5.0, 0, "", True, Connection)
        connection = sqlite3.connect(":memory:", *positional, **arguments)
        assert isinstance(connection, Connection) and connection.ready
        cursor = connection.cursor()
        assert isinstance(cursor, Cursor) and cursor.mine == "cursor"
        assert cursor.execute("select ?", (5,)).fetchone() == (5,) and cursor.seen == ("select ?", (5,))
        connection.commit()
        assert connection.committed
        connection.close()
    assert [span.name for span in spans] == ["sqlite.query", "sqlite.connection.commit"] * 2


def test_cursor_factories(connection, spans):
    class Cursor(sqlite3.Cursor):
        pass

    for cursor in (connection.cursor(Cursor), connection.cursor(factory=Cursor)):
        assert isinstance(cursor, Cursor)
        cursor.execute("select 1")
    plain = connection.cursor(lambda held: sqlite3.Cursor(held))
    assert plain.execute("select 1").fetchone() == (1,)
    assert len(spans) == 2  # what a function makes cannot be traced
    with pytest.raises(TypeError):
        connection.cursor(lambda held: None)


def test_factory_that_is_a_function(spans):
    connection = sqlite3.connect(":memory:", factory=lambda *args, **kwargs: sqlite3.Connection(*args, **kwargs))
    assert connection.execute("select 1").fetchone() == (1,)
    assert len(spans) == 0


def test_connect_fails_as_ever(spans, tmp_path):
    with pytest.raises(sqlite3.OperationalError):
        sqlite3.connect(str(tmp_path / "no" / "such" / "folder"))
    with pytest.raises(TypeError):
        sqlite3.connect()


def test_wrong_thread_and_closed(connection, spans):
    caught = []

    def work():
        for action in (lambda: connection.execute("select 1"), connection.commit, connection.__enter__):
            try:
                action()
            except sqlite3.ProgrammingError as error:
                caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(caught) >= 2
    other = sqlite3.connect(":memory:")
    other.close()
    with pytest.raises(sqlite3.ProgrammingError):
        other.execute("select 1")


def test_file_names(spans, tmp_path):
    path = tmp_path / "items.db"
    sqlite3.connect(str(path)).execute("select 1")
    sqlite3.connect("file:%s?mode=ro&secret=1" % path, uri=True).execute("select 1")
    sqlite3.connect(path).execute("select 1")
    names = [span.attributes["db.namespace"] for span in spans]
    assert names == [str(path), "file:%s" % path, str(path)]


def test_other_names_of_connect(spans):
    connection = dbapi2.connect(":memory:")
    connection.execute("select 1")
    assert len(spans) == 1
    assert type(connection).__mro__[1:] == sqlite3.Connection.__mro__ or len(type(connection).__mro__) == 3


def test_unpatched(spans):
    connection = sqlite3.connect(":memory:")
    gossamer.unpatch("sqlite3")
    assert type(sqlite3.connect(":memory:")) is sqlite3.Connection
    assert connection.execute("select 1").fetchone() == (1,)
    assert len(spans) == 0  # connections from before are silent, too


def test_patched_before_the_import_and_again():
    done = run_python(
        """
        import gossamer
        from gossamer.testing import capture_spans

        gossamer.patch("sqlite3")
        import sqlite3

        def traced():
            with capture_spans() as spans:
                sqlite3.connect(":memory:").execute("select 1")
                sqlite3.dbapi2.connect(":memory:").execute("select 1")
            return len(spans)

        assert traced() == 2
        gossamer.unpatch()
        assert traced() == 0 and type(sqlite3.connect(":memory:")) is sqlite3.Connection
        gossamer.patch("sqlite3")
        assert traced() == 2
        """.replace("\n        ", "\n")
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_inside_a_trace_that_is_not_recorded(connection, spans):
    recorder = gossamer.tracer.recorder
    recorder.enabled = False
    with gossamer.trace("outer") as outer:
        assert connection.execute("select 1").fetchone() == (1,)
        assert gossamer.current_span() is outer
    recorder.enabled = True
    assert len(spans) == 0
    connection.execute("select 1")
    assert len(spans) == 1


def test_statements_without_a_first_word(connection, spans):
    connection.execute("")
    assert "db.operation.name" not in spans.one().attributes and spans.one().attributes["db.query.text"] == ""


def test_the_attributes_of_one_span_are_its_own(connection, spans):
    for _ in range(2):
        connection.execute("select 1")
    first, second = spans
    assert first.attributes == second.attributes and first.attributes is not second.attributes
