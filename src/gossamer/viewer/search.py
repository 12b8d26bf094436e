"""Executing a search."""

import time
from typing import Any, Dict, List

from gossamer.viewer.reading import COLUMNS, list_row
from gossamer.viewer.store import Store


class QueryError(ValueError):
    """A query that cannot be understood; ``at`` is the column."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.message = message
        self.at = at


class Search:
    def __init__(self, store: Store) -> None:
        self._store = store

    def traces(self, parameters: Dict[str, str]) -> Dict[str, Any]:
        began = time.perf_counter()
        limit = max(1, min(200, int(parameters.get("limit") or 50)))
        cursor = parameters.get("cursor") or ""
        with self._store.database.read() as connection:
            rows = connection.execute(
                "select {} from trace where id < ? order by id desc limit ?".format(COLUMNS), (int(cursor[1:]) if cursor else 1 << 62, limit + 1)
            ).fetchall()
        more = len(rows) > limit
        rows = rows[:limit]
        return {
            "rows": [list_row(row, self._store.operations) for row in rows], "next": "t{}".format(rows[-1][0]) if more else None,
            "searched_to": None, "partial": False, "took": (time.perf_counter() - began) * 1000, "scanned": None,
        }

    def facets(self, parameters: Dict[str, str]) -> Dict[str, Any]:
        empty: List[Any] = []
        return {"services": empty, "types": empty, "statuses": empty, "envs": empty, "kinds": empty, "names": empty, "resources": empty, "keys": empty,
                "timeline": {"from": 0, "step": 1, "hits": empty, "errors": empty}, "counted": 0, "partial": False, "took": 0.0}
