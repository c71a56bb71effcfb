"""Which tensors share memory: for operands of kernels that are plain tensors, not caches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import OverlapError
from .strided_boxes import Dim, box_meets_itself, boxes_meet, merged_box

if TYPE_CHECKING:
    import torch

__all__ = ["check_disjoint", "check_distinct", "overlaps_itself", "share_bytes", "tensor_box"]


def check_distinct(argument: str, written: torch.Tensor) -> None:
    """Raise OverlapError when two elements of ``written`` are the same bytes."""
    if overlaps_itself(written):
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


def overlaps_itself(tensor: torch.Tensor) -> bool:
    """Whether two elements are the same bytes (an expanded axis)."""
    return tensor.numel() > 0 and box_meets_itself(tensor_box(tensor))


def share_bytes(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors have a byte in common; exact but for pathological strides, which do."""
    if not (a.numel() and b.numel()) or a.device != b.device:
        return False
    return boxes_meet(tensor_box(a), tensor_box(b), b.data_ptr() - a.data_ptr())


def tensor_box(tensor: torch.Tensor) -> tuple[Dim, ...]:
    """The bytes of a tensor, as :mod:`accel.strided_boxes` has them."""
    size = tensor.element_size()
    strides = (s * size for s in tensor.stride())
    return merged_box([*zip(tensor.shape, strides, strict=True), (size, 1)])
