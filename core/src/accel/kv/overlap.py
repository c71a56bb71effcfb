"""Which bytes two caches share: decided from strides where possible, from the slots otherwise.

A cache plane is a box of byte runs: a base address and nested (extent, stride) dimensions, the
innermost a run of stride 1. Whether two boxes ever meet is a small integer problem, solved exactly
for the nested strides that tensors have. Values and scales in one page, or the layers of a
cross-layer cache, interleave without meeting and are told apart here, once per pair of caches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..errors import OverlapError
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
    "tensor_overlaps",
    "tensors_share",
]

#: ``none``: no byte can be common. ``same``: one cache (or two descriptions of the same), where
#: equal indices are equal bytes. ``partial``: it depends on the slots; check_bytes decides.
Sharing = Literal["none", "same", "partial"]

#: Steps of the search before "perhaps" is the answer; nested strides need some tens.
_BUDGET = 200_000


class _Region(NamedTuple):
    start: int
    end: int
    owner: int
    name: str
    dims: tuple[Dim, ...]


def sharing(src: KVCache, dst: KVCache) -> Sharing:
    """How the memory of two caches relates; exact but for pathological strides ("partial")."""
    if src is dst or (src.pointers == dst.pointers and src.geometry == dst.geometry):
        return "same"
    if src.device != dst.device:
        return "none"
    for a, b in _close(sorted((*_regions(src, 0), *_regions(dst, 1)))):
        if a.owner != b.owner and _meet(a.dims, b.dims, b.start - a.start):
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


def tensor_overlaps(tensor: torch.Tensor) -> bool:
    """Whether two elements of ``tensor`` have a byte in common (an expanded axis)."""
    return tensor.numel() > 0 and _meets_itself(_tensor_box(tensor))


def tensors_share(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors have a byte in common; exact but for pathological strides (True)."""
    if a.device != b.device or not a.numel() or not b.numel():
        return False
    return _boxes_meet(a.data_ptr(), _tensor_box(a), b.data_ptr(), _tensor_box(b))


def cache_shares(
    cache: KVCache, plane: int, layers: Sequence[int], tensor: torch.Tensor
) -> int | None:
    """The first of these layers whose ``plane`` has a byte in common with ``tensor``, or None."""
    if cache.device != tensor.device or not cache.blocks or not tensor.numel():
        return None
    box, other = _box(cache.geometry, plane), _tensor_box(tensor)
    for layer in layers:
        start = cache.pointers[layer * cache.planes + plane]
        if _boxes_meet(start, box, tensor.data_ptr(), other):
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


def _regions(cache: KVCache, owner: int) -> Iterator[_Region]:
    if cache.blocks == 0:
        return
    boxes = [_box(cache.geometry, p) for p in range(cache.planes)]
    spans = [1 + sum((n - 1) * s for n, s in box) for box in boxes]
    for i, start in enumerate(cache.pointers):
        layer, plane = divmod(i, cache.planes)
        name = f"layer {layer} plane {plane}"
        yield _Region(start, start + spans[plane], owner, name, boxes[plane])


@lru_cache(maxsize=4096)
def _box(geometry: Geometry, plane: int) -> tuple[Dim, ...]:
    """``(extent, stride in bytes)``, largest stride first, the last a run of stride 1."""
    p = geometry.planes[plane]
    dims = [
        (geometry.blocks, p.block_stride),
        (geometry.block_size, p.slot_stride),
        *p.dims,
        (p.itemsize, 1),
    ]
    return _nested(dims)


def _tensor_box(tensor: torch.Tensor) -> tuple[Dim, ...]:
    size = tensor.element_size()
    strides = (s * size for s in tensor.stride())
    return _nested([*zip(tensor.shape, strides, strict=True), (size, 1)])


