"""TransferPlan: two caches' strides brought to one strided copy."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from typing import Literal

from ..errors import ArgumentError, DTypeError, LayoutError, SizeError
from .geometry import Dim, Geometry, Plane

__all__ = [
    "MAX_DIMS",
    "Dim",
    "Grain",
    "Paging",
    "PlanePlan",
    "TransferPlan",
    "plan_transfer",
    "refine",
    "same_parts",
]

Grain = Literal["token", "block"]

#: ACCEL_KV_MAX_DIMS of accel/kv_address.h.
MAX_DIMS = 8


@dataclass(frozen=True)
class Paging:
    """Where a unit starts: ``accel_kv_paging`` of accel/kv_address.h. Strides in bytes."""

    block_size: int
    block_stride: int
    slot_stride: int


@dataclass(frozen=True)
class PlanePlan:
    """One plane of a transfer: ``accel_kv_plane`` of accel/kv_address.h."""

    src: Paging
    dst: Paging
    run_bytes: int  #: contiguous bytes on both sides
    dims: tuple[tuple[int, int, int], ...]  #: (extent, src stride, dst stride), outermost first

    @property
    def runs(self) -> int:
        """Runs in a unit."""
        n = 1
        for extent, _, _ in self.dims:
            n *= extent
        return n

    @property
    def unit_bytes(self) -> int:
        """Payload bytes of one unit in this plane."""
        return self.runs * self.run_bytes

    def pack(self) -> bytes:
        """The bytes of the C struct."""
        pad = [0] * (MAX_DIMS - len(self.dims))
        columns = [[d[i] for d in self.dims] + pad for i in range(3)]
        return struct.pack(
            f"=9q{3 * MAX_DIMS}q",
            self.src.block_size, self.src.block_stride, self.src.slot_stride,
            self.dst.block_size, self.dst.block_stride, self.dst.slot_stride,
            self.run_bytes, self.runs, len(self.dims),
            *columns[0], *columns[1], *columns[2],
        )  # fmt: skip


@dataclass(frozen=True)
class TransferPlan:
    """How units (tokens or blocks) move between two geometries; addresses are given per call.

    ``src_units`` and ``dst_units`` bound the indices.
    """

    layers: int
    planes: tuple[PlanePlan, ...]
    src_units: int
    dst_units: int

    @property
    def unit_bytes(self) -> int:
        """Payload bytes of one unit over all layers and planes."""
        return self.layers * sum(p.unit_bytes for p in self.planes)

    def pack(self) -> bytes:
        """``accel_kv_plane[planes]``."""
        return b"".join(p.pack() for p in self.planes)


@lru_cache(maxsize=4096)
def plan_transfer(src: Geometry, dst: Geometry, grain: Grain = "token") -> TransferPlan:
    """The plan that moves units from a cache of geometry ``src`` to one of ``dst``.

    Raises:
        LayoutError, SizeError, DTypeError: the two do not hold the same thing: layers, planes,
            element sizes or elements of a token differ, or block sizes at block grain.
    """
    if grain not in ("token", "block"):
        raise ArgumentError("grain", "'token' or 'block'", repr(grain))
    same_parts(src, dst)
    block = 1
    if grain == "block":
        block = _common_block_size(src, dst)
    planes = tuple(
        _plan_plane(i, a, b, src, dst, grain, block)
        for i, (a, b) in enumerate(zip(src.planes, dst.planes, strict=True))
    )
    return TransferPlan(
        src.layers,
        planes,
        src.blocks * src.block_size // block,
        dst.blocks * dst.block_size // block,
    )


def same_parts(src: Geometry, dst: Geometry) -> None:
    """Raise LayoutError unless both have the same layers and planes."""
    if src.layers != dst.layers:
        raise LayoutError("dst", f"{src.layers} layers as src has", dst.layers)
    if len(src.planes) != len(dst.planes):
        raise LayoutError("dst", f"{len(src.planes)} planes (K/V) as src has", len(dst.planes))


def _common_block_size(src: Geometry, dst: Geometry) -> int:
    """The block both sides use; a flat cache adopts the other's."""
    if src.block_size == dst.block_size:
        return src.block_size
    for flat, other, name in ((src, dst, "src"), (dst, src, "dst")):
        if not flat.paged and flat.block_size == 1:
            tokens = flat.blocks
            if tokens % other.block_size:
                raise SizeError(
                    name, f"a whole number of blocks of {other.block_size}", f"{tokens} tokens"
                )
            return other.block_size
    raise SizeError("dst", f"block size {src.block_size} as src has", dst.block_size)


