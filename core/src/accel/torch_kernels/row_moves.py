"""Gathers and scatters of a group's rows, in pieces whose payload is bounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .indices import MaskedPairs, mask_pairs
from .rows import Group, Side, matrix_of, unit_rows

if TYPE_CHECKING:
    import torch

    from ..kv import KVCache

__all__ = [
    "GroupWork",
    "Views",
    "flat_views",
    "index_of",
    "masked_move",
    "move_rows",
    "pieces",
    "scatter",
]

#: Payload that one gather holds between the two sides, and one host part moves.
PIECE_BYTES = 64 << 20


@dataclass(eq=False)
class GroupWork:
    """A group with its row tables on the device."""

    group: Group
    src_inner: torch.Tensor
    dst_inner: torch.Tensor


#: By place: the tensors of the source, and of the destination.
Views = tuple[list["torch.Tensor"], list["torch.Tensor"]]


def flat_views(cache: KVCache) -> list[torch.Tensor]:
    """By ``layer * planes + plane``, as :class:`~.rows.Place` counts them."""
    return [view for row in cache.views for view in row]


def pieces(count: int, unit_bytes: int) -> list[slice]:
    """Parts of a list whose payload is bounded."""
    step = max(1, PIECE_BYTES // max(1, unit_bytes))
    return [slice(i, min(i + step, count)) for i in range(0, count, step)]


def index_of(rows: torch.Tensor, inner: torch.Tensor) -> torch.Tensor:
    """Every row of every unit."""
    if len(inner) == 1:
        return rows + inner
    return (rows.unsqueeze(1) + inner).flatten()


def move_rows(g: GroupWork, views: Views, sources: torch.Tensor, targets: torch.Tensor) -> None:
    """One gather, one scatter."""
    rows = matrix_of(g.group.src, views[0][g.group.src.tensor])
    taken = rows.index_select(0, index_of(sources, g.src_inner))
    scatter(g.group.dst, g.dst_inner, views[1], targets, taken)


def scatter(
    side: Side,
    inner: torch.Tensor,
    views: list[torch.Tensor],
    units: torch.Tensor,
    values: torch.Tensor,
) -> None:
    """Write contiguous ``values`` to the rows of units that begin at the rows ``units``."""
    target = matrix_of(side, views[side.tensor])
    shaped = values.flatten().view(target.dtype).view(-1, target.shape[1])
    target.index_copy_(0, index_of(units, inner), shaped)


def masked_move(
    groups: list[GroupWork],
    views: Views,
    read: torch.Tensor,
    write: torch.Tensor,
    units: tuple[int, int],
) -> torch.Tensor:
    """A transfer by lists that are not looked at; what is wrong with them, int64 ``[4]``."""
    import torch

    if 0 in units:  # every pair that is not padding is wrong, and there is nothing to write to
        src, dst = read.long(), write.long()
        wrong = (src >= 0) & (dst >= 0)
        at = wrong.int().argmax().reshape(1)
        found = (
            wrong.any().long().reshape(1),
            at,
            src.index_select(0, at),
            dst.index_select(0, at),
        )
        return torch.cat(found)
    pairs = mask_pairs(read, write, *units)
    for g in groups:
        for part in pieces(len(read), g.group.unit_bytes):
            _masked_piece(g, views, pairs, part)
    return pairs.finding


def _masked_piece(g: GroupWork, views: Views, pairs: MaskedPairs, part: slice) -> None:
    import torch

    sources = unit_rows(pairs.src[part], g.group.src.paging)
    targets = unit_rows(pairs.dst[part], g.group.dst.paging)
    rows = matrix_of(g.group.src, views[0][g.group.src.tensor])
    taken = rows.index_select(0, index_of(sources, g.src_inner))
    target = matrix_of(g.group.dst, views[1][g.group.dst.tensor])
    shaped = taken.flatten().view(target.dtype).view(len(sources), -1, target.shape[1])
    # Where no pair counts, what is there is written again: unit 0, which all pairs then name.
    there = target.index_select(0, index_of(targets[:1], g.dst_inner))
    kept = torch.where(pairs.any_counts, shaped, there.unsqueeze(0))
    target.index_copy_(0, index_of(targets, g.dst_inner), kept.flatten(0, 1))
