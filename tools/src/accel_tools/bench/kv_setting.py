"""What the KV workloads of one run share: the shape, the number of tokens, how slots are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .shapes import KVShape
from .site import Site

if TYPE_CHECKING:
    import torch

    from accel.kv.plan import Grain

__all__ = ["KVSetting"]


@dataclass(frozen=True)
class KVSetting:
    """``tokens`` tokens of ``shape``, and the layouts asked for beside the usual ones."""

    shape: KVShape
    tokens: int
    layouts: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Payload over all layers."""
        return self.tokens * self.shape.token_bytes

    @property
    def blocks(self) -> int:
        """Blocks that hold the tokens."""
        return -(-self.tokens // self.shape.block_size)

    @property
    def pool_blocks(self) -> int:
        """Blocks of a paged cache: twice as many, so that slots drawn from it are no run."""
        return 2 * self.blocks

    def whole_blocks(self) -> KVSetting:
        """The same with as many tokens as the blocks hold."""
        return replace(self, tokens=self.blocks * self.shape.block_size)

    def with_block_size(self, block_size: int) -> KVSetting:
        return replace(self, shape=replace(self.shape, block_size=block_size))

    def labels(self, **more: str | int) -> dict[str, str | int]:
        """What every row of this setting is labelled with."""
        shape = self.shape
        return {
            "shape": shape.name,
            "tokens": self.tokens,
            "dtype": shape.dtype_name,
            "block_size": shape.block_size,
            **more,
        }

    def random_units(self, site: Site, grain: Grain, what: str) -> torch.Tensor:
        """Distinct tokens (or blocks) of a paged cache, in random order."""
        import torch

        n, pool = self.tokens, self.pool_blocks * self.shape.block_size
        if grain == "block":
            n, pool = self.blocks, self.pool_blocks
        return torch.randperm(pool, generator=site.generator(what))[:n]

    def units_in_order(self, grain: Grain) -> torch.Tensor:
        """The first tokens (or blocks)."""
        import torch

        return torch.arange(self.tokens if grain == "token" else self.blocks)

    def token_slots(self, units: torch.Tensor, grain: Grain) -> torch.Tensor:
        """The token slots that these units are."""
        import torch

        if grain == "token":
            return units
        size = self.shape.block_size
        return (units.unsqueeze(1) * size + torch.arange(size)).flatten()
