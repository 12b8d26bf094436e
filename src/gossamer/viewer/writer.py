"""From decoded chunks to rows, one transaction at a time. Used by the store's writer thread alone."""

import json
import sqlite3
from collections import Counter
from typing import Any, Dict, Iterable, List, Optional, Set, Tuple

from gossamer._wire.decoded import Chunk, Op, Row
from gossamer.viewer.facts import Facts
from gossamer.viewer.pages import PageWriter
from gossamer.viewer.schema import CHUNK_N_PLUS_ONE, FIND_CHUNKS, N_PLUS_ONE, ROOTED, Database, find_tables, signed
from gossamer.viewer.tokens import Tokens

MOST_OPERATIONS = 100000
REPEATED = 5  # calls of one operation under one parent that make an N+1
_CACHED_TRACES = 5000
_MOST_SERVICES = 50


class TraceState:
    """A trace's row while chunks of it are coming."""

    __slots__ = (
        "end",
        "errors",
        "flags",
        "high",
        "id",
        "low",
        "new",
        "root",
        "root_start",
        "services",
        "spans",
        "start",
    )

    def __init__(self, id: int, high: int, low: int) -> None:
        self.id = id
        self.high = high
        self.low = low
        self.root = 0
        self.root_start = 0
        self.start = 0
        self.end = 0
        self.spans = 0
        self.errors = 0
        self.services: List[str] = []
        self.flags = 0
        self.new = True

    def row(self) -> Tuple[Any, ...]:
        """Values in the order of the table's columns, the id last."""
        return (
            signed(self.high),
            signed(self.low),
            self.root,
            self.start,
            self.end - self.start,
            self.spans,
            self.errors,
            json.dumps(self.services),
            self.flags,
            self.id,
        )


