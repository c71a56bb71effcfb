"""Every HCCL operation, every data type, against a computation that shares no code with libhccl."""

from __future__ import annotations

import math
from typing import Any

import pytest

WIDE = ["int32", "int64", "float32", "float64"]
NARROW = ["int8", "uint8", "int16", "uint16", "uint32", "uint64", "float16", "bfloat16"]


@pytest.mark.parametrize(("count", "types"), [(2, WIDE), (2, NARROW), (4, ["float32", "bfloat16"])])
def test_reductions(ranks: Any, count: int, types: list[str]) -> None:
    results = ranks("collectives.reductions", count, {"types": types, "sizes": [1, 37]})
    assert [result.value for result in results] == [len(types) * 4 * 2] * count


@pytest.mark.parametrize("count", [2, 3, 4])
def test_movements(ranks: Any, count: int) -> None:
    types = WIDE + NARROW if count == 2 else ["int8", "float32"]
    ranks("collectives.movements", count, {"types": types, "sizes": [1, 33]})


def test_random_delays_change_nothing(ranks: Any) -> None:
    """Two ranks whose streams are held back at random, each by its own amounts."""
    arguments = {"types": ["float32"], "sizes": [5]}
    ranks("collectives.movements", 3, arguments, delay_us=300)
    ranks("collectives.reductions", 3, arguments, delay_us=300)


def test_special_values(ranks: Any) -> None:
    for result in ranks("collectives.special_values", 2):
        sums, largest = result.value[:5], result.value[5:]
        assert all(math.isnan(value) for value in sums[:3])
        assert sums[3:] == [math.inf, 0.0]
        assert math.isnan(largest[0]) and math.isnan(largest[1])
        assert largest[2:4] == [math.inf, 60000.0]


def test_more_than_a_socket_holds(ranks: Any) -> None:
    ranks("collectives.large", 4, {"megabytes": 6})
