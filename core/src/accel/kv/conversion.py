"""ConversionPlan: two caches of different dtypes brought to one strided loop over elements.

What a :class:`~accel.kv.plan.TransferPlan` is to bytes, this is to elements: all that is counted
in bytes there is counted in elements here, of either side's own size. A scale that differs by head
is one more operand with a step for every dimension.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from math import gcd

from ..errors import DTypeError, LayoutError, SizeError
from .geometry import Geometry, Plane
from .plan import MAX_DIMS, Paging, PlanePlan, TransferPlan, refine, same_parts

__all__ = ["CODES", "VALUES", "ConversionPlan", "ElementPlane", "plan_conversion", "plan_units"]

#: The dtypes that hold values, and those that stand for ``code * scale``.
VALUES = ("float32", "float16", "bfloat16")
CODES = ("float8_e4m3fn", "float8_e5m2", "int8")

#: Tokens of a unit where nothing else says how many; enough for long runs.
_UNIT = 64

#: (extent, src stride, dst stride, step of the src head, step of the dst head), in elements
ElementDim = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class ElementPlane:
    """One plane of a conversion: ``accel_kv_elements`` of accel/kv_address.h.

    The head of an element, for a scale that differs by head, is the sum of index times step over
    ``dims``; all elements of a run share it. Where no scale does, the steps are 0.
    """

    src: Paging
    dst: Paging
    run: int  #: contiguous elements on both sides, of one head
    dims: tuple[ElementDim, ...]  #: outermost first
    src_dtype: str
    dst_dtype: str

    def bytes_of(self, itemsize: int) -> PlanePlan:
        """The plan with elements of ``itemsize`` bytes, for looking at one side's bytes."""

        def paging(p: Paging) -> Paging:
            return Paging(p.block_size, p.block_stride * itemsize, p.slot_stride * itemsize)

        dims = tuple((n, s * itemsize, t * itemsize) for n, s, t, _, _ in self.dims)
        return PlanePlan(paging(self.src), paging(self.dst), self.run * itemsize, dims)

    def pack(self) -> bytes:
        """The bytes of the C struct."""
        steps = [[d[i] for d in self.dims] + [0] * (MAX_DIMS - len(self.dims)) for i in (3, 4)]
        return self.bytes_of(1).pack() + struct.pack(f"={2 * MAX_DIMS}q", *steps[0], *steps[1])


@dataclass(frozen=True)
class ConversionPlan:
    """How units of ``unit_tokens`` tokens are converted; addresses and scales are given per call.

    ``units`` is how many the source has.
    """

    layers: int
    planes: tuple[ElementPlane, ...]
    unit_tokens: int
    units: int

    def bytes_of(self, itemsizes: tuple[int, ...]) -> TransferPlan:
        """The plan in bytes of one side, whose planes have elements of these sizes."""
        planes = tuple(p.bytes_of(n) for p, n in zip(self.planes, itemsizes, strict=True))
        return TransferPlan(self.layers, planes, self.units, self.units)

    def pack(self) -> bytes:
        """``accel_kv_elements[planes]``."""
        return b"".join(p.pack() for p in self.planes)


@lru_cache(maxsize=1024)
def plan_conversion(
    src: Geometry, dst: Geometry, src_heads: tuple[int, ...], dst_heads: tuple[int, ...]
) -> ConversionPlan:
    """The plan that converts every slot of a cache into the same slot of another.

    Args:
        src_heads, dst_heads: by plane, the heads that have scales of their own; 1 for none.

    Raises:
        LayoutError, SizeError, DTypeError: the two do not hold the same thing: layers, planes,
            elements of a token or slots differ, or a dtype is none of CODES and VALUES.
    """
    for name, geometry in (("src", src), ("dst", dst)):
        for i, plane in enumerate(geometry.planes):
            if plane.dtype not in (*VALUES, *CODES):
                raise DTypeError(
                    name, f"one of {', '.join((*VALUES, *CODES))}", f"{plane.dtype} in plane {i}"
                )
    same_parts(src, dst)
    slots = src.blocks * src.block_size
    if dst.blocks * dst.block_size != slots:
        raise SizeError("dst", f"{slots} slots as src has", dst.blocks * dst.block_size)
    return plan_units(src, dst, src_heads, dst_heads, _common_unit(src, dst))