class Operations:
    """Every distinct operation, in memory in both directions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.ids: Dict[Op, int] = {}
        self.by_id: Dict[int, Op] = {}
        self.fresh: List[Tuple[Any, ...]] = []
        self.overflowed = 0
        for row in connection.execute("select id, service, name, resource, type, kind from op"):
            self.ids[row[1:]] = row[0]
            self.by_id[row[0]] = row[1:]
        self._next = max(self.by_id, default=0) + 1

    def add(self, op: Op) -> int:
        """Number of an operation that was not known."""
        if len(self.ids) >= MOST_OPERATIONS:
            # Resources with ids in them: the row keeps the name, the bytes keep the resource.
            self.overflowed += 1
            op = (op[0], op[1], op[1], op[3], op[4])
            known = self.ids.get(op)
            if known is not None or len(self.ids) >= 2 * MOST_OPERATIONS:
                return known or 0
        number = self._next
        self._next += 1
        self.ids[op] = number
        self.by_id[number] = op
        self.fresh.append((number,) + op)
        return number

    def forget(self, numbers: Iterable[int]) -> None:
        """Drop operations that no span has any more."""
        for number in numbers:
            op = self.by_id.pop(number, None)
            if op is not None:
                self.ids.pop(op, None)


class RowWriter:
    """Writes payloads' chunks; keeps what has to be remembered between transactions."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.tokens = Tokens()
        self.reload()

    def reload(self) -> None:
        """Read the state from the database: at the start, and after a transaction that failed."""
        connection = self.database.writer
        self.ops = Operations(connection)
        self.pages = PageWriter(connection)
        self.facts = Facts(connection)
        self._traces: Dict[int, TraceState] = {}
        self._dirty: Dict[int, TraceState] = {}
        one = connection.execute
        self._next_chunk = (one("select max(id) from chunk").fetchone()[0] or 0) + 1
        self._next_trace = (one("select max(id) from trace").fetchone()[0] or 0) + 1
        self._tables = set(find_tables(connection))

    def write(self, chunks: Iterable[Chunk]) -> List[int]:
        """Write chunks; answers the ids of the traces that were touched. The caller holds the transaction."""
        chunk_rows: List[Tuple[Any, ...]] = []
        span_rows: List[Tuple[Any, ...]] = []
        found: Dict[int, List[Tuple[int, str]]] = {}
        written: List[Tuple[int, Chunk, int, int]] = []  # number, chunk, its first span's row, trace
        head: Optional[bytes] = None
        head_id: Optional[int] = None
        fts = self.database.fts
        for chunk in chunks:
            if chunk.head is not None and chunk.head is not head:
                head, head_id = chunk.head, self._next_chunk
                self._next_chunk += 1
                page, at = self.pages.append(head)
                chunk_rows.append((head_id, None, page, None, at, len(head), 0, chunk.format))
            number = self._next_chunk
            self._next_chunk += 1
            page, at = self.pages.append(chunk.data)
            state = self._trace(chunk.low, chunk.high)
            written.append((number, chunk, len(span_rows), state.id))
            flags = self._spans(number, chunk, state, span_rows)
            chunk_rows.append(
                (
                    number,
                    state.id,
                    page,
                    head_id if chunk.head is not None else None,
                    at,
                    len(chunk.data),
                    len(chunk.spans),
                    flags,
                )
            )
            if fts:
                tokens = self.tokens.of([row[6] for row in chunk.spans])
                if tokens:
                    found.setdefault(number // FIND_CHUNKS, []).append((number, " ".join(tokens)))
        self._store(chunk_rows, span_rows, found)
        for number, chunk, first, trace in written:
            ids = [row[2] for row in span_rows[first : first + len(chunk.spans)]]
            self.facts.add(number, chunk, ids, trace)
        self.facts.flush()
        return self._store_traces()

    def _spans(self, number: int, chunk: Chunk, state: TraceState, span_rows: List[Tuple[Any, ...]]) -> int:
        known, add = self.ops.ids.get, self.ops.add
        append = span_rows.append
        spans = chunk.spans
        limit = 1 << 63
        start = end = spans[0][1] // 1000
        errors = n = 0
        for op, begin, duration, error, span_id, parent_id, _ in spans:
            begin //= 1000
            duration //= 1000
            errors += error
            if begin < start:
                start = begin
            if begin + duration > end:
                end = begin + duration
            append(
                (
                    number,
                    n,
                    known(op) or add(op),
                    begin,
                    duration,
                    error,
                    span_id if span_id < limit else span_id - 2 * limit,
                    parent_id if parent_id < limit else parent_id - 2 * limit,
                )
            )
            n += 1
        flags = chunk.format
        if n > REPEATED and max(Counter([(row[5], row[0]) for row in spans]).values()) >= REPEATED:
            flags |= CHUNK_N_PLUS_ONE
            state.flags |= N_PLUS_ONE
        self._merge(state, spans, start, end, errors)
        return flags

    def _merge(self, state: TraceState, spans: List[Row], start: int, end: int, errors: int) -> None:
        if not state.spans or start < state.start:
            state.start = start
        state.end = max(state.end, end)
        state.spans += len(spans)
        state.errors += errors
        services = state.services
        for service in {row[0][0] for row in spans}:
            if service not in services and len(services) < _MOST_SERVICES:
                services.append(service)
        if not state.flags & ROOTED:
            self._root(state, spans)
        self._dirty[state.id] = state

    def _root(self, state: TraceState, spans: List[Row]) -> None:
        # The root has no parent; until it comes, the earliest span whose parent is not here stands in for it.
        best: Optional[Row] = None
        ids: Set[int] = set()
        for row in spans:
            if not row[5]:
                best = row
                state.flags |= ROOTED
                break
        if best is None:
            ids = {row[4] for row in spans}
            best = min((row for row in spans if row[5] not in ids), key=lambda row: row[1], default=spans[0])
            if state.root and best[1] >= state.root_start:
                return
        state.root = self.ops.ids.get(best[0]) or self.ops.add(best[0])
        state.root_start = best[1]

    def _trace(self, low: int, high: int) -> TraceState:
        state = self._traces.get(low)
        if state is not None and (state.high == high or not high or not state.high):
            if high:
                state.high = high
            return state
        if len(self._traces) >= _CACHED_TRACES:
            self._traces.clear()
            self._traces.update((state.low, state) for state in self._dirty.values())
        state = self._stored(low, high)
        if state is None:
            state = TraceState(self._next_trace, high, low)
            self._next_trace += 1
        # A tracer that leaves the upper half out of later chunks still means the same trace.
        state.high = state.high or high
        self._traces[low] = state
        return state

    def _stored(self, low: int, high: int) -> Optional[TraceState]:
        # Two traces of one lower half in one transaction: the first may be known only here.
        for state in self._dirty.values() if low in self._traces else ():
            if state.low == low and state.high == high:
                return state
        rows = self.database.writer.execute(
            "select id, hi, root, start, dur, spans, errors, services, flags from trace where lo = ?", (signed(low),)
        ).fetchall()
        for row in rows:
            if row[1] == signed(high) or not row[1] or not high:
                state = TraceState(row[0], row[1] & ((1 << 64) - 1), low)
                state.root, state.start, state.end = row[2], row[3], row[3] + row[4]
                state.spans, state.errors, state.services, state.flags = row[5], row[6], json.loads(row[7]), row[8]
                state.root_start = state.start * 1000
                state.new = False
                return state
        return None

    def forget_traces(self) -> None:
        """Drop what is remembered of traces, for retention changes their rows."""
        self._traces.clear()

    def _store(
        self,
        chunk_rows: List[Tuple[Any, ...]],
        span_rows: List[Tuple[Any, ...]],
        found: Dict[int, List[Tuple[int, str]]],
    ) -> None:
        many = self.database.writer.executemany
        if self.ops.fresh:
            many("insert into op (id, service, name, resource, type, kind) values (?, ?, ?, ?, ?, ?)", self.ops.fresh)
            self.ops.fresh = []
        many(
            "insert into chunk (id, trace, page, head, at, len, spans, flags) values (?, ?, ?, ?, ?, ?, ?, ?)",
            chunk_rows,
        )
        many("insert into span (chunk, n, op, start, dur, err, id, parent) values (?, ?, ?, ?, ?, ?, ?, ?)", span_rows)
        for table, rows in found.items():
            if table not in self._tables:
                self.database.writer.execute(
                    "create virtual table find_{} using fts5 "
                    "(t, content='', detail=none, columnsize=0, tokenize='ascii')".format(table)
                )
                self._tables.add(table)
            many("insert into find_{} (rowid, t) values (?, ?)".format(table), rows)
        self.pages.sync()

    def _store_traces(self) -> List[int]:
        dirty = list(self._dirty.values())
        many = self.database.writer.executemany
        many(
            "insert into trace (hi, lo, root, start, dur, spans, errors, services, flags, id, pinned) "
            "values (?,?,?,?,?,?,?,?,?,?,0)",
            [state.row() for state in dirty if state.new],
        )
        many(
            "update trace set hi=?, lo=?, root=?, start=?, dur=?, spans=?, errors=?, services=?, flags=? where id=?",
            [state.row() for state in dirty if not state.new],
        )
        for state in dirty:
            state.new = False
        self._dirty = {}
        return [state.id for state in dirty]

    def drop_table(self, number: int) -> None:
        """Drop a full-text table whose chunks are gone."""
        self.database.writer.execute("drop table if exists find_{}".format(number))
        self._tables.discard(number)

    @property
    def tables(self) -> Set[int]:
        """Numbers of the full-text tables."""
        return self._tables

    @property
    def next_chunk(self) -> int:
        """Number of the next chunk."""
        return self._next_chunk
