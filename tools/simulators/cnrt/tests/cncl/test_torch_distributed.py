"""torch.distributed on the simulated torch_mlu's process group, over the simulated CNCL."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

LIMITS = str(Path(__file__).parent / "torch_ranks" / "limits.py")


@pytest.mark.parametrize(
    ("count", "options"),
    [(2, {"strict": True}), (4, {"delay_us": 100})],
    ids=["2 ranks, strict", "4 ranks, delays"],
)
def test_every_operation(torch_ranks: Any, count: int, options: dict[str, Any]) -> None:
    results = torch_ranks("operations.py", count, **options)
    found = set.union(*(set(result.value) for result in results))
    assert len(found) > 25, sorted(found)


def test_training_equals_one_process(torch_ranks: Any) -> None:
    for result in torch_ranks("training.py", 2):
        assert result.value > 1.0, "the parameters must have moved"


REFUSALS = {
    "float64": "TypeError: all_reduce: the tensor is Double, and CNCL has",
    "float64 moved": "TypeError: broadcast: the tensor is Double, and CNCL has",
    "bits": "ValueError: all_reduce: CNCL reduces by sum, prod, min and max",
    "bool average": "TypeError: all_reduce: booleans have no average",
    "strided": "ValueError: all_reduce: expected a dense tensor",
    "sizes": "pieces of 4 elements, given a tensor of 3",
    "splits": "splits that sum to 4",
}


def test_limits(torch_ranks: Any) -> None:
    results = torch_ranks(LIMITS, 2)
    for result in results:
        for what, text in REFUSALS.items():
            assert text in result.value["refused"][what], (what, result.value["refused"][what])
    timed_out, aborted = results[0].value["given up"]
    assert "timed out: it did not end in 200 ms" in timed_out
    assert "was given up: it was aborted" in aborted
    assert "timed out: it did not end in 300 ms" in results[0].value["late"]


def test_mismatched_counts_raise_everywhere(torch_ranks: Any) -> None:
    for result in torch_ranks("failing.py", 2, "mismatch", check=False):
        assert "count is 4 on rank 0 and 8 on rank 1" in result.value, result.stderr


def test_a_dead_rank_raises_on_the_others(torch_ranks: Any) -> None:
    fault = "rank_dies,nth=3,rank=1"
    first, second = torch_ranks("failing.py", 2, "death", check=False, faults=[fault])
    assert second.returncode == -signal.SIGKILL
    assert "rank 1 died" in first.value, first.stderr


def test_another_vendors_name(musa_ranks: Any) -> None:
    for result in musa_ranks("failing.py", 2, "mismatch", check=False):
        assert "mccl: rank" in result.value, result.stderr
        assert "count is 4 on rank 0 and 8 on rank 1" in result.value
