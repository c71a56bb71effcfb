"""Boxes of bytes: a range of addresses, or a regular set of runs within one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from ..kv.geometry import Dim
from ..strided_boxes import boxes_meet

if TYPE_CHECKING:
    import torch

__all__ = ["RUN", "Box", "common", "meet", "nested", "rows", "tensor_box"]

#: One byte after another: the innermost dimension of every set of runs.
RUN = 1


class Box(NamedTuple):
    """Bytes from ``lo`` to ``hi``: all of them, or the runs that ``dims`` says.

    ``dims`` is (extent, stride in bytes), outermost first, the last a run of stride 1.
    """

    lo: int
    hi: int
    dims: tuple[Dim, ...] | None = None


def meet(a: Box, b: Box) -> bool:
    """Whether two boxes have a byte in common."""
    if a.lo >= b.hi or b.lo >= a.hi:
        return False
    if a.dims is None and b.dims is None:
        return True
    whole_a = a.dims or ((a.hi - a.lo, RUN),)
    whole_b = b.dims or ((b.hi - b.lo, RUN),)
    return boxes_meet(whole_a, whole_b, b.lo - a.lo)


def common(a: Box, b: Box) -> tuple[int, int]:
    """The range in which two boxes meet, or both bounds where it is empty."""
    lo, hi = max(a.lo, b.lo), min(a.hi, b.hi)
    return (lo, hi) if lo < hi else (min(a.lo, b.lo), max(a.hi, b.hi))


def tensor_box(tensor: torch.Tensor) -> Box | None:
    """The bytes of a strided tensor; None when it has none."""
    count = tensor.numel()
    if not count:
        return None
    size, pointer = tensor.element_size(), tensor.data_ptr()
    if tensor.is_contiguous():
        return Box(pointer, pointer + count * size)
    span, dims = _strided(tuple(tensor.shape), tensor.stride(), size)
    return Box(pointer, pointer + span, dims)


def rows(pointer: int, width: int, height: int, pitch: int) -> Box | None:
    """``height`` rows of ``width`` bytes, ``pitch`` bytes apart."""
    if width <= 0 or height <= 0:
        return None
    if height == 1 or pitch == width:
        return Box(pointer, pointer + width * height)
    return Box(pointer, pointer + (height - 1) * pitch + width, ((height, pitch), (width, RUN)))


@lru_cache(maxsize=4096)
def _strided(
    shape: tuple[int, ...], stride: tuple[int, ...], size: int
) -> tuple[int, tuple[Dim, ...] | None]:
    dims = nested([(n, s * size) for n, s in zip(shape, stride, strict=True)], size)
    span = 1 + sum((n - 1) * s for n, s in dims)
    return span, None if len(dims) == 1 else dims


def nested(dims: Sequence[Dim], size: int) -> tuple[Dim, ...]:
    """Dimensions in bytes, largest stride first, joined where one continues the other.

    ``size`` is the bytes of an element; an extent of one and a repeated axis add no bytes.
    """
    out: list[Dim] = []
    for n, s in sorted(((n, s) for n, s in (*dims, (size, RUN)) if n > 1 and s), key=_by_stride):
        if out and s == out[-1][0] * out[-1][1]:
            out[-1] = (out[-1][0] * n, out[-1][1])
        else:
            out.append((n, s))
    if not out or out[0][1] != RUN:
        out.insert(0, (1, RUN))
    return tuple(reversed(out))


def _by_stride(dim: Dim) -> int:
    return dim[1]
