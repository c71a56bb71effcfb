"""Which tensors share memory: for operands of kernels that are plain tensors, not caches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import OverlapError
from .geometry import Dim
from .overlap import _meet, _meets_itself

if TYPE_CHECKING:
    import torch

__all__ = ["check_disjoint", "check_distinct", "share_bytes"]


def check_distinct(argument: str, written: torch.Tensor) -> None:
    """Raise OverlapError when two elements of ``written`` are the same bytes."""
    if written.numel() and _meets_itself(_box(written)):
        raise OverlapError(
            argument,
            "a tensor whose elements are distinct memory",
            f"shape {tuple(written.shape)} with strides {written.stride()}",
            "write to a tensor that is not expanded, or to its contiguous copy",
        )


def check_disjoint(argument: str, written: torch.Tensor, name: str, other: torch.Tensor) -> None:
    """Raise OverlapError when ``written`` shares a byte with ``other``, called ``name``."""
    if share_bytes(written, other):
        raise OverlapError(
            argument,
            f"memory that shares no byte with {name}",
            f"addresses from {written.data_ptr():#x} and from {other.data_ptr():#x}",
            "write to memory of its own",
        )


def share_bytes(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors have a byte in common; exact but for pathological strides, which do."""
    if not (a.numel() and b.numel()) or a.device != b.device:
        return False
    return _meet(_box(a), _box(b), b.data_ptr() - a.data_ptr())


def _box(tensor: torch.Tensor) -> tuple[Dim, ...]:
    """``(extent, stride in bytes)``, largest stride first, the last a run of stride 1."""
    itemsize = tensor.element_size()
    dims = [(n, s) for n, s in zip(tensor.shape, tensor.stride(), strict=True) if n > 1]
    out: list[Dim] = [(itemsize, 1)]
    for n, s in sorted(((n, s * itemsize) for n, s in dims if s), key=lambda d: d[1]):
        if s == out[-1][0] * out[-1][1]:
            out[-1] = (out[-1][0] * n, out[-1][1])
        else:
            out.append((n, s))
    return (*reversed(out), *((n, 0) for n, s in dims if not s))
