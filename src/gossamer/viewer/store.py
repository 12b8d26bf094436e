"""The store: a bounded queue, the one thread that writes, and what readers need to know of its state."""

import sqlite3
import threading
import time
from collections import deque
from typing import Callable, Deque, Dict, List, Optional, Tuple

from gossamer import _log
from gossamer._wire.decoded import Op, Payload
from gossamer.viewer import retention
from gossamer.viewer.limits import Limits
from gossamer.viewer.pages import PageCache
from gossamer.viewer.schema import Database
from gossamer.viewer.writer import RowWriter

QUEUE_BYTES = 32 << 20
_SPAN_WEIGHT = 600  # bytes of memory that a decoded span takes beside its raw form, roughly
_BATCH_SPANS = 2000
_BUSY_SPANS = 6000  # when the queue grows: fewer and larger transactions cost less
_BATCH_SECONDS = 0.2
_RETRY_SECONDS = 1.0


class Store:
    """Keeps payloads in a folder, or in memory when there is none."""

    def __init__(self, folder: Optional[str] = None, limits: Optional[Limits] = None) -> None:
        self.limits = limits or Limits()
        self.folder = folder
        self.database = Database(folder)
        self.pages = PageCache()
        self.listeners: List[Callable[[List[int]], None]] = []  # called with the ids of traces after each transaction
        self.on_removed: List[Callable[[], None]] = []
        self.failed: Dict[str, int] = {}  # reason -> spans that could not be written
        self.last_round: Optional[retention.Round] = None
        self._rows = RowWriter(self.database)
        self._waiting: Deque[Tuple[Payload, int]] = deque()
        self._weight = self._waiting_spans = 0
        self._changed = threading.Condition()
        self._stopping = False
        self._clear = False
        self._written = self._accepted = 0  # payloads
        self._retention = retention.Retention(self.database, self._rows, self.limits)
        self._count()
        self._thread = threading.Thread(target=self._run, name="gossamer-viewer-writer", daemon=True)

    def start(self) -> None:
        """Start the writer thread."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is queued and close."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(30)
        self.database.close()

    def put(self, payload: Payload) -> bool:
        """Queue a payload; ``False`` when the queue is full."""
        weight = sum([len(chunk.data) for chunk in payload.chunks]) + _SPAN_WEIGHT * payload.spans
        with self._changed:
            if self._stopping or (self._weight and self._weight + weight > QUEUE_BYTES):
                return False
            self._weight += weight
            self._accepted += 1
            self._waiting.append((payload, weight))
            self._waiting_spans += payload.spans
            self._changed.notify_all()
        return True

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until what was accepted so far is written."""
        deadline = time.monotonic() + timeout
        with self._changed:
            until = self._accepted
            while self._written < until:
                if not self._changed.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    return False
        return True

    def clear(self, timeout: float = 60.0) -> int:
        """Delete everything but pinned traces; answers how many spans went."""
        before: int = self.spans
        with self._changed:
            self._clear = True
            self._changed.notify_all()
            deadline = time.monotonic() + timeout
            while self._clear and time.monotonic() < deadline:
                self._changed.wait(1.0)
        return before - self.spans

    @property
    def operations(self) -> Dict[int, Op]:
        """Every operation by its number. Copy before going through it: the writer adds to it."""
        return self._rows.ops.by_id

    @property
    def queued(self) -> int:
        """Weight of what waits to be written, in bytes."""
        return self._weight

    @property
    def overflowed(self) -> int:
        """Spans whose resource was left out of the index, for there were too many different ones."""
        return self._rows.ops.overflowed

    def oldest(self) -> Optional[int]:
        """Start of the oldest trace, in microseconds."""
        with self.database.read() as connection:
            row = connection.execute("select start from trace order by id limit 1").fetchone()
        return row[0] if row else None

    def _count(self) -> None:
        self.chunks: int
        self.spans: int
        with self.database.locked() as connection:
            self.chunks, self.spans = connection.execute(
                "select count(*), coalesce(sum(spans), 0) from chunk where trace is not null"
            ).fetchone()
            self.traces = connection.execute("select count(*) from trace").fetchone()[0]
        self.bytes = self.database.size()

    # -- the writer thread

    def _run(self) -> None:
        checked = 0.0
        while True:
            batch = self._take()
            if batch:
                self._write(batch)
            else:
                self._settle()
            if self._clear:
                self._wipe()
            if batch or time.monotonic() - checked > 10:
                checked = time.monotonic()
                self._retain()
            if self._stopping and not self._waiting:
                self._settle()
                return

    def _take(self) -> List[Tuple[Payload, int]]:
        with self._changed:
            if not self._waiting and not self._stopping and not self._clear:
                self._changed.wait(1.0 if self._rows.facts.waiting else 10.0)
            if not self._waiting:
                return []
            deadline = time.monotonic() + _BATCH_SECONDS
            while self._waiting_spans < _BATCH_SPANS and not self._stopping and not self._clear:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            batch: List[Tuple[Payload, int]] = []
            spans = 0
            most = _BATCH_SPANS if self._weight < QUEUE_BYTES // 4 else _BUSY_SPANS
            while self._waiting and spans < most:
                batch.append(self._waiting.popleft())
                spans += batch[-1][0].spans
            self._waiting_spans -= spans
        return batch

    def _write(self, batch: List[Tuple[Payload, int]]) -> None:
        spans = sum([payload.spans for payload, _ in batch])
        touched: List[int] = []
        try:
            with self.database.write():
                touched = self._rows.write(chunk for payload, _ in batch for chunk in payload.chunks)
            self._recount(spans, sum([len(payload.chunks) for payload, _ in batch]))
        except Exception as error:
            self._failed(error, spans)
        finally:
            with self._changed:
                self._weight -= sum([weight for _, weight in batch])
                self._written += len(batch)
                self._changed.notify_all()
        if touched:
            for listener in self.listeners:
                listener(touched)

    def _settle(self) -> None:
        # Facts of the last second, when no more spans come to take them along.
        try:
            if self._rows.facts.waiting:
                with self.database.write():
                    self._rows.facts.flush(float("inf"))
        except sqlite3.Error as error:
            _log.limited("viewer facts", _log.ERROR, "viewer: statistics could not be stored: %s", error)

    def _recount(self, spans: int, chunks: int) -> None:
        self.spans += spans
        self.chunks += chunks
        with self.database.read() as connection:
            self.traces = connection.execute("select count(*) from trace").fetchone()[0]
        self.bytes = self.database.size()

    def _failed(self, error: Exception, spans: int) -> None:
        reason = "the store failed: {}".format(error)
        self.failed[reason] = self.failed.get(reason, 0) + spans
        _log.limited(("viewer store", str(error)), _log.ERROR, "viewer: %d spans could not be stored: %s", spans, error)
        try:
            with self.database.locked():
                self._rows.reload()
        except sqlite3.Error:
            time.sleep(_RETRY_SECONDS)

    def _retain(self) -> None:
        try:
            while not self._clear:
                done = self._retention.step(self.spans, self.bytes)
                if done is None:
                    return
                self.last_round = done
                self._after_removal()
                if self._waiting:
                    return  # one round between two transactions
        except sqlite3.Error as error:
            _log.limited("viewer retention", _log.ERROR, "viewer: old traces could not be removed: %s", error)

    def _wipe(self) -> None:
        try:
            self._retention.clear()
            self._after_removal()
        except sqlite3.Error as error:
            _log.limited("viewer clear", _log.ERROR, "viewer: the data could not be removed: %s", error)
        finally:
            with self._changed:
                self._clear = False
                self._changed.notify_all()

    def _after_removal(self) -> None:
        self._count()
        self.pages.clear()
        for listener in self.on_removed:
            listener()
