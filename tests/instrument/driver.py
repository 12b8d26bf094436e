"""Small DB-API drivers over SQLite: one in plain Python, one whose objects cannot be changed, one with coroutines."""

import asyncio
import sqlite3

Error = sqlite3.Error


class Cursor:
    """Like PyMySQL's: a Python class."""

    def __init__(self, connection):
        self.connection = connection
        self._cursor = connection._real.cursor()

    def execute(self, query, args=None):
        """Run one statement."""
        self._cursor.execute(query, args or ())
        return self

    def executemany(self, query, args):
        for each in args:
            self.execute(query, each)

    def callproc(self, name, args=()):
        self.execute("select '%s'" % name)
        return args

    def fetchall(self):
        return self._cursor.fetchall()

    def __iter__(self):
        return iter(self._cursor)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self._cursor.close()

    @property
    def rowcount(self):
        return self._cursor.rowcount


class Connection:
    cursor_class = Cursor

    def __init__(self, database):
        self._real = sqlite3.connect(database)

    def cursor(self, kind=None):
        return (kind or self.cursor_class)(self)

    def commit(self):
        self._real.commit()

    def rollback(self):
        self._real.rollback()

    def close(self):
        self._real.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if error is None:
            self.commit()
        else:
            self.rollback()


def connect(database, user=None):
    """Connect to a database."""
    return Connection(database)


class Fixed:
    """Like one written in C: a class whose instances cannot become another's."""

    def __setattr__(self, name, value):
        if name == "__class__" or name.startswith("_gossamer"):
            raise TypeError("immutable")
        super().__setattr__(name, value)


class FixedCursor(Fixed, Cursor):
    def __next__(self):
        row = self._cursor.fetchone()
        if row is None:
            raise StopIteration
        return row

    def __iter__(self):
        return self


class FixedConnection(Fixed, Connection):
    cursor_class = FixedCursor


def connect_fixed(database):
    return FixedConnection(database)


class AsyncCursor:
    def __init__(self, connection):
        self._cursor = connection._real.cursor()

    async def execute(self, query, args=()):
        await asyncio.sleep(0)
        self._cursor.execute(query, args)
        return self

    async def executemany(self, query, args):
        await asyncio.sleep(0)
        self._cursor.executemany(query, args)

    async def fetchall(self):
        return self._cursor.fetchall()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exception):
        self._cursor.close()

    @property
    def rowcount(self):
        return self._cursor.rowcount


class AsyncConnection:
    cursor_class = AsyncCursor

    def __init__(self, database):
        self._real = sqlite3.connect(database)

    async def cursor(self):
        return self.cursor_class(self)

    async def commit(self):
        await asyncio.sleep(0)
        self._real.commit()

    async def rollback(self):
        self._real.rollback()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exception):
        self._real.close()


async def connect_async(database):
    await asyncio.sleep(0)
    return AsyncConnection(database)


class FixedAsyncCursor(Fixed, AsyncCursor):
    pass


class FixedAsyncConnection(Fixed, AsyncConnection):
    cursor_class = FixedAsyncCursor


async def connect_fixed_async(database):
    return FixedAsyncConnection(database)
