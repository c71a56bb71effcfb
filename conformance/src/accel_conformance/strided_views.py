"""Tensors of every stride a copy may meet, each made from one flat allocation."""

from __future__ import annotations

from collections.abc import Callable

import torch

__all__ = ["DTYPES", "VIEWS", "make_view"]

#: Data movement is checked for all of these.
DTYPES: tuple[torch.dtype, ...] = (
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float8_e4m3fn,
    torch.int8,
    torch.int64,
)

#: Name to (elements needed, the view of a flat tensor of that many). All have shape [6, 5, 4].
VIEWS: dict[str, tuple[int, Callable[[torch.Tensor], torch.Tensor]]] = {
    "contiguous": (120, lambda t: t.view(6, 5, 4)),
    "offset": (127, lambda t: t[7:].view(6, 5, 4)),
    "transposed": (120, lambda t: t.view(4, 5, 6).transpose(0, 2)),
    "permuted": (120, lambda t: t.view(5, 4, 6).permute(2, 0, 1)),
    "steps": (6 * 15 * 8, lambda t: t.view(6, 15, 8)[:, ::3, ::2]),
    "rows": (6 * 11 * 4, lambda t: t.view(6, 11, 4)[:, 3:8]),
    "columns": (6 * 5 * 9, lambda t: t.view(6, 5, 9)[:, :, 5:]),
    "padded": (6 * 37 + 20, lambda t: t.as_strided((6, 5, 4), (37, 4, 1))),
    "inner strided": (120 * 3, lambda t: t.view(6, 5, 4, 3)[..., 1]),
    "two axes merge": (6 * 40, lambda t: t.view(6, 2, 20)[:, 1].view(6, 5, 4)),
}


def make_view(base: torch.Tensor, name: str) -> torch.Tensor:
    """The view of that name; ``base`` is flat, with as many elements as ``VIEWS`` says."""
    return VIEWS[name][1](base)
