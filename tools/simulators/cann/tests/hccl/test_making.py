"""The ways to make a communicator, what it tells of itself, and what is left of it."""

from __future__ import annotations

from typing import Any

import pytest


def test_sub_communicators(ranks: Any) -> None:
    results = ranks("making.sub_communicators", 4)
    for rank, result in enumerate(results):
        pair = 101 if rank % 2 == 0 else 1010
        assert result.value == [pair, pair, f"sub-{5 + rank % 2}", 3 - rank, 4, 0, None]


def test_by_a_rank_table(ranks: Any) -> None:
    assert [result.value for result in ranks("making.rank_table", 3)] == [[6, 6]] * 3


def test_ranks_that_are_threads(ranks: Any) -> None:
    (result,) = ranks("making.threads_of_one_process", 1, {"ranks": 3}, devices=3)
    assert result.value == [6, 6, 6]


def test_nothing_is_left_behind(ranks: Any) -> None:
    for result in ranks("making.leaves_nothing", 3):
        files_before, files, threads_before, threads, addresses = result.value
        assert files == files_before
        assert threads == threads_before
        assert addresses == 0


@pytest.mark.parametrize(("cann", "capability"), [("8.0", 5), ("8.3", 9), ("8.5", 12)])
def test_an_older_release_understands_less(ranks: Any, cann: str, capability: int) -> None:
    (result,) = ranks("making.capability", 1, cann=cann)
    assert result.value == capability


def test_names_settings_and_registered_memory(ranks: Any) -> None:
    for result in ranks("making.settings", 2):
        found = result.value
        assert found["name"] == "my communicator"
        assert found["set"] == 0 and found["get"] == [0, 1] and found["unknown"] == 1
        assert found["ranges"] == [0, 0, 1, 0, 6, 0, 6]
        assert found["windows"] == [0, 0, 0, 6]
        assert found["not here"]
        assert found["suspended"] == [22, 22]
        assert found["resumed"] == 0 and found["works"] == 2
