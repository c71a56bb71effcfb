"""WritePlan: new keys and values as one more strided copy into the cache."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ..errors import ArgumentError, DeviceError, DTypeError, LayoutError, ShapeError
from .geometry import Dim, Geometry, Plane
from .plan import TransferPlan, plan_transfer

if TYPE_CHECKING:
    import torch

    from .cache import KVCache

__all__ = [
    "NAMES",
    "Part",
    "Source",
    "WritePlan",
    "both_sides",
    "plan_write",
    "read_sources",
    "target_parts",
]


@dataclass(frozen=True)
class WritePlan:
    """How tokens of ``key`` and ``value`` reach one layer of a cache.

    ``plan`` has one layer and a plane per source tensor; its ``src_units`` means nothing, the
    sources' own length bounds them. Plane i reads the i-th source and writes at
    ``cache.pointers[layer * cache.planes + target[i][0]] + target[i][1]``.
    """

    plan: TransferPlan
    target: tuple[tuple[int, int], ...]  #: (plane of the cache, byte offset within it)


def plan_write(
    cache: KVCache, layer: int, key: torch.Tensor, value: torch.Tensor | None
) -> WritePlan:
    """The plan for ``KVKernels.write``; made once per combination of strides.

    Raises:
        ArgumentError: no such layer.
        ShapeError, DTypeError, DeviceError: ``key`` or ``value`` does not fit the cache.
    """
    return _plan(cache.geometry, read_sources(cache, layer, key, value))


#: (dtype, its size, extents of a token, strides)
Source = tuple[str, int, tuple[int, ...], tuple[int, ...]]


def read_sources(
    cache: KVCache, layer: int, key: torch.Tensor, value: torch.Tensor | None
) -> tuple[Source, ...]:
    """Dtype, extents of a token and strides of each tensor; they lie where the cache does."""
    if not isinstance(layer, int) or not 0 <= layer < cache.layers:
        raise ArgumentError("layer", f"0 to {cache.layers - 1}", layer)
    import torch

    sources = []
    for name, t in (("key", key), ("value", value)):
        if t is None and name == "value":
            continue
        if not isinstance(t, torch.Tensor):
            raise DTypeError(name, "a tensor", type(t).__name__)
        if t.dim() < 2:
            raise ShapeError(name, "[tokens, heads, head_dim] or [tokens, elements]", list(t.shape))
        if t.device != cache.device:
            raise DeviceError(name, f"device {cache.device} as the cache", t.device)
        if len(t) != len(key):
            raise ShapeError(name, f"{len(key)} tokens as key has", len(t))
        # Without the token count: plans are made once, not once per batch size.
        dtype = str(t.dtype).removeprefix("torch.")
        sources.append((dtype, t.element_size(), tuple(t.shape[1:]), t.stride()))
    return tuple(sources)


@lru_cache(maxsize=1024)
def _plan(geometry: Geometry, sources: tuple[Source, ...]) -> WritePlan:
    parts = target_parts(geometry, sources)
    for name, (dtype, *_), (_, _, target) in zip(NAMES, sources, parts, strict=False):
        if dtype != target.dtype:
            raise DTypeError(name, f"{target.dtype} as the cache", dtype)
    src, dst = both_sides(geometry, sources, parts)
    return WritePlan(plan_transfer(src, dst), tuple((i, offset) for i, offset, _ in parts))


NAMES = ("key", "value")

#: (plane of the cache, byte offset within it, what of it is written)
Part = tuple[int, int, Plane]


def target_parts(geometry: Geometry, sources: tuple[Source, ...]) -> tuple[Part, ...]:
    """Where each source goes."""
    if len(geometry.planes) == 2 and len(sources) == 1:
        raise ArgumentError("value", "a tensor, as the cache has K and V", None)
    if len(geometry.planes) == 1 and len(sources) == 2:
        return _halves(geometry.planes[0], sources)
    if len(geometry.planes) != len(sources):
        raise LayoutError("cache", "one or two planes", len(geometry.planes))
    return tuple((i, 0, p) for i, p in enumerate(geometry.planes))


def both_sides(
    geometry: Geometry, sources: tuple[Source, ...], parts: tuple[Part, ...]
) -> tuple[Geometry, Geometry]:
    """The sources as a flat cache of one layer, and the layer that they are written to."""
    planes = []
    for name, source, (_, _, target) in zip(NAMES, sources, parts, strict=False):
        plane = _token_plane(source)
        if plane.elements != target.elements:
            raise ShapeError(
                name, f"{target.elements} elements a token as the cache has", ["tokens", *source[2]]
            )
        planes.append(plane)
    return Geometry(1, 1, 1, False, tuple(planes)), Geometry(
        1, geometry.blocks, geometry.block_size, geometry.paged, tuple(p for _, _, p in parts)
    )


def _token_plane(source: Source) -> Plane:
    dtype, itemsize, shape, strides = source
    dims = tuple((n, s * itemsize) for n, s in zip(shape, strides[1:], strict=True) if n != 1)
    return Plane(dtype, itemsize, strides[0] * itemsize, 0, dims)


def _halves(plane: Plane, sources: tuple[Source, ...]) -> tuple[tuple[int, int, Plane], ...]:
    """One plane cut along its head dim: latent and rope parts of MLA, K and V of packed content."""
    widths = [shape[-1] for _, _, shape, _ in sources]
    if not plane.dims or plane.dims[-1][0] != sum(widths):
        have = plane.dims[-1][0] if plane.dims else 1
        raise ShapeError(
            "value", f"head dims of key and value that add up to the cache's {have}", widths
        )
    *outer, (_, stride) = plane.dims
    parts, offset = [], 0
    for width in widths:
        dims: tuple[Dim, ...] = (*outer, (width, stride)) if width > 1 else tuple(outer)
        part = Plane(plane.dtype, plane.itemsize, plane.block_stride, plane.slot_stride, dims)
        parts.append((0, offset, part))
        offset += width * stride
    return tuple(parts)