def plan_units(
    src: Geometry,
    dst: Geometry,
    src_heads: tuple[int, ...],
    dst_heads: tuple[int, ...],
    unit: int,
) -> ConversionPlan:
    """The plan for units of ``unit`` tokens, which divide both sides' blocks."""
    planes = []
    for i, (a, b) in enumerate(zip(src.planes, dst.planes, strict=True)):
        a, b = _in_elements(a), _in_elements(b)
        heads = (src_heads[i], dst_heads[i])
        dims = [
            (unit, _token_step(a, src), _token_step(b, dst), 0, 0),
            *_token_dims(a, b, heads, i),
        ]
        run, merged = _join(dims)
        if len(merged) > MAX_DIMS:
            raise LayoutError("dst", f"at most {MAX_DIMS} strided axes a token", len(merged))
        planes.append(
            ElementPlane(
                _paging(a, src, unit), _paging(b, dst, unit), run, merged, a.dtype, b.dtype
            )
        )
    return ConversionPlan(src.layers, tuple(planes), unit, src.blocks * src.block_size // unit)


def _common_unit(src: Geometry, dst: Geometry) -> int:
    """The most tokens that lie within one block on both sides, whatever their block sizes."""
    unit = 0  # of gcd: no bound yet
    for geometry in (src, dst):
        if not all(_is_linear(p, geometry) for p in geometry.planes):
            unit = gcd(unit, geometry.block_size)
    slots = src.blocks * src.block_size
    return unit or gcd(slots, _UNIT) or 1


def _in_elements(plane: Plane) -> Plane:
    size = plane.itemsize
    return Plane(
        plane.dtype,
        1,
        plane.block_stride // size,
        plane.slot_stride // size,
        tuple((n, s // size) for n, s in plane.dims),
    )


def _is_linear(plane: Plane, geometry: Geometry) -> bool:
    """Whether one step leads from every token to the next, also into the next block."""
    size = geometry.block_size
    return size == 1 or plane.block_stride == size * plane.slot_stride


def _token_step(plane: Plane, geometry: Geometry) -> int:
    return plane.slot_stride if geometry.block_size > 1 else plane.block_stride


def _paging(plane: Plane, geometry: Geometry, unit: int) -> Paging:
    if _is_linear(plane, geometry):
        return Paging(1, _token_step(plane, geometry) * unit, 0)
    units = geometry.block_size // unit
    if units == 1:
        return Paging(1, plane.block_stride, 0)
    return Paging(units, plane.block_stride, plane.slot_stride * unit)


def _token_dims(a: Plane, b: Plane, heads: tuple[int, int], plane: int) -> list[ElementDim]:
    """The dimensions of a token, with the step that each makes in either side's heads."""
    out: list[ElementDim] = []
    inner = 1  # elements of a token for one step of the dimension
    for n, s, t in reversed(refine(a, b, plane)):
        steps = []
        for count in heads:
            of_head = a.elements // count
            steps.append(inner // of_head if count > 1 and inner >= of_head else 0)
        out.append((n, s, t, steps[0], steps[1]))
        inner *= n
    out.reverse()
    return out


def _join(dims: list[ElementDim]) -> tuple[int, tuple[ElementDim, ...]]:
    """``(run, dims)``: by falling destination stride, joined where one step leads through all."""
    merged: list[ElementDim] = []
    for dim in sorted((d for d in dims if d[0] > 1), key=lambda d: (-d[2], -d[1])):
        n = dim[0]
        if merged and all(x == n * y for x, y in zip(merged[-1][1:], dim[1:], strict=True)):
            merged[-1] = (merged[-1][0] * n, *dim[1:])
        else:
            merged.append(dim)
    run = merged.pop()[0] if merged and merged[-1][1:] == (1, 1, 0, 0) else 1
    return run, tuple(merged)
