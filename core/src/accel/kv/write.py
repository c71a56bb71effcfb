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

__all__ = ["WritePlan", "plan_write"]


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
        sources.append((str(t.dtype).removeprefix("torch."), tuple(t.shape[1:]), t.stride()))
    return _plan(cache.geometry, tuple(sources))


_Source = tuple[str, tuple[int, ...], tuple[int, ...]]


@lru_cache(maxsize=1024)
def _plan(geometry: Geometry, sources: tuple[_Source, ...]) -> WritePlan:
    if len(geometry.planes) == 2 and len(sources) == 1:
        raise ArgumentError("value", "a tensor, as the cache has K and V", None)
    if len(geometry.planes) == 1 and len(sources) == 2:
        parts = _halves(geometry.planes[0], sources)
    elif len(geometry.planes) == len(sources):
        parts = tuple((i, 0, p) for i, p in enumerate(geometry.planes))
    else:
        raise LayoutError("cache", "one or two planes", len(geometry.planes))
    planes = []
    for name, source, (_, _, target) in zip(("key", "value"), sources, parts, strict=False):
        dtype, shape, _ = source
        if dtype != target.dtype:
            raise DTypeError(name, f"{target.dtype} as the cache", dtype)
        plane = _token_plane(source, target.itemsize)
        if plane.elements != target.elements:
            raise ShapeError(
                name, f"{target.elements} elements a token as the cache has", ["tokens", *shape]
            )
        planes.append(plane)
    src = Geometry(1, 1, 1, False, tuple(planes))
    dst = Geometry(
        1, geometry.blocks, geometry.block_size, geometry.paged, tuple(p for _, _, p in parts)
    )
    return WritePlan(plan_transfer(src, dst), tuple((i, offset) for i, offset, _ in parts))


def _token_plane(source: _Source, itemsize: int) -> Plane:
    dtype, shape, strides = source
    dims = tuple((n, s * itemsize) for n, s in zip(shape, strides[1:], strict=True) if n != 1)
    return Plane(dtype, itemsize, strides[0] * itemsize, 0, dims)


def _halves(plane: Plane, sources: tuple[_Source, ...]) -> tuple[tuple[int, int, Plane], ...]:
    """One plane cut along its head dim: latent and rope parts of MLA, K and V of packed content."""
    widths = [shape[-1] for _, shape, _ in sources]
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