def _plan_plane(
    index: int, a: Plane, b: Plane, src: Geometry, dst: Geometry, grain: Grain, block: int
) -> PlanePlan:
    if a.itemsize != b.itemsize or a.dtype != b.dtype:
        raise DTypeError("dst", f"{a.dtype} as src has in plane {index}", b.dtype)
    dims = refine(a, b, index)
    if grain == "block":
        dims.insert(0, (block, _within(a, src), _within(b, dst)))
    run, merged = _coalesce(dims, a.itemsize)
    if len(merged) > MAX_DIMS:
        raise LayoutError("dst", f"at most {MAX_DIMS} strided axes a token", len(merged))
    return PlanePlan(_paging(a, src, grain, block), _paging(b, dst, grain, block), run, merged)


def _within(plane: Plane, geometry: Geometry) -> int:
    """The stride from one token of a block to the next."""
    return plane.slot_stride if geometry.block_size > 1 else plane.block_stride


def _paging(plane: Plane, geometry: Geometry, grain: Grain, block: int) -> Paging:
    size, outer, inner = geometry.block_size, plane.block_stride, plane.slot_stride
    if grain == "block":
        # A flat cache that adopted a block size steps over whole blocks of tokens.
        return Paging(1, outer if size == block else outer * block, 0)
    if size == 1 or outer == size * inner:
        # One step for all slots: no division, and neighbouring blocks join up.
        return Paging(1, outer if size == 1 else inner, 0)
    return Paging(size, outer, inner)


def refine(a: Plane, b: Plane, plane: int) -> list[tuple[int, int, int]]:
    """A token of both, cut at every boundary of either: ``(extent, a stride, b stride)``, outermost
    first.

    Raises:
        LayoutError: they differ in elements, or in how these divide into heads.
    """
    if a.elements != b.elements:
        raise LayoutError(
            "dst", f"{a.elements} elements a token as src has in plane {plane}", b.elements
        )
    out: list[tuple[int, int, int]] = []
    left, right = list(a.dims), list(b.dims)
    while left and right:
        (n, s), (m, t) = left.pop(), right.pop()
        g = gcd(n, m)
        if g < min(n, m):
            raise LayoutError(
                "dst",
                "head and head dim extents that divide src's, or the reverse",
                f"extents {[d[0] for d in a.dims]} against {[d[0] for d in b.dims]} in plane"
                f" {plane}",
            )
        out.append((g, s, t))
        if n > g:
            left.append((n // g, s * g))
        if m > g:
            right.append((m // g, t * g))
    out.reverse()
    return out


def _coalesce(
    dims: list[tuple[int, int, int]], itemsize: int
) -> tuple[int, tuple[tuple[int, int, int], ...]]:
    """``(run bytes, dims)``: order by destination stride, join what is contiguous on both sides."""
    merged: list[tuple[int, int, int]] = []
    for n, s, t in sorted((d for d in dims if d[0] > 1), key=lambda d: (-d[2], -d[1])):
        if merged:
            outer_n, outer_s, outer_t = merged[-1]
            if outer_s == n * s and outer_t == n * t:
                merged[-1] = (outer_n * n, s, t)
                continue
        merged.append((n, s, t))
    run = itemsize
    if merged and merged[-1][1] == merged[-1][2] == itemsize:
        run *= merged.pop()[0]
    return run, tuple(merged)
