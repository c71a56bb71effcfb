"""Point-to-point messages, work under way, groups of ranks, streams."""

from __future__ import annotations

import pytest

from accel import Capability
from accel_conformance.case import case
from accel_conformance.kv_shapes import DTYPE_NAMES
from accel_conformance.ranks import Ranks, ranks_fixture

ranks = ranks_fixture

#: The first case imports torch once more; a hang is found by the ranks' own limit.
LIMIT = 200.0

GROUP = [Capability.COLLECTIVES]
P2P = [Capability.COLLECTIVES, Capability.P2P]
SIZES = pytest.mark.parametrize("size", [2, 4])


@case(level=3, seconds=LIMIT, needs=P2P)
@SIZES
@pytest.mark.parametrize("dtype", DTYPE_NAMES)
@pytest.mark.parametrize("program", ["ring", "ring_at_once", "batch"])
def test_messages(ranks: Ranks, size: int, program: str, dtype: str) -> None:
    """Rings of send/recv and isend/irecv, and batches of everyone to everyone."""
    ranks.run(size, program, dtype=dtype)


@case(level=3, seconds=LIMIT, needs=P2P)
@SIZES
@pytest.mark.parametrize("program", ["tags", "same_tag_in_order"])
def test_message_order(ranks: Ranks, size: int, program: str) -> None:
    """Tags tell messages apart; messages of one tag keep their order."""
    ranks.run(size, program)


@case(level=3, seconds=LIMIT, needs=GROUP)
@SIZES
@pytest.mark.parametrize(
    "program",
    [
        "async_in_any_order",
        "async_then_blocking",
        "completes_without_wait",
        "tensors_are_kept",
        "work_lets_go",
    ],
)
def test_work(ranks: Ranks, size: int, program: str) -> None:
    """Operations under way: their order, their progress, what they hold."""
    ranks.run(size, program)


@case(level=3, seconds=LIMIT, needs=GROUP)
@SIZES
@pytest.mark.parametrize("program", ["barrier", "identity", "every_channel", "many"])
def test_group(ranks: Ranks, size: int, program: str) -> None:
    """Barriers, properties, every channel, and many small operations."""
    ranks.run(size, program)


@case(level=3, seconds=LIMIT, needs=P2P)
@SIZES
def test_groups_of_some_ranks(ranks: Ranks, size: int) -> None:
    """Ranks, roots and peers count within the group."""
    ranks.run(size, "groups")


@case(level=3, seconds=LIMIT, needs=GROUP)
@SIZES
def test_two_communicators(ranks: Ranks, size: int) -> None:
    """Two communicators over the same ranks, used in another order on each rank."""
    ranks.run(size, "two_communicators")


@case(level=3, seconds=LIMIT, needs=[*GROUP, Capability.STREAMS])
@SIZES
def test_on_a_stream(ranks: Ranks, size: int) -> None:
    """Inside ``backend.stream(s)``, between eager torch operations."""
    ranks.run(size, "on_a_stream")


@case(level=3, seconds=LIMIT, needs=GROUP)
def test_adopted_world(ranks: Ranks) -> None:
    """A process group that the framework has initialised, which stays usable."""
    ranks.run(2, "adopted_world", world="adopted")


@case(level=3, seconds=LIMIT, needs=GROUP)
def test_no_world(ranks: Ranks) -> None:
    """Neither torchrun nor a process group: an error that says what to do."""
    ranks.run(1, "no_world", world="none")


@case(level=3, seconds=LIMIT, needs=GROUP)
@pytest.mark.parametrize("program", ["all_reduce", "reduce", "reduce_scatter"])
def test_world_of_one(ranks: Ranks, program: str) -> None:
    """A world of one rank."""
    ranks.run(1, program, dtype="float32", op="avg")
