"""What goes wrong: wrong calls, ranks that are missing or die, closed communicators."""

from __future__ import annotations

import pytest

from accel import Capability
from accel_conformance.case import case
from accel_conformance.ranks import Ranks, ranks_fixture

ranks = ranks_fixture

#: The first case imports torch once more; a hang is found by the ranks' own limit.
LIMIT = 200.0

GROUP = [Capability.COLLECTIVES]
TIMEOUT = [Capability.COLLECTIVES, Capability.COLLECTIVE_TIMEOUT]
SIZES = pytest.mark.parametrize("size", [2, 4])
NEED_EVERYONE = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "barrier")
NEED_SOMEONE = ("broadcast", "reduce", "gather", "scatter", "recv", "irecv", "batch")


@case(level=3, seconds=LIMIT, needs=GROUP)
@SIZES
@pytest.mark.parametrize("by", ["everyone", "one-rank"])
def test_wrong_calls(ranks: Ranks, size: int, by: str) -> None:
    """Some fifty wrong calls: each refused by name on the rank that made it; nothing was sent."""
    ranks.run(size, "wrong_calls", by=by)


@case(level=3, seconds=LIMIT, needs=GROUP)
@SIZES
def test_refused_calls_write_nothing(ranks: Ranks, size: int) -> None:
    """Outputs of refused calls keep their contents."""
    ranks.run(size, "outputs_stay")


@case(level=3, seconds=LIMIT, needs=TIMEOUT)
@pytest.mark.parametrize("operation", [*NEED_EVERYONE, *NEED_SOMEONE])
def test_missing_rank(ranks: Ranks, operation: str) -> None:
    """One of two ranks does not make the call: a timeout that names rank and operation."""
    ranks.run(2, "missing_rank", operation=operation)


@case(level=3, seconds=LIMIT, needs=TIMEOUT)
@pytest.mark.parametrize("operation", ["all_reduce", "broadcast", "gather", "barrier"])
def test_missing_rank_of_four(ranks: Ranks, operation: str) -> None:
    """One of four ranks does not make the call: every other that needs it says so."""
    ranks.run(4, "missing_rank", operation=operation)


@case(level=3, seconds=LIMIT, needs=TIMEOUT)
@SIZES
@pytest.mark.parametrize("program", ["async_timeout", "others_go_on"])
def test_timeout(ranks: Ranks, size: int, program: str) -> None:
    """Asynchronous operations time out too; other communicators are not affected."""
    ranks.run(size, program)


@case(level=3, seconds=LIMIT, needs=[*TIMEOUT, Capability.P2P])
def test_wait_with_its_own_timeout(ranks: Ranks) -> None:
    """``wait(timeout)`` gives up earlier than the communicator does."""
    ranks.run(2, "wait_with_its_own_timeout")


@case(level=3, seconds=LIMIT, needs=GROUP)
@SIZES
def test_late_but_in_time(ranks: Ranks, size: int) -> None:
    """A rank that comes late, within the limit, is waited for."""
    ranks.run(size, "late_but_in_time")


@case(level=3, seconds=LIMIT, needs=TIMEOUT)
@pytest.mark.parametrize("when", ["before", "during"])
@pytest.mark.parametrize(
    ("size", "operation"), [(2, "all_reduce"), (2, "recv"), (4, "all_reduce"), (4, "barrier")]
)
def test_dead_peer(ranks: Ranks, size: int, operation: str, when: str) -> None:
    """A rank is killed before or during the operation: the others get an error and do not hang."""
    ranks.run(size, "dead_peer", operation=operation, when=when, leaving=[size - 1])


@case(level=3, seconds=LIMIT, needs=GROUP)
@SIZES
def test_closed(ranks: Ranks, size: int) -> None:
    """Every method of a closed communicator raises StateError; closing twice is allowed."""
    ranks.run(size, "closed")


@case(level=3, seconds=LIMIT, needs=[*TIMEOUT, Capability.P2P])
def test_close_while_waiting(ranks: Ranks) -> None:
    """close() from another thread ends an operation that waits for a rank."""
    ranks.run(2, "close_while_waiting")
