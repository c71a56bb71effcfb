"""KV caches for benchmarks: made in any kind of memory, filled, poisoned and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accel.kv import KVCache, KVLayout

from .shapes import KVShape
from .site import POISON, Kind, Site

if TYPE_CHECKING:
    import torch

    from accel.kv.plan import Grain

__all__ = ["BenchCache", "difference", "unit_rows"]


@dataclass(frozen=True)
class BenchCache:
    """A cache, and how to make another one like it."""

    site: Site
    cache: KVCache
    layout: str
    shape: KVShape
    blocks: int

    @classmethod
    def make(cls, site: Site, kind: Kind, layout: str, shape: KVShape, blocks: int) -> BenchCache:
        """Uninitialised, ``blocks`` blocks of the shape's block size (a flat layout's tokens)."""
        parsed = KVLayout(layout)
        heads, head_dim = shape.heads, shape.head_dim
        if "H" not in parsed.inner:
            heads, head_dim = 1, heads * head_dim
        split = max(1, 16 // shape.dtype.itemsize)
        sizes = {
            "L": shape.layers, "K": shape.planes, "B": blocks, "S": shape.block_size,
            "T": blocks * shape.block_size, "H": heads, "D": head_dim,
            "D1": head_dim // split, "D0": split,
        }  # fmt: skip
        extents = parsed.tensor_shape(sizes)

        def nest(axes: Sequence[str]) -> Any:
            if not axes:
                return site.empty(kind, extents, shape.dtype)
            return [nest(axes[1:]) for _ in range(sizes[axes[0]])]

        size = None if parsed.paged else shape.block_size
        return cls(
            site, KVCache(nest(parsed.outer), parsed, block_size=size), layout, shape, blocks
        )

    def randomise(self, what: str) -> BenchCache:
        """Random bytes everywhere; returns itself."""
        generator = self.site.generator(what)
        for tensor in self.cache.tensors:
            self.site.randomise(tensor, generator)
        return self

    def poison(self) -> None:
        """POISON everywhere."""
        for tensor in self.cache.tensors:
            self.site.poison(tensor)

    def comparable(self) -> KVCache:
        """The cache where it is in the memory where results are compared, else a copy there."""
        return self.cache if self.cache.device == self.site.checking else self.snapshot()

    def snapshot(self) -> KVCache:
        """A copy where results are compared."""
        kind: Kind = "device" if self.site.operators else "host"
        twin = type(self).make(self.site, kind, self.layout, self.shape, self.blocks)
        for ours, theirs in zip(twin.cache.tensors, self.cache.tensors, strict=True):
            ours.copy_(theirs)
        return twin.cache


def unit_rows(cache: KVCache, layer: int, plane: int, grain: Grain) -> torch.Tensor | None:
    """One plane as a row for each token (or block), sharing the memory.

    None where the strides forbid it, as with heads outside of slots.
    """
    units = cache.slots if grain == "token" else cache.blocks
    try:
        return cache.view(layer, plane).view(units, -1)
    except RuntimeError:
        return None


def difference(
    src: KVCache,
    dst: KVCache,
    src_slots: torch.Tensor,
    dst_slots: torch.Tensor,
    before: KVCache | None = None,
    layers: Sequence[int] | None = None,
) -> str:
    """What is wrong with ``dst`` after token ``src_slots[i]`` went to ``dst_slots[i]``, or "".

    All caches are in one memory. Slots not named must be as in ``before``, or POISON without it.
    ``layers`` are the layers' numbers for the message, where the caches are part of one.
    """
    import torch

    src_slots, dst_slots = (slots.to(dst.device) for slots in (src_slots, dst_slots))
    others = torch.ones(dst.slots, dtype=torch.bool, device=dst.device)
    others[dst_slots] = False
    rest = others.nonzero().flatten()
    for layer in range(dst.layers):
        for plane in range(dst.planes):
            where = f"layer {layers[layer] if layers else layer} plane {plane}"
            got = _take(dst, layer, plane, dst_slots)
            wrong = _first_different(got, _take(src, layer, plane, src_slots))
            if wrong is not None:
                to, origin = int(dst_slots[wrong]), int(src_slots[wrong])
                return f"{where}: slot {to} does not hold slot {origin} of the source"
            got = _take(dst, layer, plane, rest)
            was = POISON if before is None else _take(before, layer, plane, rest)
            wrong = _first_different(got, was)
            if wrong is not None:
                return f"{where}: slot {int(rest[wrong])} was written and must not be"
    return ""


def _take(cache: KVCache, layer: int, plane: int, slots: torch.Tensor) -> torch.Tensor:
    """``[n, bytes]`` of these slots."""
    import torch

    rows = unit_rows(cache, layer, plane, "token")
    if rows is not None:
        # As bytes: not every device indexes every dtype.
        taken = rows.view(torch.uint8).index_select(0, slots)
    else:
        size = cache.block_size
        taken = cache.view(layer, plane)[slots // size, slots % size].flatten(1)
    return taken.contiguous().view(torch.uint8)


def _first_different(got: torch.Tensor, expected: torch.Tensor | int) -> int | None:
    """The first row that differs, or None."""
    import torch

    if isinstance(expected, int):
        # min and max read the bytes once each; == would write as many again.
        if not got.numel() or (int(got.min()) == expected == int(got.max())):
            return None
    elif torch.equal(got, expected):
        return None
    return int((got != expected).any(dim=1).nonzero()[0])
