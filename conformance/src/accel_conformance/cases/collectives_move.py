"""Collectives that move bytes over two and four ranks: exact for every dtype."""

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
SIZES = pytest.mark.parametrize("size", [2, 4])
DTYPES = pytest.mark.parametrize("dtype", [*DTYPE_NAMES, "int32"])
PROGRAMS = ["broadcast", "all_gather", "gather", "scatter"]


@case(level=3, seconds=LIMIT, needs=GROUP)
@SIZES
@DTYPES
@pytest.mark.parametrize("program", PROGRAMS)
def test_move(ranks: Ranks, size: int, program: str, dtype: str) -> None:
    """broadcast, all_gather, gather, scatter: every root, shapes, strides, no elements."""
    ranks.run(size, program, dtype=dtype)


@case(level=3, seconds=LIMIT, needs=GROUP)
@SIZES
@DTYPES
@pytest.mark.parametrize("splits", ["even", "uneven", "empty"])
def test_all_to_all(ranks: Ranks, size: int, dtype: str, splits: str) -> None:
    """Equal parts, uneven ones, and parts without rows."""
    ranks.run(size, "all_to_all", dtype=dtype, splits=splits)


@case(level=3, seconds=LIMIT, needs=GROUP)
@SIZES
@pytest.mark.parametrize("program", PROGRAMS)
def test_move_async(ranks: Ranks, size: int, program: str) -> None:
    """The same with async_op=True."""
    ranks.run(size, program, dtype="float8_e4m3fn", async_op=True)


@case(level=3, seconds=LIMIT, needs=GROUP)
@SIZES
def test_all_to_all_async(ranks: Ranks, size: int) -> None:
    """The same for all_to_all."""
    ranks.run(size, "all_to_all", dtype="bfloat16", splits="uneven", async_op=True)


@case(level=3, seconds=LIMIT, needs=GROUP)
@SIZES
def test_large(ranks: Ranks, size: int) -> None:
    """Megabytes, an odd number of them."""
    ranks.run(size, "large")
