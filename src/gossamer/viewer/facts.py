"""Facts that are added up while spans come: operations by minute, calls between services, problems.

They answer what would otherwise mean reading every span. Kept in memory for about a second, then merged into their
rows.
"""

import re
import sqlite3
import struct
import time
from collections import Counter
from typing import Any, Dict, List, Optional, Tuple

from gossamer._wire.decoded import Chunk, Row
from gossamer.viewer.schema import signed

MINUTE = 60 * 10**9
_FLUSH_SECONDS = 1.0
_MOST_WAITING = 10000  # parents that have not come yet
_MOST_LOOKED_UP = 20  # parents in other chunks, for one chunk
_MOST_PROBLEMS = 1000  # new ones in one flush
_LONGEST = 300

Key = Tuple[int, int, int]  # operation, minute, bucket
Edge = Tuple[int, str, str]  # minute, calling service, called service

_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|[0-9a-f]{8}-[0-9a-f-]{27}|\d+(?:\.\d+)?|\b[0-9a-f]{16,}\b")
_FRAME = re.compile(r'^\s*File "([^"]{1,500})", line \d+, in (.{1,200})$', re.MULTILINE)


def bucket(duration: int) -> int:
    """Number of a duration's bucket; 32 to each doubling, so a bucket's middle is off by 1.6 % at most."""
    shift = duration.bit_length() - 6
    return duration if shift <= 0 else (shift << 5) + (duration >> shift)


def middle(number: int) -> float:
    """A duration that stands for its bucket."""
    if number < 64:
        return float(number)
    shift = (number >> 5) - 1
    return ((number - (shift << 5)) + 0.5) * (1 << shift)


def pack_sketch(buckets: Dict[int, int]) -> bytes:
    """Buckets and their counts as bytes."""
    return b"".join([struct.pack("<HI", number, count) for number, count in sorted(buckets.items())])


def unpack_sketch(data: bytes) -> Dict[int, int]:
    """What ``pack_sketch`` packed."""
    return dict(struct.iter_unpack("<HI", data))


def struck(message: str) -> str:
    """A message without its numbers, so that like ones fall together."""
    return _NUMBERS.sub("#", message[: 4 * _LONGEST])[:_LONGEST]


def innermost(stack: str) -> str:
    """File and function of a traceback's last frame."""
    frames = _FRAME.findall(stack[-20000:])
    return "{} in {}".format(*frames[-1])[:_LONGEST] if frames else ""


