"""``gather``'s block table as a slot list, made on the device without reading it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import DeviceError, DTypeError, ShapeError, SlotError

if TYPE_CHECKING:
    import torch

    from ..kv import KVCache
    from ..providers import Stream
    from .queue import DeviceQueue

__all__ = ["device_gather_slots", "slots_of_table"]

#: What is wrong, in the order of looking: by :func:`slots_of_table`.
_WRONG = ("start", "length", "end", "total", "block")


def device_gather_slots(
    queue: DeviceQueue,
    block_table: torch.Tensor,
    seq_lens: torch.Tensor,
    seq_starts: torch.Tensor | None,
    src: KVCache,
    dst: KVCache,
    stream: Stream | None,
) -> tuple[torch.Tensor, int]:
    """Slots of ``src`` for the first slots of ``dst``, negative where nothing goes, and how many.

    What is wrong is raised at the stream's next synchronisation; nothing of such a sequence moves.

    Raises:
        DTypeError, ShapeError: not such tensors.
    """
    _check(block_table, seq_lens, seq_starts)
    most = min(dst.slots, block_table.shape[0] * block_table.shape[1] * src.block_size)
    if not len(block_table):
        return block_table.new_empty(0), 0
    made: list[tuple[torch.Tensor, torch.Tensor]] = []
    lists = [t for t in (block_table, seq_lens, seq_starts) if t is not None]

    def work() -> None:
        made.append(
            slots_of_table(
                block_table, seq_lens, seq_starts, src.block_size, src.blocks, dst.slots, most
            )
        )

    queue.submit(stream, work, lists)
    slots, found = made[0]
    _report(queue, stream, found, src, dst, block_table.shape[1] * src.block_size)
    return slots, most


def slots_of_table(
    block_table: torch.Tensor,
    seq_lens: torch.Tensor,
    seq_starts: torch.Tensor | None,
    block_size: int,
    blocks: int,
    room: int,
    most: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """int64 ``[most]`` slots, and int64 ``[5]``: how often each of ``_WRONG`` was met."""
    import torch

    table, lens = block_table.long(), seq_lens.long()
    starts = torch.zeros_like(lens) if seq_starts is None else seq_starts.long()
    capacity = table.shape[1] * block_size
    bad_start, bad_length = starts < 0, lens < 0
    bad_end = (starts + lens > capacity) & ~bad_start & ~bad_length
    sound = ~(bad_start | bad_length | bad_end)
    counted = torch.where(sound, lens, torch.zeros_like(lens))
    ends = counted.cumsum(0)
    too_many = (ends[-1:] > room).long()
    wrong = [bad_start.sum().reshape(1), bad_length.sum().reshape(1), bad_end.sum().reshape(1)]
    if most == 0:
        none = torch.zeros_like(too_many)
        return ends.new_empty(0), torch.cat([*wrong, too_many, none])
    place = torch.arange(most, device=table.device)
    sequence = torch.searchsorted(ends, place, right=True).clamp(max=len(lens) - 1)
    before = ends.index_select(0, sequence) - counted.index_select(0, sequence)
    token = starts.index_select(0, sequence) + place - before
    used = place < ends[-1:]
    token = torch.where(used, token, torch.zeros_like(token))
    entry = token.div(block_size, rounding_mode="floor")
    at = sequence * table.shape[1] + entry
    block = table.reshape(-1).index_select(0, at)
    bad_block = used & (block >= blocks)
    slots = block * block_size + token - entry * block_size
    skip = ~used | (block < 0) | bad_block
    slots = torch.where(skip, torch.full_like(slots, -1), slots)
    return slots, torch.cat([*wrong, too_many, bad_block.sum().reshape(1)])


def _check(
    block_table: torch.Tensor, seq_lens: torch.Tensor, seq_starts: torch.Tensor | None
) -> None:
    import torch

    given = {"block_table": (block_table, 2), "seq_lens": (seq_lens, 1)}
    if seq_starts is not None:
        given["seq_starts"] = (seq_starts, 1)
    for name, (tensor, axes) in given.items():
        if tensor.dtype not in (torch.int32, torch.int64):
            raise DTypeError(name, "an int32 or int64 tensor", tensor.dtype)
        if tensor.dim() != axes:
            raise ShapeError(name, f"{axes} axes", tuple(tensor.shape))
        if tensor.device != block_table.device:
            raise DeviceError(name, f"device {block_table.device} as block_table", tensor.device)
        if len(tensor) != len(block_table):
            raise ShapeError(name, f"{len(block_table)} sequences", len(tensor))


def _report(
    queue: DeviceQueue,
    stream: Stream | None,
    found: torch.Tensor,
    src: KVCache,
    dst: KVCache,
    capacity: int,
) -> None:
    seen = queue.staging(found.shape, found.dtype)
    queue.to_host(seen, found, stream)
    blocks, room = src.blocks, dst.slots
    said = {
        "start": ("seq_starts", "starts of at least 0"),
        "length": ("seq_lens", "lengths of at least 0"),
        "end": ("seq_lens", f"sequences that end within {capacity} tokens (block_table's row)"),
        "total": ("seq_lens", f"at most {room} tokens in all"),
        "block": ("block_table", f"blocks below {blocks}"),
    }

    def tell() -> None:
        for what, count in zip(_WRONG, seen.tolist(), strict=True):
            if count:
                raise SlotError(*said[what], f"{count} others" if count > 1 else "another")

    queue.host_part(stream, tell)
