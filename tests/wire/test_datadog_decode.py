"""What the decoder of v0.5 makes of payloads that no tracer of ours would send."""

from __future__ import annotations

from typing import Any, Dict

import msgpack
import pytest

from gossamer._wire.datadog_decode import Decoder
from gossamer._wire.decoded import Payload
from gossamer._wire.msgpack import Malformed


def decode(meta: Dict[Any, Any], metrics: Dict[Any, Any]) -> Payload:
    span = [0, 1, 1, 5, 6, 0, 10**18, 10**6, 0, meta, metrics, 0]
    return Decoder().v05(msgpack.packb([["", "a", "b"], [[span]]]))


def test_strings_by_their_numbers() -> None:
    (chunk,) = decode({1: 2}, {2: 1, 1: 1.0}).chunks
    assert chunk.spans[0][6] == [("a", "b"), ("b", 1), ("a", 1.0)]


@pytest.mark.parametrize(
    "meta, metrics",
    [
        ({1.5: 2}, {}),
        ({1: 2.5}, {}),
        ({}, {1.5: 1}),
        ({}, {1.0: 5}),
        ({1.0: 2}, {}),
        ({1: 2.0}, {}),
        ({3: 1}, {}),
        ({1: 3}, {}),
        ({-1: 1}, {}),
        ({}, {-1: 1}),
    ],
)
def test_strings_by_what_is_no_number_of_one(meta: Dict[Any, Any], metrics: Dict[Any, Any]) -> None:
    with pytest.raises(Malformed):
        decode(meta, metrics)


def test_a_float_that_equals_a_known_number_of_a_string() -> None:
    def span(meta: Dict[Any, Any]) -> Any:
        return [0, 1, 1, 5, 6, 0, 10**18, 10**6, 0, meta, {}, 0]

    with pytest.raises(Malformed):
        Decoder().v05(msgpack.packb([["", "a", "b"], [[span({1: 2}), span({1.0: 2})]]]))
