"""Ranks of level 3: a hang is found and shown, a death is told, and the next case has new ranks."""

from __future__ import annotations

import os
import time

import pytest
import torch.distributed as dist

from accel_conformance.rank_programs import PROGRAMS
from accel_conformance.ranks import Ranks, RankSet
from accel_conformance.running import RunOptions

pytestmark = pytest.mark.skipif(
    not dist.is_gloo_available(), reason="missing: torch.distributed with gloo"
)

OPTIONS = RunOptions(backend="cpu-reference", device=None, seed=3, quick=False, patience=1.0)


def _gone(pid: int) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_a_set_serves_many_cases_and_ends() -> None:
    ranks = RankSet(OPTIONS, 2)
    pids = [r.pid for r in ranks._ranks]
    for _ in range(3):
        assert ranks.run("all_reduce", {"dtype": "float32", "op": "sum"}, 1, 60.0)
    ranks.close()
    assert all(_gone(pid) for pid in pids)


def test_a_hanging_rank_is_shown_with_its_stack() -> None:
    """A program of two ranks of which one never calls: nobody's own limit ends it in time."""
    ranks = RankSet(OPTIONS, 2)
    pids = [r.pid for r in ranks._ranks]
    try:
        assert ranks.run("barrier", {}, 1, 60.0)
        ranks._ranks[1].connection.send(None)  # rank 1 leaves, politely, and is not replaced
        with pytest.raises(AssertionError) as caught:
            # Long enough that a busy machine gets there.
            ranks.run("wait_for_nobody", {}, 1, 10.0)
    finally:
        ranks.close(kill=True)
    text = str(caught.value)
    assert "rank 0 of 2 hung" in text
    assert "most recent call first" in text
    assert "wait_for_nobody" in text
    assert "rank 1 of 2 died" in text
    assert all(_gone(pid) for pid in pids)


def test_a_dying_rank_is_told_and_replaced() -> None:
    ranks = Ranks(OPTIONS, 4)
    with pytest.raises(AssertionError, match="rank 1 of 2 died"):
        ranks.run(2, "dead_peer", operation="all_reduce", when="before")
    ranks.run(2, "dead_peer", operation="all_reduce", when="before", leaving=[1])
    ranks.run(2, "all_reduce", dtype="int32", op="max")


def test_a_rank_that_should_leave_and_does_not() -> None:
    with pytest.raises(AssertionError, match="rank 0 of 2 lived on"):
        Ranks(OPTIONS, 5).run(2, "barrier", leaving=[0])


def test_what_failed_comes_before_who_waits() -> None:
    """A wrong argument of the program itself fails every rank, with the message first."""
    with pytest.raises(AssertionError, match=r"\Arank 0 of 2 failed: TypeError: "):
        Ranks(OPTIONS, 6).run(2, "all_reduce", no_such_argument=1)
    assert "all_reduce" in PROGRAMS
