"""Slot lists: their rules, checked with torch operators.

Slots are token indices ``block * block_size + offset``, int32 or int64, 1-D. A pair in which either
side is negative is padding and is skipped. Native plugins check the same rules in C++
(accel/kv_slots.hpp); conformance holds both to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import DeviceError, DTypeError, OverlapError, ShapeError, SlotError

if TYPE_CHECKING:
    import torch

__all__ = ["block_slots", "check_slots", "gather_slots"]


def check_slots(
    src_slots: torch.Tensor,
    dst_slots: torch.Tensor,
    src_units: int,
    dst_units: int,
    *,
    same_memory: bool = False,
    names: tuple[str, str] = ("src_slots", "dst_slots"),
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both lists as int64 without the skipped pairs, or the error that a transfer raises.

    Args:
        src_slots, dst_slots: equal lengths.
        src_units, dst_units: an index must be below these.
        same_memory: source and destination are the same cache, so that a unit that is both read
            and written is an overlap.

    Raises:
        DTypeError, ShapeError: not 1-D int32/int64 tensors of equal length.
        SlotError: an index too large; names the position and the bound.
        OverlapError: a destination twice, or, with ``same_memory``, a unit read and written.
    """
    import torch

    for name, slots in zip(names, (src_slots, dst_slots), strict=True):
        if not isinstance(slots, torch.Tensor) or slots.dtype not in (torch.int32, torch.int64):
            given = slots.dtype if isinstance(slots, torch.Tensor) else type(slots).__name__
            raise DTypeError(name, "an int32 or int64 tensor", given)
        if slots.dim() != 1:
            raise ShapeError(name, "one axis", tuple(slots.shape))
    if src_slots.device != dst_slots.device:
        raise DeviceError(names[1], f"device {src_slots.device} as {names[0]}", dst_slots.device)
    if len(src_slots) != len(dst_slots):
        raise ShapeError(names[1], f"{len(src_slots)} indices as {names[0]} has", len(dst_slots))
    keep = (src_slots >= 0) & (dst_slots >= 0)
    src, dst = src_slots.long(), dst_slots.long()
    for name, slots, units in ((names[0], src, src_units), (names[1], dst, dst_units)):
        wrong = keep & (slots >= units)
        if wrong.any():
            at = int(wrong.nonzero()[0])
            raise SlotError(name, f"indices below {units}", f"{int(slots[at])} at position {at}")
    src, dst = src[keep], dst[keep]
    ordered = dst.sort().values
    repeated = (ordered[1:] == ordered[:-1]).nonzero()
    if len(repeated):
        slot = int(ordered[int(repeated[0])])
        raise OverlapError(names[1], "each destination once", f"{slot} more than once")
    if same_memory:
        both = torch.isin(dst, src)
        if both.any():
            slot = int(dst[both][0])
            raise OverlapError(
                names[1],
                "destinations that are not also sources of the same cache",
                f"{slot} is read and written",
                "transfer through another cache, or in two calls",
            )
    return src, dst


def block_slots(blocks: torch.Tensor, block_size: int) -> torch.Tensor:
    """Token slots of whole blocks: ``[n]`` block indices to ``[n * block_size]`` slots.

    A negative block gives negative slots (skipped).
    """
    import torch

    slots = blocks.long().unsqueeze(1) * block_size + torch.arange(block_size, device=blocks.device)
    return slots.masked_fill(blocks.unsqueeze(1) < 0, -1).flatten()


def gather_slots(
    block_table: torch.Tensor,
    seq_lens: torch.Tensor,
    seq_starts: torch.Tensor | None,
    block_size: int,
    blocks: int,
) -> torch.Tensor:
    """Slots of all sequences' tokens, one sequence after another.

    Token j of sequence i (``starts[i] <= j < starts[i] + lens[i]``) is at offset
    ``j % block_size`` of block ``block_table[i, j // block_size]``; a negative block gives -1.

    Raises:
        DTypeError, ShapeError: not int32/int64; not ``[batch, blocks]``, ``[batch]``, ``[batch]``.
        SlotError: a negative length or start, more tokens than the row of the table has, or one
            of their blocks not below ``blocks``.
    """
    import torch

    args = {"block_table": (block_table, 2), "seq_lens": (seq_lens, 1)}
    if seq_starts is not None:
        args["seq_starts"] = (seq_starts, 1)
    for name, (t, dims) in args.items():
        if not isinstance(t, torch.Tensor) or t.dtype not in (torch.int32, torch.int64):
            given = t.dtype if isinstance(t, torch.Tensor) else type(t).__name__
            raise DTypeError(name, "an int32 or int64 tensor", given)
        if t.dim() != dims:
            raise ShapeError(name, f"{dims} axes", tuple(t.shape))
        if t.device != block_table.device:
            raise DeviceError(name, f"device {block_table.device} as block_table", t.device)
        if len(t) != len(block_table):
            raise ShapeError(name, f"{len(block_table)} sequences", len(t))
    starts = torch.zeros_like(seq_lens) if seq_starts is None else seq_starts
    capacity = block_table.shape[1] * block_size
    for i, (start, length) in enumerate(zip(starts.tolist(), seq_lens.tolist(), strict=True)):
        if start < 0:
            raise SlotError("seq_starts", "starts of at least 0", f"{start} at position {i}")
        if length < 0:
            raise SlotError("seq_lens", "lengths of at least 0", f"{length} at position {i}")
        if start + length > capacity:
            raise SlotError(
                "seq_lens",
                f"sequences that end within {capacity} tokens (block_table's row)",
                f"{start + length} at position {i}",
            )
    rows = []
    for i, (start, length) in enumerate(zip(starts.tolist(), seq_lens.tolist(), strict=True)):
        tokens = torch.arange(start, start + length, device=block_table.device)
        used = block_table[i].long()[tokens // block_size]
        if (used >= blocks).any():
            at = int((used >= blocks).nonzero()[0])
            entry = (start + at) // block_size
            raise SlotError(
                "block_table", f"blocks below {blocks}", f"{int(used[at])} at position {i, entry}"
            )
        slots = used * block_size + tokens % block_size
        rows.append(slots.masked_fill(used < 0, -1))
    empty = torch.empty(0, dtype=torch.int64, device=block_table.device)
    return torch.cat(rows) if rows else empty
