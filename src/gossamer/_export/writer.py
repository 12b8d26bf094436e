"""Takes finished chunks from the buffer, in the background, and gives them to the exporters.

The traced program only appends to the buffer. A daemon thread, started when the first chunk arrives, swaps the buffer
once a second. Each destination has a queue of its own for what did not arrive, bounded in bytes, and its own back-off:
one that is down delays and loses nothing for another.

After a fork the child begins anew: what it inherited is the parent's to send, its locks and its thread are new ones.
Nothing is held while the process forks. The thread ends before, unless it is in the middle of a request, and comes back
with the next chunk: CPython warns of forks in a process of several threads, and the program is not to hear that for us.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import weakref
from collections import deque
from queue import Empty, SimpleQueue
from time import monotonic, sleep

from .. import _fork, _log
from .exporter import ExportError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Deque, Dict, Iterable, List, Optional

    from .._core.buffer import Batch, Buffer
    from .._wire.info import Process
    from .exporter import Exporter

__all__ = ["Writer"]

MAX_BACKOFF = 30.0
FIRST_BACKOFF = 0.5
FORK_SECONDS = 0.25
"""How long a fork is held up, at most, to send what is finished."""
IDLE_SECONDS = 30.0

_log_ = _log.get("export")
_writers: weakref.WeakSet[Writer] = weakref.WeakSet()


class _Lane:
    """One destination: what waits for it, and when to try again."""

    def __init__(self, exporter: Exporter, max_bytes: int) -> None:
        self.exporter = exporter
        self.max_bytes = max_bytes
        self.waiting: Deque[Batch] = deque()
        self.bytes = 0
        self.failures = 0
        self.retry_at = 0.0
        self.sent_spans = 0
        self.sent_traces = 0
        self.errors = 0
        self.dropped_spans: Dict[str, int] = {}
        self.dropped_traces: Dict[str, int] = {}
        # Guards the fields above for moments; reentrant, as a signal handler may flush on top of a flush.
        self.guard: Any = threading.RLock()
        # Held while the exporter works: one batch at a time.
        self.sending: Any = threading.Lock()

    def add(self, batch: Batch) -> None:
        """Queue a batch; what has waited longest gives way when there is no room."""
        with self.guard:
            self.waiting.append(batch)
            self.bytes += batch.size
            self.make_room()

    def make_room(self) -> None:
        """Drop what has waited longest until the rest is within the bound."""
        while self.bytes > self.max_bytes and self.waiting:
            self.drop(self.take(), "no_room")

    def take(self) -> Batch:
        """The oldest batch."""
        batch = self.waiting.popleft()
        self.bytes -= batch.size
        return batch

    def put_back(self, batches: List[Batch]) -> None:
        """Batches that are to be tried again come before the others."""
        self.waiting.extendleft(reversed(batches))
        self.bytes += sum(batch.size for batch in batches)

    def drop(self, batch: Batch, reason: str) -> None:
        """Count what is lost."""
        self.dropped_spans[reason] = self.dropped_spans.get(reason, 0) + batch.span_count
        self.dropped_traces[reason] = self.dropped_traces.get(reason, 0) + len(batch)

    # -- sending --------------------------------------------------------------------------------------------------

    def send(self, process: Process, deadline: Optional[float], force: bool) -> None:
        """Send what waits, until one batch fails or the time is over. `force`: do not wait for the back-off."""
        if self.failures and not force and monotonic() < self.retry_at:
            return
        sending = self.sending
        if not sending.acquire(timeout=-1 if deadline is None else max(0.0, deadline - monotonic())):
            return
        try:
            while self.waiting and (deadline is None or monotonic() < deadline):
                if not self.send_one(process, deadline):
                    return
        finally:
            sending.release()

    def send_one(self, process: Process, deadline: Optional[float]) -> bool:
        """Send the oldest batch; whether to go on with the next one."""
        left = None if deadline is None else max(0.001, deadline - monotonic())
        with self.guard:
            batch = self.take()
        try:
            self.exporter.export(batch, process, left)
        except ExportError as error:
            with self.guard:
                return self.failed(error, batch)
        except Exception as error:  # a defect of ours or of a user's exporter: never again with this batch
            with self.guard:
                self.errors += 1
                self.drop(batch, "error")
            _log.once(("export", self.exporter.name, type(error)), _log.ERROR, "%s: %r", self.exporter.name, error)
            return True
        with self.guard:
            self.sent_spans += batch.span_count
            self.sent_traces += len(batch)
        self.recovered()
        return True

    def failed(self, error: ExportError, batch: Batch) -> bool:
        """Deal with a batch that did not arrive; whether to go on with the next one."""
        self.errors += 1
        if error.split and len(batch) > 1:
            self.put_back(batch.halves())
            return True
        if not error.retry:
            self.drop(batch, error.reason)
            message = "%s; spans are dropped"
            _log.once(("rejected", self.exporter.name, error.reason), _log.WARNING, message, error)
            self.recovered()
            return True
        self.put_back([batch])
        self.make_room()
        self.failures += 1
        pause = min(MAX_BACKOFF, FIRST_BACKOFF * 2 ** min(self.failures - 1, 10)) * random.uniform(0.5, 1.0)
        if error.retry_after is not None:
            pause = max(pause, min(error.retry_after, 10 * MAX_BACKOFF))
        self.retry_at = monotonic() + pause
        if self.failures == 1:
            _log_.info("%s; spans are kept in memory for a while, then dropped, until it answers", error)
        return False

    def recovered(self) -> None:
        """The destination answers."""
        if self.failures:
            _log_.info("%s answers again; %d spans were dropped", self.exporter.name, sum(self.dropped_spans.values()))
        self.failures = 0

    def forget(self) -> None:
        """Begin anew in a forked child."""
        self.guard = threading.RLock()
        self.sending = threading.Lock()
        self.waiting.clear()
        self.bytes = 0
        self.failures = 0
        self.retry_at = 0.0
        self.sent_spans = self.sent_traces = self.errors = 0
        self.dropped_spans = {}
        self.dropped_traces = {}
        self.exporter.close()


class Writer:
    """Moves chunks from a buffer to the exporters.

    Args:
        exporters: the destinations; each is given everything.
        buffer: where the tracer puts finished chunks.
        process: what the payloads say of this process; a forked child says it of itself.
        interval: seconds between two flushes. Default 1.
        max_bytes: what may wait for a destination that is down, in (estimated) bytes. Default 8 MB.
        payload_limit: largest payload, in (estimated) bytes. Default 8 MB, where Agents take 25 MB.
    """

    def __init__(
        self,
        exporters: Iterable[Exporter],
        buffer: Buffer,
        process: Process,
        *,
        interval: float = 1.0,
        max_bytes: int = 8000000,
        payload_limit: int = 8000000,
    ) -> None:
        self.buffer = buffer
        self.process = process
        self.interval = interval
        self.payload_limit = min(payload_limit, max_bytes)
        self._lanes = [_Lane(exporter, max_bytes) for exporter in exporters]
        self._closed = False
        self._begin()
        buffer.on_first = self._on_first
        buffer.on_half_full = self._on_half_full
        _writers.add(self)
        buffer.asleep = not buffer.pending_spans
        if buffer.pending_spans:
            self._on_first()

    @property
    def exporters(self) -> List[Exporter]:
        """The destinations."""
        return [lane.exporter for lane in self._lanes]

    def _begin(self) -> None:
        """What a process has of its own."""
        self._swapping = threading.RLock()
        # Its put() may be called in a signal handler or a __del__ that interrupts another put().
        self._wake: SimpleQueue[bool] = SimpleQueue()
        self._woken = False
        self._thread: Optional[threading.Thread] = None
        self._pid = os.getpid()

    # -- called by the traced program -----------------------------------------------------------------------------

    def _on_first(self) -> None:
        if self._closed:
            return
        try:
            thread = self._thread
            if thread is None or not thread.is_alive():
                self._thread = thread = threading.Thread(target=self._run, args=(self._wake,), name="gossamer-writer")
                thread.daemon = True
                thread.start()
            else:
                self._wake.put(False)
        except RuntimeError:  # the interpreter is ending, or has no threads left: flush() is what remains
            self._thread = None

    def _on_half_full(self) -> None:
        if not self._woken:
            self._woken = True
            self._wake.put(True)

    # -- the thread -----------------------------------------------------------------------------------------------

    def _run(self, wake: SimpleQueue[bool]) -> None:
        idle_since = monotonic()
        while not self._closed and wake is self._wake:
            self._pause(wake, self.interval)
            self._woken = False
            if self._closed:
                return
            if wake is not self._wake:  # a fork is coming: what is finished would have to wait for the next chunk
                if self.buffer.pending_spans:
                    # The fork does not wait for long, and a request that was begun has its time: what was given up
                    # halfway would be sent again.
                    self._flush(None, False)
                return
            try:
                busy = self._flush(None, False)
            except Exception as error:
                busy = True
                _log.once(("writer", type(error)), _log.ERROR, "the writer failed: %r", error)
            now = monotonic()
            if busy:
                idle_since = now
            elif now - idle_since > IDLE_SECONDS:
                # Nothing to do: sleep until a chunk arrives. One that came while we decided is seen by the test.
                self.buffer.asleep = True
                if not self.buffer.pending_spans:
                    self._pause(wake, None)
                idle_since = monotonic()

    @staticmethod
    def _pause(wake: SimpleQueue[bool], seconds: Optional[float]) -> None:
        """Sleep; a True in the queue cuts it short, and without a time anything does."""
        deadline = None if seconds is None else monotonic() + seconds
        try:
            while True:
                early = wake.get(timeout=None if deadline is None else max(0.0, deadline - monotonic()))
                if early or deadline is None:
                    return
        except Empty:
            pass

    def _flush(self, deadline: Optional[float], force: bool) -> bool:
        """Swap the buffer and let each destination have it; whether there was anything."""
        with self._swapping:
            batch = self.buffer.swap()
            if batch is not None:
                for part in batch.split(self.payload_limit):
                    for lane in self._lanes:
                        lane.add(part)
        busy = batch is not None
        # Those that work come first: one that hangs takes no time from them.
        lanes = sorted(self._lanes, key=lambda lane: lane.failures)
        for place, lane in enumerate(lanes):
            busy = busy or bool(lane.waiting)
            until = deadline
            if deadline is not None:
                now = monotonic()
                until = now + (deadline - now) / (len(lanes) - place)
            lane.send(self.process, until, force)
        return busy

    # -- by hand --------------------------------------------------------------------------------------------------

    def flush(self, timeout: float = 5.0) -> bool:
        """Send what is finished, now, from this thread.

        Returns:
            Whether every destination took it within `timeout` seconds.
        """
        try:
            self._flush(monotonic() + timeout, True)
        except Exception as error:
            _log.once(("writer", type(error)), _log.ERROR, "the writer failed: %r", error)
            return False
        return not any(lane.waiting or lane.sending.locked() for lane in self._lanes)

    def shutdown(self, timeout: float = 1.0) -> bool:
        """Flush and stop for good; a second call does nothing. Whether everything arrived in time."""
        if self._closed:
            return True
        done = self.flush(timeout)
        self._closed = True
        self._wake.put(True)
        self.buffer.on_first = self.buffer.on_half_full = None
        for lane in self._lanes:
            with lane.guard:
                while lane.waiting:
                    lane.drop(lane.take(), "shutdown")
            if lane.sending.acquire(False):  # else the thread is in the middle of a request, and ends with it
                try:
                    lane.exporter.close()
                finally:
                    lane.sending.release()
        return done

    def stats(self) -> Dict[str, Any]:
        """Counters: what was sent, what was dropped and why, for all destinations together and for each.

        The reasons: "buffer" (the program was faster than the writer), "no_room" (a destination was down for long),
        "shutdown", and what a destination answered ("status_400").
        """
        found: Dict[str, Any] = {"sent_spans": 0, "sent_traces": 0, "errors": 0, "waiting_bytes": 0}
        dropped_spans = {"buffer": self.buffer.dropped_spans} if self.buffer.dropped_spans else {}
        dropped_traces = {"buffer": self.buffer.dropped_traces} if self.buffer.dropped_traces else {}
        for lane in self._lanes:
            found["sent_spans"] += lane.sent_spans
            found["sent_traces"] += lane.sent_traces
            found["errors"] += lane.errors
            found["waiting_bytes"] += lane.bytes
            for total, part in ((dropped_spans, lane.dropped_spans), (dropped_traces, lane.dropped_traces)):
                for reason, count in list(part.items()):
                    total[reason] = total.get(reason, 0) + count
        found["dropped_spans"], found["dropped_traces"] = dropped_spans, dropped_traces
        return found

    # -- fork -----------------------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """End the thread, if it only waits."""
        thread = self._thread
        if thread is None or not thread.is_alive() or thread is threading.current_thread():
            return
        if any(lane.sending.locked() for lane in self._lanes) or _green():
            return
        old, self._wake = self._wake, SimpleQueue()
        self._thread = None
        count = _system_threads()
        old.put(True)
        thread.join(FORK_SECONDS)
        # Before CPython 3.13 that returns while the system's thread is still ending, which may load a library: the
        # dynamic linker of a child that is forked just then is broken.
        if sys.version_info < (3, 13) and not thread.is_alive():
            deadline = monotonic() + FORK_SECONDS / 10
            while _system_threads() >= count > 0 and monotonic() < deadline:
                sleep(0.0002)

    def after_fork_in_parent(self) -> None:
        """Let the next chunk start the thread again: CPython counts the threads only after this."""
        if self._thread is None and not self._closed:
            self.buffer.asleep = True

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        if os.getpid() == self._pid:
            return
        self._begin()
        self.process = self.process.forked()
        self.buffer.clear()
        self.buffer.dropped_spans = self.buffer.dropped_traces = 0
        for lane in self._lanes:
            lane.forget()


def _system_threads() -> int:
    """How many threads this process has; 0 where the system does not say."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 0


def _green() -> bool:
    """Whether gevent has made threads into greenlets: no thread to end, and no good time to switch to another one."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def _each(method: str) -> None:
    for writer in list(_writers):
        try:
            getattr(writer, method)()
        except Exception:  # the fork goes on whatever is wrong with us
            pass


_fork.in_child(lambda: _each("after_fork"))
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=lambda: _each("before_fork"), after_in_parent=lambda: _each("after_fork_in_parent"))
