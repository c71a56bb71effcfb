"""Every CNCL operation and data type, against a computation that shares no code with libcncl."""

from __future__ import annotations

from typing import Any

import pytest

WIDE = ["int32", "int64", "float32", "uint32", "uint64"]
NARROW = ["int8", "uint8", "int16", "uint16", "float16", "bfloat16"]


@pytest.mark.parametrize(("count", "types"), [(2, WIDE), (2, NARROW), (4, ["float32", "bfloat16"])])
def test_reductions(ranks: Any, count: int, types: list[str]) -> None:
    results = ranks("operations.reductions", count, {"types": types, "sizes": [1, 37]})
    assert [result.value for result in results] == [len(types) * 2 * 4 * 4] * count


@pytest.mark.parametrize(("count", "types"), [(2, WIDE + NARROW), (4, ["int16", "float32"])])
def test_movements(ranks: Any, count: int, types: list[str]) -> None:
    results = ranks("operations.movements", count, {"types": types, "sizes": [1, 23]}, strict=True)
    assert [result.value for result in results] == [len(types) * 2 * (4 + count)] * count


def test_delays_change_no_result(ranks: Any) -> None:
    ranks("operations.reductions", 2, {"types": ["int32"], "sizes": [5]}, delay_us=2000, seed=3)


def test_ranks_of_one_process(ranks: Any) -> None:
    """Six ranks on four devices, as CNCL allows: the identifier is not needed."""
    (result,) = ranks("operations.one_process", 1, {"devices": 6}, devices=4)
    order = [2, 0, 1, 3, 4, 5]
    assert result.value == [[75, 6, rank, rank % 4] for rank in order]


def test_several_ranks_in_each_of_several_processes(ranks: Any) -> None:
    first, second = ranks("operations.two_each", 2, devices=4)
    assert first.value == [[46, 4, 0, 0], [46, 4, 1, 1]]
    assert second.value == [[46, 4, 2, 2], [46, 4, 3, 3]]