def _nested(dims: list[Dim]) -> tuple[Dim, ...]:
    """Largest stride first, without extents of one, contiguous neighbours joined."""
    out: list[Dim] = []
    for n, s in sorted((d for d in dims if d[0] > 1), key=lambda d: d[1]):
        if out and s and s == out[-1][0] * out[-1][1]:
            out[-1] = (out[-1][0] * n, out[-1][1])
        else:
            out.append((n, s))
    return tuple(reversed(out))


def _boxes_meet(a: int, a_dims: tuple[Dim, ...], b: int, b_dims: tuple[Dim, ...]) -> bool:
    """Whether boxes at two addresses have a byte in common."""
    a_end = a + 1 + sum((n - 1) * s for n, s in a_dims)
    b_end = b + 1 + sum((n - 1) * s for n, s in b_dims)
    return a < b_end and b < a_end and _meet(a_dims, b_dims, b - a)


def _close(regions: list[_Region]) -> Iterator[tuple[_Region, _Region]]:
    """Pairs whose bounds intersect, of regions sorted by start."""
    active: list[_Region] = []
    for region in regions:
        active = [a for a in active if a.end > region.start]
        for a in active:
            yield a, region
        active.append(region)


def _self_overlap(cache: KVCache) -> str:
    for region in list(_regions(cache, 0))[: cache.planes]:
        if _meets_itself(region.dims):
            return f"{region.name} overlaps itself (strides in bytes {region.dims})"
    for a, b in _close(sorted(_regions(cache, 0))):
        if _meet(a.dims, b.dims, b.start - a.start):
            return f"{a.name} and {b.name} share memory"
    return ""


#: (stride, lowest coefficient, highest coefficient)
_Term = tuple[int, int, int]


@lru_cache(maxsize=65536)
def _meet(a: tuple[Dim, ...], b: tuple[Dim, ...], distance: int) -> bool:
    """Whether box ``a`` at 0 and box ``b`` at ``distance`` have a byte in common."""
    bounds: dict[int, tuple[int, int]] = {}
    for dims, sign in ((a, 1), (b, -1)):
        for n, s in dims:
            low, high = bounds.get(s, (0, 0))
            bounds[s] = (low, high + n - 1) if sign > 0 else (low - (n - 1), high)
    terms = tuple((s, *bounds[s]) for s in sorted(bounds, reverse=True) if s)
    return _reachable(terms, distance)


def _meets_itself(dims: tuple[Dim, ...]) -> bool:
    """Whether two different indices of a box lead to the same byte."""
    span = 1
    for n, s in reversed(dims):
        if s < span:
            break
        span += (n - 1) * s
    else:
        return False  # nested: every stride steps over all that lies within
    if any(s == 0 for _, s in dims):
        return True
    terms = tuple((s, -(n - 1), n - 1) for n, s in dims)
    # Two indices differ first in dimension i, by +c without loss of generality.
    return any(
        _reachable(terms[i + 1 :], -c * s)
        for i, (s, _, most) in enumerate(terms)
        for c in range(1, most + 1)
        if c * s <= sum(t * h for t, _, h in terms[i + 1 :])
    )


def _reachable(terms: tuple[_Term, ...], target: int) -> bool:
    """Whether ``sum(c_i * stride_i) == target`` for coefficients within their bounds."""
    low, high = [0], [0]
    for s, least, most in reversed(terms):
        low.append(low[-1] + s * least)
        high.append(high[-1] + s * most)
    low.reverse()
    high.reverse()
    pending, steps = [(0, target)], 0
    while pending:
        i, rest = pending.pop()
        if not low[i] <= rest <= high[i]:
            continue
        if i == len(terms):
            return True  # both bounds are 0 here, so rest is
        s, least, most = terms[i]
        first = max(least, -((high[i + 1] - rest) // s))
        last = min(most, (rest - low[i + 1]) // s)
        steps += 1 + last - first
        if steps > _BUDGET:
            return True
        pending.extend((i + 1, rest - c * s) for c in range(first, last + 1))
    return False
