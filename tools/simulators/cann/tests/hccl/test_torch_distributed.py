"""torch.distributed on the real torch_npu wheel's ProcessGroupHCCL, over the simulated HCCL."""

from __future__ import annotations

import signal
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("count", "options"),
    [(2, {"strict": True}), (4, {"delay_us": 100})],
    ids=["2 ranks, strict", "4 ranks, delays"],
)
def test_every_operation(torch_ranks: Any, count: int, options: dict[str, Any]) -> None:
    results = torch_ranks("operations.py", count, **options)
    found = set.union(*(set(result.value) for result in results))
    assert len(found) > 25, sorted(found)


@pytest.mark.parametrize("count", [2, 4])
def test_training_equals_one_process(torch_ranks: Any, count: int) -> None:
    for result in torch_ranks("training.py", count):
        assert result.value > 1.0, "the parameters must have moved"


def test_mismatched_counts_raise_everywhere(torch_ranks: Any) -> None:
    for result in torch_ranks("failing.py", 2, "mismatch", check=False):
        assert "count is 4 on rank 0 and 8 on rank 1" in result.value, result.stderr


def test_a_dead_rank_raises_on_the_others(torch_ranks: Any) -> None:
    fault = "rank_dies,nth=3,rank=1"
    first, second = torch_ranks("failing.py", 2, "death", check=False, faults=[fault])
    assert second.returncode == -signal.SIGKILL
    assert "rank 1 died" in first.value, first.stderr


def test_two_sends_that_face_each_other_time_out(torch_ranks: Any) -> None:
    variables = {"HCCL_EXEC_TIMEOUT": "3"}
    for result in torch_ranks("failing.py", 2, "deadlock", check=False, variables=variables):
        assert "waits in a send to this one" in result.value, result.stderr
