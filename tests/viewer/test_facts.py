"""Facts added up as spans come: against the spans themselves."""

from __future__ import annotations

import random
from typing import Any

import pytest

from gossamer.viewer import Viewer
from gossamer.viewer.facts import bucket, innermost, middle, pack_sketch, percentile, struck, unpack_sketch
from tests.viewer.helpers import Client, child, span
from tests.viewer.test_store import until

START = 1_790_000_000_000_000_000


def test_buckets_are_contiguous_and_close() -> None:
    last = -1
    for duration in list(range(5000)) + [random.randrange(1 << 45) for _ in range(2000)] + [(1 << 53) - 1]:
        number = bucket(duration)
        assert abs(middle(number) - duration) <= max(0.5, duration * 0.017), duration
        if duration < 5000:
            assert number in (last, last + 1)
            last = number
    buckets = {3: 5, bucket(1 << 50): 1}
    assert unpack_sketch(pack_sketch(buckets)) == buckets


def test_percentiles_are_close_to_exact() -> None:
    pick = random.Random(3)
    values = sorted(int(pick.lognormvariate(8, 1.5)) for _ in range(5000))
    buckets: dict[int, int] = {}
    for value in values:
        buckets[bucket(value)] = buckets.get(bucket(value), 0) + 1
    for share in (0.5, 0.95, 0.99):
        assert percentile(buckets, share) == pytest.approx(values[int(len(values) * share)], rel=0.03)


def test_messages_and_frames() -> None:
    assert struck("user 17 at 0x7f33 took 1.5 s") == "user # at # took # s"
    stack = (
        'Traceback\n  File "/a.py", line 1, in main\n    x()\n  File "/b.py", line 22, in x\n    raise\nValueError: y'
    )
    assert innermost(stack) == "/b.py in x" and innermost("nothing") == ""


def rows(viewer: Viewer, statement: str) -> list[tuple[Any, ...]]:
    with viewer.store.database.read() as connection:
        return connection.execute(statement).fetchall()


def test_statistics_by_operation_and_minute(client: Client) -> None:
    for _ in range(3):
        client.send(
            [
                [span(start=START, duration=index * 1_000_000, error=index % 2) for _ in range(1)]
                for index in range(1, 11)
            ]
        )
    client.send([[span(start=START + 61 * 10**9)]])
    until(lambda: rows(client.viewer, "select sum(hits) from stat") == [(31,)])
    first, second = rows(client.viewer, "select minute, hits, errors, total, sketch from stat order by minute")
    assert first[1:4] == (30, 15, 3 * 55000) and second[0] == first[0] + 1 and second[1] == 1
    assert sum(unpack_sketch(first[4]).values()) == 30
    assert percentile(unpack_sketch(first[4]), 0.5) == pytest.approx(5000, rel=0.03)


@pytest.mark.parametrize("order", ["together", "parent first", "child first", "one request"])
def test_calls_between_services(client: Client, order: str) -> None:
    root = span(start=START, service="front")
    same = child(root, start=START, service="front", name="view")
    call = child(same, start=START, service="back", error=1, duration=2_000_000)
    groups = {
        "together": [[[root, same, call]]],
        "parent first": [[[root, same]], [[call]]],
        "child first": [[[call]], [[root, same]]],
        "one request": [[[call], [root, same]]],
    }
    for group in groups[order]:
        client.send(group)
    until(lambda: rows(client.viewer, "select count(*) from edge") == [(1,)])
    assert rows(client.viewer, "select src, dst, hits, errors, total from edge") == [("front", "back", 1, 1, 2000)]


def test_problems_fall_together(client: Client) -> None:
    for index in range(3):
        client.send(
            [
                [
                    span(
                        start=START + index * 10**9,
                        error=1,
                        meta={"error.type": "KeyError", "error.message": f"no user {index}"},
                    )
                ]
            ]
        )
    client.send(
        [[span(start=START, error=1, service="other", meta={"error.type": "KeyError", "error.message": "no user 1"})]]
    )
    until(lambda: rows(client.viewer, "select sum(hits) from problem") == [(4,)])
    found = rows(
        client.viewer,
        "select service, type, message, hits, (last - first) / 1000000, chunk, n from problem order by service desc",
    )
    assert [row[:5] for row in found] == [
        ("shop", "KeyError", "no user #", 3, 2),
        ("other", "KeyError", "no user #", 1, 0),
    ]
    assert client.get("/api/spans/{}/{}".format(*found[0][5:]))["attributes"]["error.message"].startswith("no user")


def test_facts_are_written_when_the_viewer_stops(tmp_path: Any) -> None:
    with Viewer(port=0, data_dir=str(tmp_path)) as viewer:
        for _ in range(3):
            Client(viewer).send([[span()]])
    with Viewer(port=0, data_dir=str(tmp_path)) as viewer:
        assert rows(viewer, "select sum(hits) from stat") == [(3,)]
