"""The page log: the bytes of payloads as they came, in pages of 64 KB.

A page is rewritten plain in each transaction while it is open, so that a killed process loses nothing that was
committed, and deflated once when it is full.
"""

import sqlite3
import threading
import time
import zlib
from collections import OrderedDict
from typing import Optional, Tuple

PAGE = 64 * 1024
PLAIN, DEFLATED = 0, 1
_LONGEST_OPEN = 3600.0  # seconds: age is known by page, so a page must not grow for days


class PageWriter:
    """Appends slices to the open page."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        row = connection.execute("select id, format, data, written from page order by id desc limit 1").fetchone()
        self._id = 1
        self._open = bytearray()
        self._began = self._last = 0.0
        self._dirty = False
        if row:
            self._began = self._last = row[3] / 1e6
            self._id = row[0] if row[1] == PLAIN else row[0] + 1
            self._open = bytearray(row[2]) if row[1] == PLAIN else bytearray()

    @property
    def current(self) -> int:
        """Number of the open page."""
        return self._id

    def append(self, data: bytes) -> Tuple[int, int]:
        """Keep the bytes; answers page and offset."""
        now = time.time()
        if self._open and (len(self._open) + len(data) > PAGE or now > self._began + _LONGEST_OPEN):
            raw = bytes(self._open)
            self._store(DEFLATED, len(raw), zlib.compress(raw, 1))
            self._id += 1
            self._open = bytearray()
        at = len(self._open)
        self._last = now
        if not at:
            self._began = now
        self._open += data
        self._dirty = True
        return self._id, at

    def sync(self) -> None:
        """Write the open page into the transaction."""
        if self._dirty:
            self._store(PLAIN, len(self._open), bytes(self._open))
            self._dirty = False

    def _store(self, format: int, raw: int, data: bytes) -> None:
        self._connection.execute(
            "insert or replace into page (id, format, raw, written, data) values (?, ?, ?, ?, ?)",
            (self._id, format, raw, int(self._last * 1e6), data),
        )


class PageCache:
    """Pages that were read lately, for a search opens the same ones again and again."""

    def __init__(self, pages: int = 32) -> None:
        self._pages: OrderedDict[int, bytes] = OrderedDict()
        self._most = pages
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget everything, for numbers may be used again."""
        with self._lock:
            self._pages.clear()

    def slice(self, connection: sqlite3.Connection, page: int, at: int, length: int) -> Optional[bytes]:
        """Bytes of a page; ``None`` if it is gone."""
        with self._lock:
            data = self._pages.get(page)
            if data is not None:
                self._pages.move_to_end(page)
        if data is None:
            row = connection.execute("select format, raw, data from page where id = ?", (page,)).fetchone()
            if row is None:
                return None
            if row[0] == PLAIN:  # grows still: not for the cache
                return bytes(row[2][at : at + length])
            data = zlib.decompressobj().decompress(row[2], row[1])
            if len(data) <= 4 * PAGE:
                with self._lock:
                    self._pages[page] = data
                    while len(self._pages) > self._most:
                        self._pages.popitem(last=False)
        return data[at : at + length]
