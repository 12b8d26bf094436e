"""Sends requests at a fixed rate, and tells how long each took from the moment it was due.

    load.py PORT PATH RATE SECONDS

A server that falls behind is not asked less: what waits counts. Prints JSON: sent, failed, p50 and p99 in milliseconds.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from typing import List

THREADS = 8


def ask(port: int, request: bytes) -> bool:
    """One request on a connection of its own, as a synchronous worker has it."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request)
        answer = b""
        while True:
            data = connection.recv(65536)
            if not data:
                return answer.startswith(b"HTTP/1.1 200")
            answer += data


def percentile(values: List[float], share: float) -> float:
    """The value below which so much of all lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main() -> None:
    """Send, wait for the last answer, print."""
    port, path, rate, seconds = int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    request = ("GET %s HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: load\r\nConnection: close\r\n\r\n" % path).encode()
    total, taken, lock = int(rate * seconds), [0], threading.Lock()
    times: List[float] = []
    failed: List[str] = []
    start = time.perf_counter() + 0.05

    def send() -> None:
        while True:
            with lock:
                number = taken[0]
                taken[0] += 1
            if number >= total:
                return
            due = start + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            try:
                if not ask(port, request):
                    failed.append("status")
            except OSError as error:
                failed.append(str(error))
            times.append((time.perf_counter() - due) * 1e3)

    threads = [threading.Thread(target=send) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - start
    print(json.dumps({
        "sent": total, "failed": len(failed), "first": failed[:1], "p50": percentile(times, 0.5),
        "p99": percentile(times, 0.99), "rate": total / took,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
