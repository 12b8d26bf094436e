"""The live stream: summaries of traces that came, at most two events a second to each listener, never payloads."""

import json
import threading
import time
from collections import OrderedDict
from typing import Any, Callable, Dict, Iterator, List, Optional

from gossamer.viewer.reading import rows_by_id
from gossamer.viewer.store import Store

STREAMS = 8
ROWS = 50
_INTERVAL = 0.5
_BEAT = 15.0
_REMEMBERED = 2000


class Live:
    """Tells listeners what was written."""

    def __init__(self, store: Store, rate: Callable[[], Dict[str, float]]) -> None:
        self._store = store
        self._rate = rate
        self._changed = threading.Condition()
        self._touched: OrderedDict[int, int] = OrderedDict()  # trace -> number of the event it came with
        self._number = int(time.time() * 1000)  # ids of an earlier run are in the past
        self._first = self._number
        self._forgot = self._number
        self._cleared = self._removed = self._number
        self._streams = 0
        self._stopping = False
        store.listeners.append(self._on_written)
        store.on_removed.append(self._on_removed)

    def stop(self) -> None:
        """End every stream."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def _on_written(self, traces: List[int]) -> None:
        with self._changed:
            self._number += 1
            for trace in traces:
                self._touched.pop(trace, None)
                self._touched[trace] = self._number
            while len(self._touched) > _REMEMBERED:
                self._forgot = self._touched.popitem(last=False)[1]
            self._changed.notify_all()

    def _on_removed(self) -> None:
        with self._changed:
            self._number += 1
            if self._store.spans:
                self._removed = self._number
            else:
                self._cleared = self._number
                self._touched.clear()
            self._changed.notify_all()

    def admit(self) -> bool:
        """Count a stream in; ``False`` when there are enough."""
        with self._changed:
            if self._streams >= STREAMS:
                return False
            self._streams += 1
            return True

    def stream(self, last: Optional[str]) -> "Stream":
        """Events from now on, or from after the given id, for a client that was counted in."""
        return Stream(self._events(last), self._left)

    def _left(self) -> None:
        with self._changed:
            self._streams -= 1

    def _events(self, last: Optional[str]) -> Iterator[bytes]:
        seen = int(last) if last and last.isdigit() and self._first <= int(last) <= self._number else self._number
        yield b"retry: 2000\n\n" + self._event("hello", self._counts(), seen)
        while not self._stopping:
            with self._changed:
                if self._number <= seen:
                    self._changed.wait(_BEAT)
                number = self._number
            if self._stopping:
                return
            if number <= seen:
                yield b": beat\n\n"
                continue
            yield from self._since(seen, number)
            seen = number
            self._pause()

    def _pause(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, _INTERVAL)

    def _since(self, seen: int, number: int) -> Iterator[bytes]:
        if self._cleared > seen:
            yield self._event("cleared", {}, number)
        if self._removed > seen:
            done = self._store.last_round
            yield self._event("removed", {"before": done.before if done else 0}, number)
        with self._changed:
            fresh = []
            for trace, at in reversed(self._touched.items()):
                if at <= seen:
                    break
                fresh.append(trace)
            forgot = self._forgot > seen
        if fresh:
            with self._store.database.read() as connection:
                rows = rows_by_id(connection, fresh[:ROWS], self._store.operations)
            data = self._counts()
            data.update(rows=rows, more=max(0, len(fresh) - ROWS) + (1 if forgot else 0))
            yield self._event("traces", data, number)

    def _counts(self) -> Dict[str, Any]:
        store = self._store
        return {
            "spans": store.spans,
            "traces": store.traces,
            "bytes": store.bytes,
            "oldest": store.oldest(),
            "rate": self._rate(),
        }

    @staticmethod
    def _event(name: str, data: Dict[str, Any], number: int) -> bytes:
        return "id: {}\nevent: {}\ndata: {}\n\n".format(number, name, json.dumps(data, separators=(",", ":"))).encode(
            "ascii"
        )


class Stream:
    """Events for one client. Whoever sends them closes it, also when not even the first could be sent."""

    def __init__(self, events: Iterator[bytes], left: Callable[[], None]) -> None:
        self._events = events
        self._left: Optional[Callable[[], None]] = left

    def __iter__(self) -> Iterator[bytes]:
        return self._events

    def close(self) -> None:
        """The client has gone."""
        left, self._left = self._left, None
        if left is not None:
            left()
