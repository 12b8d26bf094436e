"""Reading the store: list rows, the skeleton of a trace."""

import json
import sqlite3
from typing import Any, Dict, Iterable, List, Optional, Tuple

from gossamer._wire.decoded import Op
from gossamer.viewer.schema import N_PLUS_ONE, ROOTED, signed, unsigned
from gossamer.viewer.store import Store

PIECE = 20000
COLUMNS = "id, hi, lo, root, start, dur, spans, errors, services, flags, pinned"
UNKNOWN: Op = ("?", "?", "?", "", "")


class Missing(Exception):
    """What was asked for is not here; ``removed`` is when retention took it, if it did."""

    def __init__(self, message: str, removed: Optional[int] = None) -> None:
        super().__init__(message)
        self.removed = removed


def trace_hex(high: int, low: int) -> str:
    """A trace id in 32 digits."""
    return "{:016x}{:016x}".format(unsigned(high), unsigned(low))


def list_row(row: Tuple[Any, ...], operations: Dict[int, Op], match: Optional[Dict[str, int]] = None) -> Dict[str, Any]:
    """A row of ``trace`` as the API gives it."""
    _, high, low, root, start, duration, spans, errors, services, flags, pinned = row
    op = operations.get(root, UNKNOWN)
    return {
        "trace": trace_hex(high, low),
        "root": {
            "service": op[0],
            "name": op[1],
            "resource": op[2],
            "type": op[3],
            "kind": op[4],
            "complete": bool(flags & ROOTED),
        },
        "start": start,
        "dur": duration,
        "spans": spans,
        "errors": errors,
        "services": json.loads(services),
        "pinned": bool(pinned),
        "flags": ["n+1"] if flags & N_PLUS_ONE else [],
        "match": match,
    }


def rows_by_id(connection: sqlite3.Connection, ids: Iterable[int], operations: Dict[int, Op]) -> List[Dict[str, Any]]:
    """List rows of traces, newest first."""
    numbers = ",".join([str(number) for number in ids])
    found = connection.execute(
        "select {} from trace where id in ({}) order by id desc".format(COLUMNS, numbers)
    ).fetchall()
    return [list_row(row, operations) for row in found]


def find_trace(connection: sqlite3.Connection, text: str) -> Tuple[Any, ...]:
    """The row of a trace, by its 32 digits or the lower 16. Raises ``Missing``, or ``ValueError`` for what is no id."""
    if not 1 <= len(text) <= 32 or text.strip("0123456789abcdefABCDEF"):
        raise ValueError("a trace id has 32 hexadecimal digits")
    number = int(text, 16)
    low, high = signed(number & ((1 << 64) - 1)), signed(number >> 64)
    rows = connection.execute("select {} from trace where lo = ?".format(COLUMNS), (low,)).fetchall()
    for row in rows:
        if row[1] == high:
            return tuple(row)
    if rows and (not high or not rows[0][1]):
        return tuple(rows[0])
    gone = connection.execute("select at from gone where trace = ?", (low,)).fetchone()
    if gone:
        raise Missing("this trace was removed by retention", gone[0])
    raise Missing("no trace with this id is here")


class Structure:
    """Who is whose parent in a trace, by row number. Where an id comes twice, the first is meant."""

    def __init__(self, connection: sqlite3.Connection, chunks: List[int]) -> None:
        self.ids: List[int] = []
        self.parents: List[int] = []
        self.first: Dict[int, int] = {}  # chunk -> its first row
        self.row_of: Dict[int, int] = {}
        for chunk in chunks:
            self.first[chunk] = len(self.ids)
            found = connection.execute("select id, parent from span where chunk = ? order by n", (chunk,)).fetchall()
            self.ids += [pair[0] for pair in found]
            self.parents += [pair[1] for pair in found]
        keep = self.row_of.setdefault
        for row, number in enumerate(self.ids):
            keep(number, row)

    def piece(self, first: int, count: int) -> Dict[str, Any]:
        """The columns of a piece that depend on the whole trace."""
        end = first + count
        row_of, parents, ids = self.row_of, self.parents, self.ids
        parent = [row_of.get(number, -1) for number in parents[first:end]]
        orphans = [first + index for index, number in enumerate(parents[first:end]) if number and parent[index] < 0]
        duplicates = [row for row in range(first, end) if row_of[ids[row]] != row]
        adopters = [row_of.get(number, -1) for number in parents[:first]]
        adopted = [(row, adopter) for row, adopter in enumerate(adopters) if first <= adopter < end]
        return {"parent": parent, "orphans": orphans, "duplicates": duplicates, "adopted": adopted}


class Skeletons:
    """Traces in columns; remembers the structure of large ones while their pieces are fetched."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: List[Tuple[Tuple[int, ...], Structure]] = []

    def _structure(self, connection: sqlite3.Connection, trace: int, chunks: List[int], spans: int) -> Structure:
        key = (trace, spans) + tuple(chunks)
        for known, structure in self._known:
            if known == key:
                return structure
        structure = Structure(connection, chunks)
        if spans > PIECE:
            self._known = self._known[-1:] + [(key, structure)]
        return structure

    def piece(self, text: str, after: Tuple[int, int] = (0, -1)) -> Dict[str, Any]:
        """A piece of a trace, beginning after the given chunk and number."""
        operations = self._store.operations
        with self._store.database.read() as connection:
            row = find_trace(connection, text)
            chunks = [c for (c,) in connection.execute("select id from chunk where trace = ? order by id", (row[0],))]
            structure = self._structure(connection, row[0], chunks, row[6])
            piece: List[Tuple[Any, ...]] = []
            for chunk in chunks:
                if chunk >= after[0] and len(piece) <= PIECE:
                    piece += connection.execute(
                        "select chunk, n, op, start, dur, err from span where chunk = ? and n > ? order by n limit ?",
                        (chunk, after[1] if chunk == after[0] else -1, PIECE + 1 - len(piece)),
                    ).fetchall()
        more = len(piece) > PIECE
        piece = piece[:PIECE]
        first = structure.first[piece[0][0]] + piece[0][1] if piece else len(structure.ids)
        result = _columns(piece, operations, row[4], first)
        result.update(structure.piece(first, len(piece)))
        last = "{}.{}".format(piece[-1][0], piece[-1][1]) if piece else "{}.{}".format(*after)
        result.update(
            trace=trace_hex(row[1], row[2]),
            total=len(structure.ids),
            first=first,
            last=last,
            next=last if more else None,
            summary=list_row(row, operations),
        )
        return result


def _columns(piece: List[Tuple[Any, ...]], operations: Dict[int, Op], base: int, first: int) -> Dict[str, Any]:
    columns: List[Any] = [list(column) for column in zip(*piece)] or [[], [], [], [], [], []]
    chunk, n, op, start, duration, error = columns
    names = {number: index for index, number in enumerate(dict.fromkeys(op))}
    return {
        "base": base,
        "ops": [operations.get(number, UNKNOWN) for number in names],
        "op": [names[number] for number in op],
        "start": [value - base for value in start],
        "dur": duration,
        "err": [first + index for index, failed in enumerate(error) if failed],
        "chunk": chunk,
        "n": n,
    }


def oldest_and_limits(store: Store) -> Dict[str, Any]:
    """What the status bar shows."""
    limits = store.limits
    return {
        "spans": store.spans,
        "traces": store.traces,
        "chunks": store.chunks,
        "bytes": store.bytes,
        "oldest": store.oldest(),
        "limits": {"spans": limits.spans, "bytes": limits.bytes, "age": limits.age * 1000000},
    }
