"""Tensors as bytes: which ones they touch, and elements as integers of the same size."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["bytes_at", "elements", "shared_bytes", "span"]


def elements(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory as integers of the element's size: torch moves those for every dtype, with
    the bits as they are."""
    import torch

    if tensor.is_conj() or tensor.is_neg():
        return tensor.resolve_conj().resolve_neg()
    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    kind = kinds.get(tensor.element_size())
    return tensor if kind is None else tensor.detach().view(kind)


def bytes_at(where: tuple[int, int] | bytes) -> torch.Tensor:
    """A uint8 tensor over ``(address, length)``, or holding these bytes."""
    import torch

    if isinstance(where, bytes):
        return torch.frombuffer(bytearray(where), dtype=torch.uint8)
    address, length = where
    if length == 0:
        return torch.empty(0, dtype=torch.uint8)
    return torch.frombuffer((ctypes.c_uint8 * length).from_address(address), dtype=torch.uint8)


def span(tensor: torch.Tensor) -> tuple[int, int]:
    """First byte and one past the last, within the tensor's storage; numel must not be 0."""
    size = tensor.element_size()
    first = tensor.storage_offset()
    last = first + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    return int(first * size), int((last + 1) * size)


def shared_bytes(a: torch.Tensor, b: torch.Tensor | None) -> bool:
    """Whether ``a`` and ``b`` have a byte in common; without ``b``, whether ``a`` overlaps itself.

    Lists every element's address where the bounds intersect, so it is exact and slow.
    """
    import torch

    if not a.numel() or (b is not None and not b.numel()):
        return False
    if b is None:
        if a.is_contiguous():
            return False
        starts = _starts(a).sort().values
        return bool((starts[1:] - starts[:-1] < a.element_size()).any())
    (first, end), (other, other_end) = _bounds(a), _bounds(b)
    if end <= other or other_end <= first:
        return False
    if a.is_contiguous() and b.is_contiguous():
        return True
    ours, theirs = _starts(a).sort().values, _starts(b)
    after = torch.searchsorted(ours, theirs - (a.element_size() - 1))
    hit = ours[after.clamp(max=len(ours) - 1)]
    return bool(((after < len(ours)) & (hit < theirs + b.element_size())).any())


def _bounds(tensor: torch.Tensor) -> tuple[int, int]:
    first, end = span(tensor)
    return tensor.data_ptr(), tensor.data_ptr() + end - first


def _starts(tensor: torch.Tensor) -> torch.Tensor:
    """The address of every element, flat."""
    import torch

    starts = torch.tensor([tensor.data_ptr()])
    for extent, stride in zip(tensor.shape, tensor.stride(), strict=True):
        steps = torch.arange(extent) * (stride * tensor.element_size())
        starts = (starts[:, None] + steps).flatten()
    return starts
