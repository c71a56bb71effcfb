"""The strides of a cache's planes, apart from its addresses: what a transfer plan depends on."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..strided_boxes import Dim

__all__ = ["Dim", "Geometry", "Plane"]


@dataclass(frozen=True)
class Plane:
    """One plane of every layer (K, or V, or the only one). Strides in bytes."""

    dtype: str  #: torch's name without the prefix, ``bfloat16``
    itemsize: int
    block_stride: int
    slot_stride: int
    dims: tuple[Dim, ...]  #: head, head dim (outer part, inner part); extents of one left out

    @property
    def elements(self) -> int:
        """Elements of one token in this plane."""
        n = 1
        for extent, _ in self.dims:
            n *= extent
        return n


@dataclass(frozen=True)
class Geometry:
    """A cache without its addresses; hashable, so that plans are made once per pair."""

    # Hashed once: it is looked up on every call.
    _hash: int = field(init=False, repr=False, compare=False)

    layers: int
    blocks: int
    block_size: int
    paged: bool  #: False for a flat token axis, which adopts the block size of its counterpart
    planes: tuple[Plane, ...]

    def __post_init__(self) -> None:
        fields = (self.layers, self.blocks, self.block_size, self.paged, self.planes)
        object.__setattr__(self, "_hash", hash(fields))

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[type[Geometry], tuple[object, ...]]:
        # Hashes of strings differ between processes.
        return Geometry, (self.layers, self.blocks, self.block_size, self.paged, self.planes)
