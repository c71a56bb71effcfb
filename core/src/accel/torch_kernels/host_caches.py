"""Transfers between a cache on the device and one in host memory.

The device packs what moves into contiguous memory, one copy carries it through pinned memory, and
a host callback in the stream's order puts it where it belongs (and the other way round). Pieces
follow one another on the stream, so that one staging buffer serves them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .row_moves import GroupWork, flat_views, index_of, pieces
from .rows import Side, matrix_of, unit_rows

if TYPE_CHECKING:
    import torch

    from ..kv import KVCache
    from ..providers import Stream
    from .movement import Pair
    from .queue import DeviceQueue

__all__ = ["move_between"]


def move_between(
    queue: DeviceQueue,
    pair: Pair,
    src: KVCache,
    dst: KVCache,
    read: torch.Tensor,
    write: torch.Tensor,
    stream: Stream | None,
) -> None:
    """Queue the transfer of checked pairs; one of the caches is on the device."""
    import torch

    views = flat_views(src), flat_views(dst)
    down = pair.on_device[0]  # from the device to the host
    parts = pieces(len(read), pair.unit_bytes)
    most = max(p.stop - p.start for p in parts)
    # Every group's part begins at a multiple of 16, so that its rows can be seen as integers.
    starts, size = [], 0
    for g in pair.groups:
        starts.append(size)
        size += -(-g.group.unit_bytes * most // 16) * 16
    host = queue.staging((size,), torch.uint8)
    device = queue.empty((size,), torch.uint8, stream)
    there = _upload(queue, pair, read if down else write, down, stream)

    for part in parts:
        count = part.stop - part.start
        at = [
            (g, start, g.group.unit_bytes * count)
            for g, start in zip(pair.groups, starts, strict=True)
        ]

        def on_device(part: slice = part, at: list[tuple[GroupWork, int, int]] = at) -> None:
            for g, start, nbytes in at:
                side, inner = (g.group.src, g.src_inner) if down else (g.group.dst, g.dst_inner)
                rows = there[side.paging][part]
                packed = device[start : start + nbytes]
                _rows(side, inner, views[0 if down else 1], rows, packed, take=down)

        def on_host(part: slice = part, at: list[tuple[GroupWork, int, int]] = at) -> None:
            for g, start, nbytes in at:
                side = g.group.dst if down else g.group.src
                rows = unit_rows((write if down else read)[part], side.paging)
                packed = host[start : start + nbytes]
                _rows(side, side.inner, views[1 if down else 0], rows, packed, take=not down)

        if down:
            queue.submit(stream, on_device)
            queue.to_host(host, device, stream)
            queue.host_part(stream, on_host)
        else:
            queue.host_part(stream, on_host)
            queue.to_device_at(device, host, stream)
            queue.submit(stream, on_device)


def _upload(
    queue: DeviceQueue, pair: Pair, units: torch.Tensor, down: bool, stream: Stream | None
) -> dict[tuple[int, int, int], torch.Tensor]:
    """The device side's rows, by paging."""
    import torch

    sides = [g.group.src if down else g.group.dst for g in pair.groups]
    pagings = list(dict.fromkeys(side.paging for side in sides))
    rows = queue.upload(torch.stack([unit_rows(units, p) for p in pagings]), stream)
    return {p: rows[i] for i, p in enumerate(pagings)}


def _rows(
    side: Side,
    inner: torch.Tensor,
    views: list[torch.Tensor],
    units: torch.Tensor,
    packed: torch.Tensor,
    *,
    take: bool,
) -> None:
    """Take the units' rows into ``packed`` (bytes), or put them from there."""
    matrix = matrix_of(side, views[side.tensor])
    shaped = packed.view(matrix.dtype).view(-1, matrix.shape[1])
    index = index_of(units, inner)
    if take:
        shaped.copy_(matrix.index_select(0, index))
    else:
        matrix.index_copy_(0, index, shaped)
