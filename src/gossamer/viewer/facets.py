"""Counts beside the list: what there is to choose from."""

import sqlite3
import time
from collections import Counter
from typing import Any, Dict, Iterable, List, Tuple

from gossamer.viewer import details
from gossamer.viewer.plan import Plan
from gossamer.viewer.reading import UNKNOWN
from gossamer.viewer.search import ALWAYS, TIME, Scan, Search, first_chunk, time_range
from gossamer.viewer.status import now
from gossamer.viewer.store import Store

_SPANS = 20000  # newest spans that are counted
_SAMPLED = 100  # chunks opened for attributes
_TOP = 20
_BUCKETS = 60
_NICE = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400)


class Facets:
    """Answers ``/api/facets``."""

    def __init__(self, store: Store, search: Search) -> None:
        self._store = store
        self._search = search

    def answer(self, parameters: Dict[str, str]) -> Dict[str, Any]:
        """Counts of the newest spans that match."""
        began = time.perf_counter()
        times = time_range(parameters)
        with self._store.database.read() as connection:
            plan = self._search.prepare(connection, parameters.get("q") or "")
            if plan is None:
                counts, chunks, partial = self._newest(connection, times)
                timeline = _timeline(connection, times, None)
            else:
                counts, chunks, partial = self._matching(connection, plan, times, began)
                timeline = _timeline(connection, times, chunks)
            envs, keys = self._sample(connection, chunks[:_SAMPLED], began + 2 * TIME)
        answer = self._grouped(counts)
        answer.update(
            envs=_top(envs),
            keys=[key for key, _ in keys.most_common(100)],
            timeline=timeline,
            counted=sum(counts.values()),
            partial=partial,
            took=round((time.perf_counter() - began) * 1000, 3),
        )
        return answer

    def _newest(
        self, connection: sqlite3.Connection, times: Tuple[int, int]
    ) -> Tuple["Counter[Tuple[int, int]]", List[int], bool]:
        bottom = first_chunk(connection, times[0])
        limited = "" if times == ALWAYS else " and start between {} and {}".format(*times)
        rows = connection.execute(
            "select chunk, op, err from span where chunk > ?{} order by chunk desc, n desc limit ?".format(limited),
            (bottom, _SPANS),
        ).fetchall()
        chunks = list(dict.fromkeys([row[0] for row in rows]))
        return Counter([(row[1], row[2]) for row in rows]), chunks, len(rows) == _SPANS

    def _matching(
        self, connection: sqlite3.Connection, plan: Plan, times: Tuple[int, int], began: float
    ) -> Tuple["Counter[Tuple[int, int]]", List[int], bool]:
        scan = Scan(self._store, connection, plan, began + TIME)
        top = connection.execute("select coalesce(max(id), 0) from chunk").fetchone()[0]
        counts: Counter[Tuple[int, int]] = Counter()
        chunks: List[int] = []
        total = 0
        for match in scan.run(top, first_chunk(connection, times[0])):
            counts.update([(op, error) for _, op, error in match.spans])
            chunks.append(match.chunk)
            total += len(match.spans)
            if total >= _SPANS:
                break
        connection.set_progress_handler(None, 0)
        return counts, chunks, not scan.finished

    def _grouped(self, counts: "Counter[Tuple[int, int]]") -> Dict[str, Any]:
        operations = self._store.operations
        groups: Dict[str, Counter[str]] = {
            name: Counter() for name in ("services", "names", "resources", "types", "kinds", "statuses")
        }
        for (number, error), count in counts.items():
            op = operations.get(number, UNKNOWN)
            for name, index in (("services", 0), ("names", 1), ("resources", 2), ("types", 3), ("kinds", 4)):
                if op[index]:
                    groups[name][op[index]] += count
            groups["statuses"]["error" if error else "ok"] += count
        return {name: _top(group) for name, group in groups.items()}

    def _sample(
        self, connection: sqlite3.Connection, chunks: Iterable[int], deadline: float
    ) -> Tuple["Counter[str]", "Counter[str]"]:
        # The environment and the keys are not in the rows: the first span of each of the newest chunks tells.
        envs: Counter[str] = Counter()
        keys: Counter[str] = Counter()
        for chunk in chunks:
            for span in details.spans_of(self._store, connection, chunk, (0).__eq__).values():
                attributes = details.searchable(span)
                keys.update([key for key in attributes if not key.startswith("_")])
                env = (
                    attributes.get("env")
                    or attributes.get("deployment.environment.name")
                    or attributes.get("deployment.environment")
                )
                if isinstance(env, str):
                    envs[env] += 1
            if time.perf_counter() > deadline:
                break
        return envs, keys


def _top(counts: "Counter[str]") -> List[Dict[str, Any]]:
    return [{"value": value, "count": count} for value, count in counts.most_common(_TOP)]


def _timeline(connection: sqlite3.Connection, times: Tuple[int, int], chunks: Any) -> Dict[str, Any]:
    some = (
        ""
        if chunks is None
        else " and id in (select trace from chunk where id in ({}))".format(",".join(map(str, chunks)))
    )
    span = connection.execute(
        "select min(start), max(start) from trace where start between ? and ?" + some, times
    ).fetchone()
    if span[0] is None:
        return {"from": now(), "step": 1000000, "hits": [], "errors": []}
    step = next((nice for nice in _NICE if nice * _BUCKETS * 1e6 > span[1] - span[0]), 0) * 1000000
    step = step or ((span[1] - span[0]) // _BUCKETS // 86400000000 + 1) * 86400000000
    first = span[0] // step * step
    size = (span[1] - first) // step + 1
    hits, errors = [0] * size, [0] * size
    for bucket, count, failed in connection.execute(
        "select (start - ?) / ?, count(*), sum(errors > 0) from trace where start between ? and ?{} group by 1".format(
            some
        ),
        (first, step) + times,
    ):
        hits[bucket], errors[bucket] = count, failed
    return {"from": first, "step": step, "hits": hits, "errors": errors}
