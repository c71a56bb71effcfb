"""The KV shapes that cases run on: four real models, and the odd ones where bugs live."""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["DTYPES", "DTYPE_NAMES", "MODELS", "ODD_SHAPES", "SMALL", "KVShape"]

#: The dtypes that data movement is checked for.
DTYPES: tuple[torch.dtype, ...] = (
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float8_e4m3fn,
    torch.int8,
    torch.int64,
)
DTYPE_NAMES = tuple(str(d).removeprefix("torch.") for d in DTYPES)


@dataclass(frozen=True)
class KVShape:
    """The extents of one KV cache.

    ``planes`` is 2 for K and V, and 1 where there is no K axis (MLA: latent and rope as one row).
    """

    name: str
    layers: int
    blocks: int
    block_size: int
    heads: int
    head_dim: int
    planes: int = 2

    @property
    def slots(self) -> int:
        """Tokens that fit."""
        return self.blocks * self.block_size

    @property
    def hidden(self) -> int:
        """Elements of one token in one plane of one layer."""
        return self.heads * self.head_dim


#: Full layer counts and widths; few blocks, so that a case takes some milliseconds.
MODELS = (
    KVShape("llama-3-8b", 32, 3, 16, 8, 128),
    KVShape("llama-3-70b-tp8", 80, 4, 16, 1, 128),
    KVShape("qwen2.5-7b", 28, 4, 16, 4, 128),
    KVShape("deepseek-v3-mla", 61, 3, 16, 1, 576, planes=1),
)

#: Where the shape does not matter.
SMALL = KVShape("small", 2, 5, 4, 3, 8)

ODD_SHAPES = (
    KVShape("one-token", 1, 1, 1, 1, 8),
    KVShape("one-element", 1, 3, 2, 1, 1),
    KVShape("block-1", 3, 7, 1, 2, 16),
    KVShape("one-block", 2, 1, 16, 2, 16),
    KVShape("head-size-80", 2, 3, 8, 2, 80),
    KVShape("head-size-120", 2, 3, 8, 2, 120),
    KVShape("heads-3", 2, 4, 4, 3, 24),
    KVShape("heads-5-odd-dim", 2, 4, 4, 5, 7),
    KVShape("heads-7", 1, 4, 8, 7, 64),
    KVShape("heads-40", 1, 3, 4, 40, 16),
    KVShape("odd-everything", 3, 5, 3, 3, 5),
    KVShape("block-128", 1, 2, 128, 1, 32),
)
