"""Executing searches: newest chunks first, in stretches that grow, until there are enough or the time is up."""

import heapq
import sqlite3
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from gossamer.viewer import details
from gossamer.viewer.plan import Plan, Stretch
from gossamer.viewer.query import parse
from gossamer.viewer.reading import COLUMNS, UNKNOWN, list_row
from gossamer.viewer.store import Store

MOST_ROWS = 200
TIME = 0.08  # seconds for one answer
SORT_TIME = 0.4  # where everything has to be seen before the first row is known
_STRETCHES = (500, 2000, 8000, 20000)
_CHECKED = 2000  # candidates of one chunk that are read
_ORDERS = {"slowest": "dur", "spans": "spans"}


class Match(NamedTuple):
    """Spans of one chunk that match."""

    chunk: int
    spans: List[Tuple[int, int, int]]  # n, operation, error


class Scan:
    """One pass over the store for a query. Afterwards ``position`` is the oldest chunk that was looked at."""

    def __init__(self, store: Store, connection: sqlite3.Connection, plan: Plan, deadline: float) -> None:
        self.store = store
        self.connection = connection
        self.plan = plan
        self.deadline = deadline
        self.position = 0
        self.finished = False
        self.scanned = 0

    def run(self, top: int, bottom: int, limited: bool = True) -> Iterator[Match]:
        """Matches in chunks from ``top`` down to after ``bottom``."""
        self.position = top + 1
        self.connection.set_progress_handler(self._late if limited else None, 5000)
        step = 0
        size = _STRETCHES[0]
        while self.position - 1 > bottom:
            high = self.position - 1
            low = max(bottom, high - size)
            try:
                for match in self.stretch(Stretch(low, high)):
                    yield match
                    self.position = match.chunk
                    if self._over():
                        return
            except sqlite3.OperationalError as error:
                if "interrupt" not in str(error):
                    raise
                if size > 1 and self.position == high + 1:
                    # Nothing of this stretch was seen: a smaller one, and without a limit if it is one chunk.
                    size = max(1, size // 20)
                    self.connection.set_progress_handler(self._late if size > 1 else None, 5000)
                    self.deadline = time.perf_counter() + TIME
                    continue
                return
            self.position = low + 1
            if self._over():
                break
            step = min(step + 1, len(_STRETCHES) - 1)
            size = _STRETCHES[step] if size >= _STRETCHES[0] else size * 4
        self.finished = self.position - 1 <= bottom

    def _late(self) -> int:
        # Between stretches the deadline is kept exactly; inside one there is some grace.
        return time.perf_counter() > self.deadline + TIME

    def _over(self) -> bool:
        return time.perf_counter() > self.deadline

    def stretch(self, stretch: Stretch) -> Iterator[Match]:
        """Matches in one stretch, newest chunk first."""
        statement = self.plan.sql(stretch)
        if statement is None:
            return
        chunk = -1
        rows: List[Tuple[Any, ...]] = []
        for row in self.connection.execute(statement):
            if row[0] != chunk:
                if rows:
                    found = self._checked(chunk, rows)
                    if found:
                        yield Match(chunk, found)
                chunk, rows = row[0], []
            rows.append(row)
        if rows:
            found = self._checked(chunk, rows)
            if found:
                yield Match(chunk, found)

    def in_chunks(self, chunks: List[int]) -> List[Match]:
        """Matches in the chunks of one trace, newest first, without a limit of time: their number is bounded."""
        self.connection.set_progress_handler(None, 0)
        try:
            return list(self.stretch(Stretch(0, 0, chunks)))
        finally:
            self.connection.set_progress_handler(self._late, 5000)

    def _checked(self, chunk: int, rows: List[Tuple[Any, ...]]) -> List[Tuple[int, int, int]]:
        self.scanned += len(rows)
        if self.plan.exact:
            return [(row[1], row[2], row[3]) for row in rows]
        rows = rows[:_CHECKED]
        wanted = {row[1] for row in rows}
        spans = details.spans_of(self.store, self.connection, chunk, wanted.__contains__)
        operations = self.store.operations
        return [
            (row[1], row[2], row[3])
            for row in rows
            if row[1] in spans
            and self.plan.check(operations.get(row[2], UNKNOWN), details.searchable(spans[row[1]]), row[4:])
        ]


class Search:
    """Answers the list and the facets."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def prepare(self, connection: sqlite3.Connection, text: str) -> Optional[Plan]:
        """The plan of a query, ``None`` if it is empty."""
        node = parse(text)
        return None if node is None else Plan(connection, node, self._store.operations.copy(), self._store.database.fts)

    def traces(self, parameters: Dict[str, str]) -> Dict[str, Any]:
        """The answer of ``/api/traces``."""
        began = time.perf_counter()
        limit = _integer(parameters, "limit", 50, 1, MOST_ROWS)
        sort = parameters.get("sort") or "newest"
        if sort != "newest" and sort not in _ORDERS:
            raise ValueError("sort: expected newest, slowest or spans")
        times = time_range(parameters)
        cursor = parameters.get("cursor") or ""
        with self._store.database.read() as connection:
            plan = self.prepare(connection, parameters.get("q") or "")
            if plan is None:
                answer = self._all(connection, sort, times, cursor, limit)
            elif sort == "newest":
                answer = self._newest(connection, plan, times, cursor, limit, began)
            else:
                answer = self._sorted(connection, plan, _ORDERS[sort], times, cursor, limit, began)
        answer["took"] = round((time.perf_counter() - began) * 1000, 3)
        return answer

    def _all(
        self, connection: sqlite3.Connection, sort: str, times: Tuple[int, int], cursor: str, limit: int
    ) -> Dict[str, Any]:
        column = _ORDERS.get(sort, "id")
        conditions = ["start between ? and ?"] if times != ALWAYS else []
        values: List[int] = list(times) if times != ALWAYS else []
        if cursor:
            first, second = _cursor(cursor, "k")
            conditions.append("({}, id) < (?, ?)".format(column) if column != "id" else "id < ?")
            values += [first, second] if column != "id" else [second]
        where = " where " + " and ".join(conditions) if conditions else ""
        rows = connection.execute(
            "select {} from trace{} order by {} desc{} limit ?".format(
                COLUMNS, where, column, ", id desc" if column != "id" else ""
            ),
            values + [limit + 1],
        ).fetchall()
        at = COLUMNS.split(", ").index(column)
        following = "k{}.{}".format(rows[limit - 1][at], rows[limit - 1][0]) if len(rows) > limit else None
        return _answer([list_row(row, self._store.operations) for row in rows[:limit]], following)

    def _newest(
        self, connection: sqlite3.Connection, plan: Plan, times: Tuple[int, int], cursor: str, limit: int, began: float
    ) -> Dict[str, Any]:
        top = connection.execute("select coalesce(max(id), 0) from chunk").fetchone()[0]
        if cursor:
            top = min(top, _cursor(cursor, "c")[1] - 1)
        scan = Scan(self._store, connection, plan, began + TIME)
        rows: List[Dict[str, Any]] = []
        bottom = first_chunk(connection, times[0])
        for match in scan.run(top, bottom):
            row = self._trace(connection, scan, match, times)
            if row is not None:
                rows.append(row)
                if len(rows) == limit:
                    break
        connection.set_progress_handler(None, 0)
        if len(rows) == limit:
            return _answer(rows, "c0.{}".format(match.chunk), scanned=scan.scanned)
        if scan.finished:
            return _answer(rows, None, scanned=scan.scanned)
        reached = connection.execute(
            "select t.start from chunk c join trace t on t.id = c.trace where c.id >= ? order by c.id limit 1",
            (scan.position,),
        ).fetchone()
        return _answer(rows, "c0.{}".format(scan.position), reached[0] if reached else None, True, scan.scanned)

    def _trace(
        self, connection: sqlite3.Connection, scan: Scan, match: Match, times: Tuple[int, int]
    ) -> Optional[Dict[str, Any]]:
        # A trace is listed where its newest match is met, with the number of all its matches.
        number = connection.execute("select trace from chunk where id = ?", (match.chunk,)).fetchone()[0]
        row = connection.execute("select {} from trace where id = ?".format(COLUMNS), (number,)).fetchone()
        if row is None or not times[0] <= row[4] <= times[1]:
            return None
        count = len(match.spans)
        others = [
            chunk
            for (chunk,) in connection.execute(
                "select id from chunk where trace = ? and id <> ?", (number, match.chunk)
            )
        ]
        if others:
            for other in scan.in_chunks(others):
                if other.chunk > match.chunk:
                    return None
                count += len(other.spans)
        return list_row(row, self._store.operations, {"chunk": match.chunk, "n": match.spans[0][0], "count": count})

    def _sorted(
        self,
        connection: sqlite3.Connection,
        plan: Plan,
        column: str,
        times: Tuple[int, int],
        cursor: str,
        limit: int,
        began: float,
    ) -> Dict[str, Any]:
        below = _cursor(cursor, "k") if cursor else (1 << 62, 1 << 62)
        scan = Scan(self._store, connection, plan, began + SORT_TIME)
        found, complete = self._probe(connection, scan, column, times, below, limit, began + SORT_TIME / 2)
        if not complete:
            found = self._gather(connection, scan, column, times, below, limit)
            complete = scan.finished
        connection.set_progress_handler(None, 0)
        rows = [list_row(row, self._store.operations, match) for _, row, match in found[:limit]]
        following = "k{}.{}".format(*found[limit - 1][0]) if len(found) > limit else None
        return _answer(rows, following, None, not complete, scan.scanned)

    def _probe(
        self,
        connection: sqlite3.Connection,
        scan: Scan,
        column: str,
        times: Tuple[int, int],
        below: Tuple[int, int],
        limit: int,
        until: float,
    ) -> Tuple[List[Any], bool]:
        # Where much matches, asking the largest traces one by one ends soon.
        found: List[Any] = []
        at = COLUMNS.split(", ").index(column)
        for row in connection.execute(
            "select {0} from trace where ({1}, id) < (?, ?) and start between ? and ? "
            "order by {1} desc, id desc".format(COLUMNS, column),
            below + times,
        ):
            chunks = [chunk for (chunk,) in connection.execute("select id from chunk where trace = ?", (row[0],))]
            matches = scan.in_chunks(chunks)
            if matches:
                match = {
                    "chunk": matches[0].chunk,
                    "n": matches[0].spans[0][0],
                    "count": sum([len(each.spans) for each in matches]),
                }
                found.append(((row[at], row[0]), row, match))
                if len(found) > limit:
                    return found, True
            if time.perf_counter() > until:
                return found, False
        return found, True

    def _gather(
        self,
        connection: sqlite3.Connection,
        scan: Scan,
        column: str,
        times: Tuple[int, int],
        below: Tuple[int, int],
        limit: int,
    ) -> List[Any]:
        top = connection.execute("select coalesce(max(id), 0) from chunk").fetchone()[0]
        at = COLUMNS.split(", ").index(column)
        traces: Dict[int, Any] = {}
        for match in scan.run(top, first_chunk(connection, times[0])):
            row = connection.execute(
                "select {} from trace where id = (select trace from chunk where id = ?)".format(COLUMNS), (match.chunk,)
            ).fetchone()
            key = (row[at], row[0])
            if not times[0] <= row[4] <= times[1] or key >= below:
                continue
            known = traces.get(row[0])
            if known is None:
                traces[row[0]] = (key, row, {"chunk": match.chunk, "n": match.spans[0][0], "count": len(match.spans)})
            else:
                known[2]["count"] += len(match.spans)
        return heapq.nlargest(limit + 1, traces.values(), key=lambda item: item[0])


ALWAYS = (0, 1 << 62)


def time_range(parameters: Dict[str, str]) -> Tuple[int, int]:
    """``from`` and ``to`` in microseconds."""
    return _integer(parameters, "from", 0, 0, 1 << 62), _integer(parameters, "to", 1 << 62, 0, 1 << 62)


def first_chunk(connection: sqlite3.Connection, start: int) -> int:
    """A chunk before every chunk of traces that began at the given time or later."""
    if not start:
        return 0
    row = connection.execute("select min(id) from trace where start >= ?", (start,)).fetchone()
    if row[0] is None:
        return int(connection.execute("select coalesce(max(id), 0) from chunk").fetchone()[0])
    chunk = connection.execute("select min(id) from chunk where trace = ?", (row[0],)).fetchone()[0]
    return (chunk or 1) - 1


def _integer(parameters: Dict[str, str], name: str, default: int, least: int, most: int) -> int:
    text = parameters.get(name)
    if not text:
        return default
    try:
        number = int(float(text)) if len(text) < 30 else int("")
    except (ValueError, OverflowError):
        raise ValueError("{}: expected a number".format(name)) from None
    return max(least, min(most, number))


def _cursor(text: str, kind: str) -> Tuple[int, int]:
    first, _, second = text[1:].partition(".")
    if text[:1] != kind or not first.isdigit() or not second.isdigit() or len(text) > 45:
        raise ValueError("cursor: not one of this list's")
    return min(int(first), 1 << 62), min(int(second), 1 << 62)


def _answer(
    rows: List[Dict[str, Any]],
    following: Optional[str],
    searched_to: Optional[int] = None,
    partial: bool = False,
    scanned: Optional[int] = None,
) -> Dict[str, Any]:
    return {"rows": rows, "next": following, "searched_to": searched_to, "partial": partial, "scanned": scanned}
