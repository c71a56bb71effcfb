"""Argument checks, made on the calling rank before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..errors import ArgumentError, DeviceError, DTypeError, OverlapError, ShapeError, SizeError
from .messages import MAX_TAG

__all__ = [
    "check_gathered",
    "check_peer",
    "check_rank",
    "check_row_counts",
    "check_same_dtype",
    "check_tag",
    "check_tensor",
    "check_timeout",
    "ranges_overlap",
]


def check_tensor(
    argument: str, tensor: Any, device: torch.device, *, written: bool
) -> torch.Tensor:
    """``tensor`` without autograd, after checking kind, device and (if written) self-overlap."""
    if not isinstance(tensor, torch.Tensor):
        raise DTypeError(argument, "a torch.Tensor", type(tensor).__name__)
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise DTypeError(argument, "a dense, strided tensor", str(tensor.layout))
    if tensor.device != device:
        raise DeviceError(
            argument, f"a tensor on the communicator's device {device}", tensor.device
        )
    if written and _overlaps_itself(tensor):
        raise OverlapError(
            argument,
            "elements at distinct addresses",
            f"shape {tuple(tensor.shape)} with strides {tensor.stride()}",
            "pass tensor.contiguous() and copy the result back",
        )
    return tensor.detach()


def _overlaps_itself(tensor: torch.Tensor) -> bool:
    if tensor.is_contiguous() or tensor.numel() < 2:
        return False
    reach = 0
    axes = sorted((st, n) for st, n in zip(tensor.stride(), tensor.shape, strict=True) if n > 1)
    for stride, extent in axes:
        if stride <= reach:
            break
        reach += stride * (extent - 1)
    else:
        return False
    # Interleaved axes may or may not collide; rare enough to count the addresses.
    offsets = torch.zeros((), dtype=torch.int64)
    for stride, extent in axes:
        offsets = (offsets.unsqueeze(-1) + torch.arange(extent) * stride).reshape(-1)
    in_order = offsets.sort().values
    return bool((in_order[1:] == in_order[:-1]).any())


def ranges_overlap(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether the address ranges that the two tensors span have a byte in common."""
    if not a.numel() or not b.numel():
        return False

    def span(t: torch.Tensor) -> tuple[int, int]:
        reach = sum((n - 1) * st for n, st in zip(t.shape, t.stride(), strict=True))
        return t.data_ptr(), t.data_ptr() + (reach + 1) * t.element_size()

    (a0, a1), (b0, b1) = span(a), span(b)
    return a0 < b1 and b0 < a1


def check_same_dtype(output: torch.Tensor, input: torch.Tensor) -> None:
    if output.dtype != input.dtype:
        raise DTypeError("output", f"the dtype of input, {input.dtype}", output.dtype)


def check_gathered(argument: str, many: torch.Tensor, one: torch.Tensor, size: int) -> None:
    """``many`` has one row of ``one``'s shape for each rank."""
    expected = (size, *one.shape)
    if tuple(many.shape) != expected:
        other = "input" if argument == "output" else "output"
        raise ShapeError(argument, f"{expected}: [size, *{other}.shape]", tuple(many.shape))


def check_row_counts(argument: str, tensor: torch.Tensor, splits: Any, size: int) -> list[int]:
    """How many of the first axis' rows belong to each rank: ``splits``, or equal parts."""
    if tensor.dim() == 0:
        raise ShapeError(argument, "at least one axis", "a 0-dimensional tensor")
    rows = tensor.shape[0]
    if splits is None:
        if rows % size:
            raise ShapeError(
                argument,
                f"a first axis divisible by {size}, the group's size",
                tuple(tensor.shape),
                f"pass {argument}_splits",
            )
        return [rows // size] * size
    name = f"{argument}_splits"
    if not isinstance(splits, Sequence) or len(splits) != size:
        raise SizeError(name, f"{size} row counts, one for each rank", _brief(splits))
    for i, count in enumerate(splits):
        if not _is_int(count) or count < 0:
            raise SizeError(f"{name}[{i}]", "a row count, 0 or more", repr(count))
    if sum(splits) != rows:
        raise SizeError(
            name, f"counts that add up to {rows}, the rows of {argument}", f"sum {sum(splits)}"
        )
    return list(splits)


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_rank(argument: str, rank: Any, size: int) -> int:
    if not _is_int(rank) or not 0 <= rank < size:
        raise ArgumentError(argument, f"a rank within the group, 0 to {size - 1}", _brief(rank))
    return int(rank)


def check_peer(argument: str, peer: Any, rank: int, size: int) -> int:
    check_rank(argument, peer, size)
    if peer == rank:
        raise ArgumentError(
            argument,
            "another rank",
            f"{peer}, this rank",
            "a rank can send to itself within one batch()",
        )
    return int(peer)


def check_tag(argument: str, tag: Any) -> int:
    if not _is_int(tag) or not 0 <= tag <= MAX_TAG:
        raise ArgumentError(argument, f"an integer from 0 to {MAX_TAG}", _brief(tag))
    return int(tag)


def check_timeout(timeout: Any) -> float:
    number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
    if not number or not 0 < timeout < 1e8:
        raise ArgumentError("timeout", "seconds, more than 0", _brief(timeout))
    return float(timeout)
