"""Argument checks that KV kernels of every backend share; they run once per pair of caches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from .cache import KVCache
from .overlap import Sharing, check_destination, sharing
from .plan import Grain, TransferPlan, plan_transfer

if TYPE_CHECKING:
    import torch

__all__ = ["check_cache", "check_mapping", "check_transfer"]


def check_cache(argument: str, cache: object, device_types: tuple[str, ...]) -> KVCache:
    """``cache``, if it is a KVCache on one of these device types that still has its memory.

    Raises:
        DTypeError, DeviceError, FreedError: otherwise.
    """
    if not isinstance(cache, KVCache):
        raise DTypeError(argument, "a KVCache", type(cache).__name__)
    if cache.device.type not in device_types:
        raise DeviceError(argument, f"a cache on {' or '.join(device_types)}", cache.device)
    cache.check_alive(argument)
    return cache


def check_transfer(
    src: object, dst: object, grain: Grain, device_types: tuple[str, ...]
) -> tuple[KVCache, KVCache, TransferPlan, Sharing]:
    """Both caches, the plan of a transfer between them, and what memory they share.

    Raises:
        DTypeError, DeviceError, FreedError: not caches that this device can reach.
        LayoutError, SizeError, DTypeError: they do not hold the same thing.
        OverlapError: the destination overlaps itself.
        ArgumentError: no such grain.
    """
    source = check_cache("src", src, device_types)
    target = check_cache("dst", dst, device_types)
    if not isinstance(grain, str):  # the plan is looked up by it, so it has to be hashable
        raise ArgumentError("grain", "'token' or 'block'", repr(grain))
    plan = plan_transfer(source.geometry, target.geometry, grain)
    check_destination(target)
    return source, target, plan, sharing(source, target)


def check_mapping(block_mapping: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The two columns of a block mapping.

    Raises:
        DTypeError, ShapeError: not an int32 or int64 tensor ``[n, 2]``.
    """
    import torch

    if not isinstance(block_mapping, torch.Tensor):
        raise DTypeError("block_mapping", "an int32 or int64 tensor", type(block_mapping).__name__)
    if block_mapping.dtype not in (torch.int32, torch.int64):
        raise DTypeError("block_mapping", "an int32 or int64 tensor", block_mapping.dtype)
    if block_mapping.dim() != 2 or block_mapping.shape[1] != 2:
        raise ShapeError("block_mapping", "[n, 2]", list(block_mapping.shape))
    return block_mapping[:, 0], block_mapping[:, 1]
