"""Two tensors of one shape, in pieces that fit a buffer."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["as_integers", "cut", "pairs_of_pieces"]


def cut(extents: Sequence[int], most: int) -> Iterator[tuple[int | slice, ...]]:
    """Indices that cover an array of these extents, row-major, at most ``most`` elements each.

    One piece if it fits; otherwise all axes but one are whole or a single index, and the pieces
    are half as large as they might be on the average, or larger.
    """
    if not math.prod(extents):
        return
    if math.prod(extents) <= most:
        yield ()
        return
    axis, inner = 0, math.prod(extents[1:])
    while inner > most:
        axis += 1
        inner //= extents[axis]
    step = most // inner
    for outer in itertools.product(*(range(n) for n in extents[:axis])):
        for start in range(0, extents[axis], step):
            yield (*outer, slice(start, min(start + step, extents[axis])))


def pairs_of_pieces(
    dst: torch.Tensor, src: torch.Tensor, nbytes: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Views that cover both, piece by piece, at most ``nbytes`` each; integers as they lie."""
    import torch

    if dst.is_contiguous() and src.is_contiguous():
        dst, src = (t.reshape(-1).view(torch.uint8) for t in (dst, src))
    else:
        dst, src = as_integers(dst), as_integers(src)
    indices = cut(dst.shape, nbytes // dst.element_size())
    return [(dst[i], src[i]) if i else (dst, src) for i in indices]


def as_integers(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory as integers, which torch copies bit for bit, whatever the dtype."""
    import torch

    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    kind = kinds.get(tensor.element_size())
    return tensor if kind is None else tensor.view(kind)
