"""Removing the oldest: a round takes few chunks, so that writing never waits long. Pinned traces stay."""

import time
from typing import Any, List, NamedTuple, Optional, Set, Tuple

from gossamer.viewer.limits import Limits
from gossamer.viewer.schema import FIND_CHUNKS, Database
from gossamer.viewer.writer import MOST_OPERATIONS, RowWriter

ROUND = 500
_COLUMNS = (
    "select c.id, c.trace, c.head, c.spans, coalesce(t.pinned, 0), p.written "
    "from chunk c join page p on p.id = c.page "
)
_REMEMBERED = 50000  # traces of which is known when they were removed


class Round(NamedTuple):
    """What one round removed."""

    at: int
    spans: int
    before: int  # start of the newest trace it touched


class Retention:
    """Owned by the writer thread."""

    def __init__(self, database: Database, rows: RowWriter, limits: Limits) -> None:
        self._database = database
        self._rows = rows
        self._limits = limits
        self._floor = 0  # chunks up to here are gone or pinned
        self._pinned = -1

    def step(self, spans: int, size: int) -> Optional[Round]:
        """Remove one round if a limit is passed; ``None`` if there is nothing to do."""
        limits = self._limits
        if spans > limits.spans:
            # A little more than needed, for otherwise each transaction would bring a round.
            return self._round(spans - limits.spans + limits.spans // 100)
        if size > limits.bytes:
            return self._round()
        if self._too_old():
            return self._round(before=int((time.time() - limits.age) * 1e6))
        return None

    def _too_old(self) -> bool:
        # By arrival: a client whose clock is wrong is no reason to lose what it sends.
        with self._database.locked() as connection:
            row = connection.execute(
                "select p.written from chunk c join trace t on t.id = c.trace join page p on p.id = c.page "
                "where c.id > ? and not t.pinned order by c.id limit 1",
                (self._floor,),
            ).fetchone()
        return bool(row) and row[0] < (time.time() - self._limits.age) * 1e6

    def _round(self, spans: int = 1 << 62, before: int = 1 << 62) -> Optional[Round]:
        # At most so many spans, or a chunk more; only what arrived before.
        with self._database.write() as connection:
            pinned = connection.execute("select count(*) from trace where pinned").fetchone()[0]
            if pinned < self._pinned:
                self._floor = 0
            self._pinned = pinned
            while True:
                rows = self._oldest(spans, before)
                if not rows:
                    return None
                floor = rows[-1][0]
                doomed = [row for row in rows if not row[4]]
                if doomed:
                    break
                self._floor = floor
            result = self._delete(doomed, pinned)
            self._floor = floor
        self._rows.forget_traces()
        return result

    def _oldest(self, spans: int, before: int) -> List[Tuple[Any, ...]]:
        rows = self._database.writer.execute(
            _COLUMNS + "left join trace t on t.id = c.trace where c.id > ? order by c.id limit ?",
            (self._floor, ROUND),
        ).fetchall()
        taken = 0
        for index, row in enumerate(rows):
            if taken >= spans or row[5] >= before:
                rows = rows[:index]
                break
            taken += 0 if row[4] else row[3]
        if rows:
            # A head goes with the last chunk that is read with it, never before: they follow one another.
            head = rows[-1][2] if rows[-1][1] is not None else rows[-1][0]
            if head is not None:
                rows += self._database.writer.execute(
                    _COLUMNS + "join trace t on t.id = c.trace "
                    "where c.id > ? and c.id <= ? + 10000 and c.head = ? order by c.id",
                    (rows[-1][0], rows[-1][0], head),
                ).fetchall()
            kept = {row[2] for row in rows if row[4]}  # heads of pinned chunks
            rows = [row if row[0] not in kept else row[:4] + (1,) + row[5:] for row in rows]
        return rows

    def _delete(self, doomed: List[Tuple[Any, ...]], pinned: int) -> Round:
        connection = self._database.writer
        ids = ",".join([str(row[0]) for row in doomed])
        traces = ",".join([str(trace) for trace in {row[1] for row in doomed} if trace is not None]) or "0"
        now = int(time.time() * 1e6)
        connection.execute("delete from span where chunk in ({})".format(ids))
        connection.execute("delete from chunk where id in ({})".format(ids))
        before = connection.execute("select max(start) from trace where id in ({})".format(traces)).fetchone()[0] or 0
        gone = "id in ({}) and not exists (select 1 from chunk where chunk.trace = trace.id)".format(traces)
        connection.execute(
            "insert or replace into gone (trace, at) select lo, ? from trace where {}".format(gone), (now,)
        )
        connection.execute("delete from trace where " + gone)
        connection.execute(
            "update trace set spans = (select sum(spans) from chunk where chunk.trace = trace.id), "
            "errors = (select coalesce(sum(span.err), 0) from chunk join span on span.chunk = chunk.id where "
            "chunk.trace = trace.id) where id in ({})".format(traces)
        )
        self._pages(pinned)
        self._facts()
        return Round(now, sum([row[3] for row in doomed]), before)

    def _pages(self, pinned: int) -> None:
        connection = self._database.writer
        needed: Set[int] = set()
        if pinned:
            rows = connection.execute(
                "select c.page, h.page, c.id from trace t join chunk c on c.trace = t.id "
                "left join chunk h on h.id = c.head where t.pinned"
            )
            tables: Set[int] = set()
            for page, head_page, chunk in rows:
                needed.update((page, head_page or page))
                tables.add(chunk // FIND_CHUNKS)
        first = connection.execute(
            "select id, page from chunk where id > ? order by id limit 1", (self._floor,)
        ).fetchone()
        oldest = connection.execute(
            "select c.id, c.page from chunk c left join trace t on t.id = c.trace "
            "where c.id > ? and not coalesce(t.pinned, 0) order by c.id limit 1",
            (self._floor,),
        ).fetchone()
        page = (oldest or first or (0, self._rows.pages.current))[1]
        connection.execute(
            "delete from page where id < ? and id not in ({})".format(",".join(map(str, needed))), (page,)
        )
        chunk = oldest[0] if oldest else self._rows.next_chunk
        keep = tables if pinned else set()
        for number in [number for number in self._rows.tables if number < chunk // FIND_CHUNKS and number not in keep]:
            self._rows.drop_table(number)

    def _facts(self) -> None:
        connection = self._database.writer
        oldest = connection.execute("select min(start) from trace where not pinned").fetchone()[0]
        minute = (oldest if oldest is not None else time.time() * 1e6) // 60000000
        connection.execute("delete from stat where minute < ?", (minute,))
        connection.execute("delete from edge where minute < ?", (minute,))
        connection.execute("delete from problem where last < ?", (minute * 60000000,))
        connection.execute(
            "delete from gone where trace in (select trace from gone order by at desc limit -1 offset ?)",
            (_REMEMBERED,),
        )
        if len(self._rows.ops.by_id) > MOST_OPERATIONS // 2:
            self._operations()

    def _operations(self) -> None:
        connection = self._database.writer
        self._rows.facts.flush(float("inf"))
        unused = connection.execute(
            "select id from op where id not in (select op from span) and id not in (select root from trace)"
        ).fetchall()
        connection.executemany("delete from op where id = ?", unused)
        connection.executemany("delete from stat where op = ?", unused)
        self._rows.ops.forget([row[0] for row in unused])

    def clear(self) -> None:
        """Remove everything but pinned traces."""
        with self._database.locked() as connection:
            pinned = connection.execute("select count(*) from trace where pinned").fetchone()[0]
        self._floor = 0
        if pinned:
            while self._round() is not None:
                pass
            return
        with self._database.write() as connection:
            for table in ("span", "chunk", "page", "stat", "edge", "problem", "op", "gone", "trace"):
                connection.execute("delete from " + table)
            for number in list(self._rows.tables):
                self._rows.drop_table(number)
        with self._database.locked() as connection:
            self._rows.reload()
            connection.execute("vacuum")
