"""The database: its tables, opening it, and connections for one writer and many readers.

A file that is not ours, of another version or damaged is renamed aside and a new one begun: a viewer that does not
start is worse than one that starts empty, and nothing is destroyed.
"""

import contextlib
import os
import sqlite3
import threading
import time
from typing import Iterator, List, Optional, Tuple

from gossamer import _log

VERSION = 20002
APPLICATION = 0x676F7373
FIND_CHUNKS = 100000  # chunks per full-text table, so that retention can drop a whole one

TABLES = """
create table op (id integer primary key, service text, name text, resource text, type text, kind text);
create table page (id integer primary key, format integer, raw integer, written integer, data blob);
create table chunk (id integer primary key, trace integer, page integer, head integer, at integer, len integer, spans
integer, flags integer); create index chunk_trace on chunk (trace);
create table trace (id integer primary key, hi integer, lo integer, root integer, start integer, dur integer, spans
integer, errors integer, services text, flags integer, pinned integer);
create unique index trace_lo on trace (lo, hi);
create index trace_start on trace (start);
create index trace_dur on trace (dur);
create table span (chunk integer, n integer, op integer, start integer, dur integer, err integer, id integer, parent
integer, primary key (chunk, n)) without rowid;
create index span_err on span (chunk) where err;
create index span_slow on span (chunk) where dur >= 100000;
create table stat (op integer, minute integer, hits integer, errors integer, total integer, sketch blob,
  primary key (op, minute)) without rowid;
create index stat_minute on stat (minute);
create table edge (minute integer, src text, dst text, hits integer, errors integer, total integer,
  primary key (minute, src, dst)) without rowid;
create table problem (id integer primary key, service text, type text, message text, frame text, first integer, last
integer, hits integer, chunk integer, n integer);
create unique index problem_what on problem (service, type, message, frame);
create table pin (trace integer primary key, note text, data blob);
create table gone (trace integer primary key, at integer);
"""

# Flags of a chunk (its low bits are the format of its bytes) and of a trace.
FORMAT, CHUNK_N_PLUS_ONE = 15, 16
ROOTED, N_PLUS_ONE = 1, 2


def signed(value: int) -> int:
    """An unsigned 64-bit id as SQLite holds it."""
    return value if value < 1 << 63 else value - (1 << 64)


def unsigned(value: int) -> int:
    """The id that ``signed`` stored."""
    return value & ((1 << 64) - 1)


class Database:
    """An open database: ``writer`` belongs to one thread, ``read()`` lends a connection to any."""

    def __init__(self, folder: Optional[str]) -> None:
        self.path = os.path.join(folder, "traces.db") if folder else None
        self.set_aside: Optional[str] = None
        self._idle: List[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        # In memory there is one connection for all, under a lock: separate ones would share no data.
        self._single: Optional[threading.RLock] = None if folder else threading.RLock()
        if folder:
            make_private(folder)
        self.writer = self._open()
        self.fts = _has_fts5(self.writer)

    def _open(self) -> sqlite3.Connection:
        try:
            return self._prepare()
        except (sqlite3.DatabaseError, _NotOurs) as error:
            if self.path is None or _is_locked(error):
                raise
            self.set_aside = aside = "{}.{}".format(self.path, time.strftime("%Y%m%d-%H%M%S"))
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.replace(self.path + suffix, aside + suffix)
            _log.get("viewer").warning(
                "%s cannot be used (%s): it was renamed to %s, and a new one begun", self.path, error, aside
            )
            return self._prepare()

    def _prepare(self) -> sqlite3.Connection:
        if self.path:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            os.chmod(self.path, 0o600)
        connection = self._connect()
        try:
            version = connection.execute("pragma user_version").fetchone()[0]
            if version == 0 and not connection.execute("select count(*) from sqlite_master").fetchone()[0]:
                connection.execute("pragma page_size = 8192")
                connection.execute("pragma journal_mode = wal")
                connection.executescript(
                    "begin;"
                    + TABLES
                    + "pragma user_version = {};pragma application_id = {};commit;".format(VERSION, APPLICATION)
                )
            elif version != VERSION:
                raise _NotOurs("its version is {}, this viewer's {}".format(version, VERSION))
            connection.execute("pragma journal_mode = wal")
            connection.execute(
                "select count(*) from (select * from chunk limit 1), (select * from trace limit 1)"
            ).fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path or ":memory:", timeout=10, isolation_level=None, check_same_thread=False)
        connection.execute("pragma synchronous = normal")
        connection.execute("pragma mmap_size = {}".format(1 << 30))
        connection.execute("pragma temp_store = memory")
        connection.execute(
            "pragma wal_autocheckpoint = 4000"
        )  # pages: pages that are written again and again are copied less often
        return connection

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection to read with, inside one transaction: every statement sees the same state."""
        if self._single is not None:
            with self._single:
                try:
                    yield self.writer
                finally:
                    self.writer.set_progress_handler(None, 0)
            return
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._connect()
            connection.execute("pragma query_only = 1")
        try:
            connection.execute("begin")
            yield connection
        finally:
            connection.set_progress_handler(None, 0)
            if connection.in_transaction:
                connection.execute("rollback")
            with self._lock:
                keep = len(self._idle) < 8 and not self._closed
                if keep:
                    self._idle.append(connection)
            if not keep:
                connection.close()

    @contextlib.contextmanager
    def locked(self) -> Iterator[sqlite3.Connection]:
        """The writer's connection without a transaction."""
        if self._single is None:
            yield self.writer
        else:
            with self._single:
                yield self.writer

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """The writer's connection inside a transaction that is committed, or rolled back on an exception."""
        with self.locked():
            self.writer.execute("begin immediate")
            try:
                yield self.writer
                self.writer.execute("commit")
            except BaseException:
                if self.writer.in_transaction:
                    self.writer.execute("rollback")
                raise

    def size(self) -> int:
        """Bytes in use: pages less the free ones."""

        def pragma(name: str) -> int:
            return int(self.writer.execute("pragma " + name).fetchone()[0])

        with self.locked():
            return (pragma("page_count") - pragma("freelist_count")) * pragma("page_size")

    def close(self) -> None:
        """Close every connection that is not lent out."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        self.writer.close()


class _NotOurs(Exception):
    pass


def make_private(folder: str) -> None:
    """Make the folder, readable by its owner alone."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with contextlib.suppress(OSError):
        os.chmod(folder, 0o700)


def _is_locked(error: Exception) -> bool:
    return isinstance(error, sqlite3.OperationalError) and ("locked" in str(error) or "unable to open" in str(error))


def _has_fts5(connection: sqlite3.Connection) -> bool:
    if os.environ.get("GOSSAMER_VIEWER_NO_FTS5"):  # for tests of the way without
        return False
    try:
        probe = sqlite3.connect(":memory:")
        probe.execute(
            "create virtual table probe using fts5 (t, content='', detail=none, columnsize=0, tokenize='ascii')"
        )
        probe.close()
    except sqlite3.Error:
        return False
    return True


def find_tables(connection: sqlite3.Connection) -> List[int]:
    """Numbers of the full-text tables, newest first."""
    rows: List[Tuple[str]] = connection.execute(
        "select name from sqlite_master where type = 'table' and name glob 'find_[0-9]*'"
    ).fetchall()
    return sorted((int(name[5:]) for (name,) in rows if name[5:].isdigit()), reverse=True)
