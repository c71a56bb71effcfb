"""Which bytes two caches share: decided from strides where possible, from the slots otherwise.

A cache plane is a box of byte runs (:mod:`accel.strided_boxes`). Values and scales in one page, or
the layers of a cross-layer cache, interleave without meeting and are told apart here, once per pair
of caches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from ..errors import OverlapError
from ..strided_boxes import Region, box_meets_itself, boxes_meet, close_pairs, merged_box
from ..tensor_overlap import tensor_box
from .geometry import Dim, Geometry

if TYPE_CHECKING:
    import torch

    from .cache import KVCache
    from .plan import Paging, TransferPlan

__all__ = [
    "Sharing",
    "cache_shares",
    "check_bytes",
    "check_destination",
    "sharing",
]

#: ``none``: no byte can be common. ``same``: one cache (or two descriptions of the same), where
#: equal indices are equal bytes. ``partial``: it depends on the slots; check_bytes decides.
Sharing = Literal["none", "same", "partial"]


def sharing(src: KVCache, dst: KVCache) -> Sharing:
    """How the memory of two caches relates; exact but for pathological strides ("partial")."""
    if src is dst or (src.pointers == dst.pointers and src.geometry == dst.geometry):
        return "same"
    if src.device != dst.device:
        return "none"
    for a, b in close_pairs(sorted((*_regions(src, 0), *_regions(dst, 1)))):
        if a.owner != b.owner and boxes_meet(a.dims, b.dims, b.start - a.start):
            return "partial"
    return "none"


def check_destination(dst: KVCache, argument: str = "dst") -> None:
    """Raise OverlapError when two places of ``dst`` are the same bytes (an expanded tensor, one
    tensor given for two layers). The answer is kept on the cache."""
    if dst.self_overlap is None:
        dst.self_overlap = _self_overlap(dst)
    if dst.self_overlap:
        raise OverlapError(
            argument,
            "a destination whose places are distinct memory",
            dst.self_overlap,
            "give every layer and plane memory of its own, without expanded axes",
        )


def cache_shares(
    cache: KVCache, plane: int, layers: Sequence[int], tensor: torch.Tensor
) -> int | None:
    """The first of these layers whose ``plane`` has a byte in common with ``tensor``, or None."""
    if cache.device != tensor.device or not cache.blocks or not tensor.numel():
        return None
    box, other = _box(cache.geometry, plane), tensor_box(tensor)
    for layer in layers:
        start = cache.pointers[layer * cache.planes + plane]
        if boxes_meet(box, other, tensor.data_ptr() - start):
            return layer
    return None


def check_bytes(
    plan: TransferPlan,
    src_pointers: Sequence[int],
    dst_pointers: Sequence[int],
    src_slots: torch.Tensor,
    dst_slots: torch.Tensor,
    argument: str,
    dst_plan: TransferPlan | None = None,
) -> None:
    """Raise OverlapError when this transfer would read a byte that it also writes.

    Exact, and slow: lists all runs on both sides and sorts them. For ``partial`` sharing only.
    Slots are int64 without skipped pairs; pointers are ``[layer * planes + plane]``. Where elements
    change their size on the way, ``plan`` is what is read and ``dst_plan`` what is written.
    """
    import torch

    reads: list[torch.Tensor] = []
    writes: list[torch.Tensor] = []
    planes = len(plan.planes)
    both = zip(plan.planes, (dst_plan or plan).planes, strict=True)
    for i, (source, target) in enumerate(both):
        for slots, plane, paging, side, pointers, out in (
            (src_slots, source, source.src, 1, src_pointers, reads),
            (dst_slots, target, target.dst, 2, dst_pointers, writes),
        ):
            offsets = torch.zeros(1, dtype=torch.int64)
            for dim in plane.dims:
                offsets = (offsets[:, None] + torch.arange(dim[0]) * dim[side]).flatten()
            starts = (_unit_offsets(slots, paging)[:, None] + offsets).flatten()
            for layer in range(plan.layers):
                # Addresses of user space fit 63 bits.
                first = starts + pointers[layer * planes + i]
                out.append(torch.stack((first, first + plane.run_bytes)))
    read, write = torch.cat(reads, 1), torch.cat(writes, 1)
    write = write[:, write[0].argsort()]
    if not read.numel() or not write.numel():
        return
    # Writes are disjoint, so only the neighbours of a read's start can touch it.
    after = torch.searchsorted(write[0].contiguous(), read[0].contiguous())
    touch_after = write[0][after.clamp(max=write.shape[1] - 1)] < read[1]
    touch_before = write[1][(after - 1).clamp(min=0)] > read[0]
    bad = (touch_after & (after < write.shape[1])) | (touch_before & (after > 0))
    if bad.any():
        at = int(read[0][bad].min())
        raise OverlapError(
            argument,
            "destinations that share no byte with the sources",
            f"the byte at address {at:#x} is in a run that is read and one that is written",
            "transfer through another cache, or in two calls",
        )


def _unit_offsets(slots: torch.Tensor, paging: Paging) -> torch.Tensor:
    block = slots.div(paging.block_size, rounding_mode="floor")
    return block * paging.block_stride + (slots % paging.block_size) * paging.slot_stride


def _regions(cache: KVCache, owner: int) -> Iterator[Region]:
    if cache.blocks == 0:
        return
    boxes = [_box(cache.geometry, p) for p in range(cache.planes)]
    spans = [1 + sum((n - 1) * s for n, s in box) for box in boxes]
    for i, start in enumerate(cache.pointers):
        layer, plane = divmod(i, cache.planes)
        name = f"layer {layer} plane {plane}"
        yield Region(start, start + spans[plane], owner, name, boxes[plane])


@lru_cache(maxsize=4096)
def _box(geometry: Geometry, plane: int) -> tuple[Dim, ...]:
    p = geometry.planes[plane]
    dims = [
        (geometry.blocks, p.block_stride),
        (geometry.block_size, p.slot_stride),
        *p.dims,
        (p.itemsize, 1),
    ]
    return merged_box(dims)


def _self_overlap(cache: KVCache) -> str:
    for region in list(_regions(cache, 0))[: cache.planes]:
        if box_meets_itself(region.dims):
            return f"{region.name} overlaps itself (strides in bytes {region.dims})"
    for a, b in close_pairs(sorted(_regions(cache, 0))):
        if boxes_meet(a.dims, b.dims, b.start - a.start):
            return f"{a.name} and {b.name} share memory"
    return ""
