"""Reductions over two and four ranks."""

from __future__ import annotations

import pytest

from accel import Capability
from accel_conformance.case import case
from accel_conformance.ranks import Ranks, ranks_fixture

ranks = ranks_fixture

#: The first case imports torch once more; a hang is found by the ranks' own limit.
LIMIT = 200.0

GROUP = [Capability.COLLECTIVES]
FLOATS = ("float16", "bfloat16", "float32")
WHOLE = ("int8", "int32", "int64")
PAIRS = [(d, op) for d in FLOATS for op in ("sum", "prod", "min", "max", "avg")]
PAIRS += [(d, op) for d in WHOLE for op in ("sum", "prod", "min", "max")]
SIZES = pytest.mark.parametrize("size", [2, 4])
DTYPES_AND_OPS = pytest.mark.parametrize(("dtype", "op"), PAIRS)


@case(level=3, seconds=LIMIT, needs=GROUP)
@SIZES
@DTYPES_AND_OPS
def test_all_reduce(ranks: Ranks, size: int, dtype: str, op: str) -> None:
    """Every rank has the reduction of all: shapes, strides, no elements, many elements."""
    ranks.run(size, "all_reduce", dtype=dtype, op=op)


@case(level=3, seconds=LIMIT, needs=GROUP)
@SIZES
@DTYPES_AND_OPS
def test_reduce(ranks: Ranks, size: int, dtype: str, op: str) -> None:
    """The root has the reduction; the others' tensors keep their contents."""
    ranks.run(size, "reduce", dtype=dtype, op=op)


@case(level=3, seconds=LIMIT, needs=GROUP)
@SIZES
@DTYPES_AND_OPS
def test_reduce_scatter(ranks: Ranks, size: int, dtype: str, op: str) -> None:
    """Each rank has the reduction of its row; inputs keep their contents."""
    ranks.run(size, "reduce_scatter", dtype=dtype, op=op)


@case(level=3, seconds=LIMIT, needs=GROUP)
@SIZES
@pytest.mark.parametrize("program", ["all_reduce", "reduce", "reduce_scatter"])
@pytest.mark.parametrize("dtype", ["bfloat16", "int64"])
def test_reduce_async(ranks: Ranks, size: int, program: str, dtype: str) -> None:
    """The same with async_op=True."""
    ranks.run(size, program, dtype=dtype, op="sum", async_op=True)


@case(level=3, seconds=LIMIT, needs=GROUP)
@SIZES
@pytest.mark.parametrize("dtype", FLOATS)
def test_special_values(ranks: Ranks, size: int, dtype: str) -> None:
    """NaN and infinities on one rank reach every rank."""
    ranks.run(size, "special_values", dtype=dtype)
