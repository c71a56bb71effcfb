"""Tokens of a cache by index, and which tokens a write puts where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel.errors import DeviceError, FreedError, ShapeError
from accel.kv.slots import check_slots
from accel.kv.write import NAMES

from .bytes import elements, span

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from accel.kv import KVCache

__all__ = ["load", "on_host", "store", "written_tokens"]


def load(view: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
    """``[n, heads, D1, D0]`` of integers."""
    size = view.shape[1]
    return elements(view)[slots // size, slots % size]


def store(view: torch.Tensor, slots: torch.Tensor, tokens: torch.Tensor) -> None:
    """Write ``[n, ...]`` with the elements of a token in row-major order of head and head dim."""
    size = view.shape[1]
    elements(view)[slots // size, slots % size] = tokens.reshape(len(slots), *view.shape[2:])


def on_host(name: str, indices: object) -> None:
    """Raise DeviceError for an index tensor that is elsewhere."""
    import torch

    if isinstance(indices, torch.Tensor) and indices.device.type != "cpu":
        raise DeviceError(name, "an index tensor on the host", indices.device)


def written_tokens(
    cache: KVCache, sources: Sequence[torch.Tensor], slot_mapping: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of the sources of ``write``, key first, and the slots that they go to.

    Raises:
        FreedError: a source without memory.
        ShapeError, DTypeError, DeviceError, SlotError, OverlapError: as of ``slot_mapping``.
    """
    import torch

    for name, tensor in zip(NAMES, sources, strict=False):
        if tensor.numel() and span(tensor)[1] > tensor.untyped_storage().nbytes():
            raise FreedError(name, "a tensor that still has its memory", "a released storage")
    on_host("slot_mapping", slot_mapping)
    key = sources[0]
    if isinstance(slot_mapping, torch.Tensor) and slot_mapping.dim() == 1:
        if len(slot_mapping) > len(key):
            raise ShapeError(
                "slot_mapping", f"at most {len(key)} indices as key has", len(slot_mapping)
            )
        rows = torch.arange(len(slot_mapping))
    else:
        rows = torch.arange(0)  # check_slots has the words for it
    return check_slots(rows, slot_mapping, len(key), cache.slots, names=("key", "slot_mapping"))