class Facts:
    """Adds up; used by the writer alone."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._stats: Counter[Key] = Counter()
        self._totals: Dict[Tuple[int, int], List[int]] = {}
        self._edges: Dict[Edge, List[int]] = {}
        self._problems: Dict[Tuple[str, str, str, str], List[int]] = {}
        self._waiting: Dict[Tuple[int, int], Tuple[str, int, int, int]] = {}  # trace and parent -> a call's facts
        self._due = 0.0

    def add(self, number: int, chunk: Chunk, ids: List[int], trace: int) -> None:
        """Add a chunk's spans, whose operations' ids are given in order."""
        keys = [(op, row[1] // MINUTE, bucket(row[2] // 1000)) for op, row in zip(ids, chunk.spans)]
        self._stats.update(keys)
        totals = self._totals
        for key, row in zip(keys, chunk.spans):
            known = totals.get(key[:2])
            if known is None:
                known = totals[key[:2]] = [0, 0]
            known[0] += row[3]
            known[1] += row[2] // 1000
        self._calls(chunk, trace)
        for n, row in enumerate(chunk.spans):
            if row[3]:
                self._problem(number, n, row)

    def _calls(self, chunk: Chunk, trace: int) -> None:
        # Edges join services, so spans whose parent is of the same service say nothing.
        services = {row[4]: row[0][0] for row in chunk.spans}
        alone = len(set(services.values())) == 1
        remote: Dict[int, Optional[str]] = {}
        for row in chunk.spans:
            parent = row[5]
            if not parent:
                continue
            caller = services.get(parent)
            if caller is None:
                if parent not in remote:
                    # Finding one means going through the trace's spans: a large chunk full of strangers' children is
                    # not worth it.
                    remote[parent] = self._stored(trace, parent) if len(remote) < _MOST_LOOKED_UP else None
                caller = remote[parent]
                if caller is None:
                    if len(self._waiting) < _MOST_WAITING:
                        self._waiting[(trace, parent)] = (row[0][0], row[1] // MINUTE, row[3], row[2] // 1000)
                    continue
            elif alone:
                continue
            self._edge(caller, row[0][0], row[1] // MINUTE, row[3], row[2] // 1000)
        if self._waiting:
            for own, service in services.items():
                late = self._waiting.pop((trace, own), None)
                if late is not None:
                    self._edge(service, *late)

    def _stored(self, trace: int, span_id: int) -> Optional[str]:
        row = self._connection.execute(
            "select op.service from chunk c join span s on s.chunk = c.id join op on op.id = s.op "
            "where c.trace = ? and s.id = ?",
            (trace, signed(span_id)),
        ).fetchone()
        return row[0] if row else None

    def _edge(self, source: str, target: str, minute: int, error: int, duration: int) -> None:
        if source == target:
            return
        known = self._edges.setdefault((minute, source, target), [0, 0, 0])
        known[0] += 1
        known[1] += error
        known[2] += duration

    def _problem(self, number: int, n: int, row: Row) -> None:
        if len(self._problems) >= _MOST_PROBLEMS:
            return
        attributes = dict(row[6])

        def first(*names: str) -> str:
            return next((str(attributes[name]) for name in names if attributes.get(name)), "")

        key = (
            row[0][0],
            first("exception.type", "error.type")[:_LONGEST] or row[0][1],
            struck(first("exception.message", "error.message", "error.msg")),
            innermost(first("exception.stacktrace", "error.stack")),
        )
        at = row[1] // 1000
        known = self._problems.get(key)
        if known is None:
            self._problems[key] = [at, at, 1, number, n]
        else:
            known[0], known[1], known[2] = min(known[0], at), max(known[1], at), known[2] + 1

    def flush(self, now: Optional[float] = None) -> None:
        """Merge what was added up into its rows, if a second has passed. The caller holds the transaction."""
        moment = time.monotonic() if now is None else now
        if moment < self._due:
            return
        self._due = time.monotonic() + _FLUSH_SECONDS
        self._flush_stats()
        self._connection.executemany(
            "insert into edge (minute, src, dst, hits, errors, total) values (?, ?, ?, ?, ?, ?) "
            "on conflict (minute, src, dst) "
            "do update set hits = hits + excluded.hits, errors = errors + excluded.errors, "
            "total = total + excluded.total",
            [key + tuple(values) for key, values in self._edges.items()],
        )
        self._connection.executemany(
            "insert into problem (service, type, message, frame, first, last, hits, chunk, n) "
            "values (?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "on conflict (service, type, message, frame) do update set first = min(first, excluded.first), "
            "last = max(last, excluded.last), hits = hits + excluded.hits, chunk = excluded.chunk, n = excluded.n",
            [key + tuple(values) for key, values in self._problems.items()],
        )
        self._edges, self._problems = {}, {}

    def _flush_stats(self) -> None:
        merged: Dict[Tuple[int, int], Dict[int, int]] = {}
        for (op, minute, number), count in self._stats.items():
            merged.setdefault((op, minute), {})[number] = count
        rows: List[Tuple[Any, ...]] = []
        select = "select hits, errors, total, sketch from stat where op = ? and minute = ?"
        for key, buckets in merged.items():
            hits, (errors, total) = sum(buckets.values()), self._totals[key]
            stored = self._connection.execute(select, key).fetchone()
            if stored:
                hits, errors, total = hits + stored[0], errors + stored[1], total + stored[2]
                for number, count in unpack_sketch(stored[3]).items():
                    buckets[number] = buckets.get(number, 0) + count
            rows.append((*key, hits, errors, total, pack_sketch(buckets)))
        self._connection.executemany(
            "insert or replace into stat (op, minute, hits, errors, total, sketch) values (?, ?, ?, ?, ?, ?)", rows
        )
        self._stats, self._totals = Counter(), {}

    @property
    def waiting(self) -> bool:
        """Whether there is something to merge."""
        return bool(self._stats or self._edges or self._problems)


def percentile(buckets: Dict[int, int], share: float) -> float:
    """A percentile of a sketch, in microseconds."""
    left = share * sum(buckets.values())
    for number, count in sorted(buckets.items()):
        left -= count
        if left <= 0:
            return middle(number)
    return 0.0
