"""What reductions must give, worked out in float64 or Python integers, element by element."""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def inputs(kind: str, rank: int, count: int, salt: int) -> Array:
    """A rank's random contribution; every rank can work out every other's."""
    random = np.random.default_rng([salt, rank, count])
    if kind == "bfloat16":
        return to_bfloat16(random.standard_normal(count).astype(np.float32))
    dtype = np.dtype(kind)
    if dtype.kind == "f":
        return random.standard_normal(count).astype(dtype)
    info = np.iinfo(dtype)
    return random.integers(info.min, info.max, count, dtype=dtype, endpoint=True)


def reduced(kind: str, op: str, contributions: list[Array]) -> Array:
    """Element by element, in rank order. Integers wrap; 16-bit floats are rounded once at the end
    from float32 sums, as libhccl documents."""
    columns = zip(*(values.tolist() for values in widened(kind, contributions)), strict=True)
    combine: Any = {
        "sum": lambda a, b: a + b,
        "prod": lambda a, b: a * b,
        "max": max,
        "min": min,
    }[op]
    if kind in ("float16", "bfloat16", "float32", "float64"):
        wide = np.float64 if kind == "float64" else np.float32
        step = functools.partial(_float_step, combine, wide)
        sums = np.array([functools.reduce(step, column) for column in columns], wide)
        return to_bfloat16(sums) if kind == "bfloat16" else sums.astype(kind)
    bits = 8 * np.dtype(kind).itemsize
    mask = (1 << bits) - 1
    values = [functools.reduce(combine, column) & mask for column in columns]
    return np.array(values, np.dtype(f"uint{bits}")).view(kind)


def _float_step(combine: Any, wide: Any, a: float, b: float) -> Any:
    with np.errstate(over="ignore"):
        return combine(wide(a), wide(b))


def widened(kind: str, contributions: list[Array]) -> list[Array]:
    if kind == "bfloat16":
        return [from_bfloat16(values) for values in contributions]
    return contributions


def from_bfloat16(bits: Array) -> Array:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def to_bfloat16(values: Array) -> Array:
    """To nearest, ties to even, by exact fractions: not by the bit trick under test."""
    return np.array([_bfloat16_bits(float(value)) for value in values], np.uint16)


def _bfloat16_bits(value: float) -> int:
    sign = 0x8000 if math.copysign(1.0, value) < 0 else 0
    if math.isnan(value):
        return sign | 0x7FC0
    if value == 0.0:
        return sign
    if math.isinf(value):
        return sign | 0x7F80
    exponent = max(math.frexp(value)[1] - 1, -126)
    unit = Fraction(2) ** (exponent - 7)
    steps = round(abs(Fraction(value)) / unit)  # Python rounds halves to even
    if exponent == -126:
        return sign | steps  # subnormal, or carried into the first normal number
    return sign | (((exponent + 127) << 7) + (steps - 128))
