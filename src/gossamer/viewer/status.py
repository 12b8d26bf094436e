"""What the viewer counts: received, refused and why, clients, notes for the page."""

import threading
import time
from collections import deque
from typing import Any, Deque, Dict, List, Tuple

_MOST_CLIENTS = 50
_MOST_REASONS = 30
_MOST_NOTES = 20
_WINDOW = 10  # seconds over which the rate is taken


def now() -> int:
    """Microseconds since the epoch."""
    return int(time.time() * 1e6)


class Counters:
    """Counts, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received: Dict[str, Dict[str, int]] = {}
        self._refused: Dict[str, Dict[str, int]] = {}
        self._clients: Dict[Tuple[str, str, str], Dict[str, Any]] = {}
        self._notes: Dict[str, Dict[str, Any]] = {}
        self._recent: Deque[Tuple[int, int, int]] = deque()  # second, spans, requests
        self.started = now()
        self.last = 0

    def received(self, protocol: str, spans: int, size: int, client: Tuple[str, str, str]) -> None:
        """Count an accepted payload and its client: language, tracer's version, user agent."""
        second = int(time.monotonic())
        with self._lock:
            self.last = now()
            counts = self._received.setdefault(protocol, {"requests": 0, "spans": 0, "bytes": 0})
            counts["requests"] += 1
            counts["spans"] += spans
            counts["bytes"] += size
            if self._recent and self._recent[-1][0] == second:
                _, before, requests = self._recent.pop()
                self._recent.append((second, before + spans, requests + 1))
            else:
                self._recent.append((second, spans, 1))
            while len(self._recent) > _WINDOW + 1:
                self._recent.popleft()
            entry = self._clients.get(client)
            if entry is None:
                if len(self._clients) >= _MOST_CLIENTS:
                    del self._clients[min(self._clients, key=lambda key: self._clients[key]["seen"])]
                entry = self._clients[client] = {
                    "language": client[0],
                    "version": client[1],
                    "agent": client[2],
                    "spans": 0,
                    "seen": 0,
                }
            entry["spans"] += spans
            entry["seen"] = self.last

    def refused(self, protocol: str, reason: str, count: int = 1) -> None:
        """Count what was not accepted: a request, or spans of one."""
        with self._lock:
            reasons = self._refused.setdefault(protocol, {})
            if reason not in reasons and len(reasons) >= _MOST_REASONS:
                reason = "other reasons"
            reasons[reason[:200]] = reasons.get(reason[:200], 0) + count

    def note(self, text: str) -> None:
        """Something the user should know."""
        with self._lock:
            entry = self._notes.get(text)
            if entry is None:
                if len(self._notes) >= _MOST_NOTES:
                    return
                entry = self._notes[text] = {"text": text, "count": 0}
            entry["count"] += 1
            entry["seen"] = now()

    def rate(self) -> Dict[str, float]:
        """Spans and requests a second, of late."""
        first = int(time.monotonic()) - _WINDOW
        with self._lock:
            recent = [entry for entry in self._recent if entry[0] >= first]
        return {
            "spans": sum(entry[1] for entry in recent) / _WINDOW,
            "requests": sum(entry[2] for entry in recent) / _WINDOW,
        }

    def report(self) -> Dict[str, Any]:
        """Everything, for the status page."""
        rate = self.rate()
        with self._lock:
            clients: List[Dict[str, Any]] = sorted(
                (dict(entry) for entry in self._clients.values()), key=lambda entry: -int(entry["seen"])
            )
            return {
                "rate": rate,
                "received": {name: dict(counts) for name, counts in self._received.items()},
                "refused": {name: dict(reasons) for name, reasons in self._refused.items()},
                "clients": clients,
                "notes": [dict(entry) for entry in self._notes.values()],
                "started": self.started,
                "last": self.last or None,
            }
