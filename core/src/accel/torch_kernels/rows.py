"""A transfer as rows of matrices: what ``index_select`` and ``index_copy_`` can move.

Every contiguous run of a transfer starts at a multiple of some width from the lowest address of
its storage (strides have common divisors), so the storage can be seen as a contiguous matrix of
rows of that width, and the runs of all tokens, heads, planes and layers in it are row numbers. One
gather and one scatter then serve all of it, whatever the layouts. The matrix is contiguous on
purpose: operators on strided views copy the whole view on some devices, and would write back what
another stream has changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING

from ..kv.plan import Paging, PlanePlan, TransferPlan

if TYPE_CHECKING:
    import torch

    from ..kv import KVCache

__all__ = ["Group", "Place", "Side", "groups_of", "matrix_of", "places_of", "unit_rows"]

#: (unit tokens of a page, rows from page to page, rows from unit to unit)
RowPaging = tuple[int, int, int]


@dataclass(frozen=True)
class Place:
    """A plane of a layer on one side of a transfer: a tensor there, and where units begin."""

    tensor: int  #: which of the side's tensors
    storage: int  #: address of the memory that the tensor is part of
    pointer: int  #: where unit 0 begins
    anchor: int  #: address of the tensor's first element


@dataclass(frozen=True, eq=False)
class Side:
    """The rows of one side of a group."""

    tensor: int  #: a tensor of the storage: :func:`matrix_of` takes it
    offset: int  #: bytes from that tensor's first element to the first row
    rows: int  #: how many; -1 for those of the tensor, which is contiguous
    width: int  #: bytes of a row
    paging: RowPaging
    inner: torch.Tensor  #: int64 ``[rows of a unit]``, on the host

    @property
    def is_plain(self) -> bool:
        """Whether a unit is one row."""
        return len(self.inner) == 1


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that one gather reads and one scatter writes, in the same order on both sides."""

    src: Side
    dst: Side
    unit_bytes: int


def groups_of(
    plan: TransferPlan, src: Sequence[Sequence[Place]], dst: Sequence[Sequence[Place]]
) -> list[Group]:
    """The groups of a transfer; ``src`` and ``dst`` are places by layer and plane."""
    together: dict[object, list[tuple[PlanePlan, Place, Place]]] = {}
    for layer in range(plan.layers):
        for i, plane in enumerate(plan.planes):
            a, b = src[layer][i], dst[layer][i]
            widths = (_width(plane, 1), _width(plane, 2))
            key = (a.storage, b.storage, plane.src, plane.dst, widths)
            together.setdefault(key, []).append((plane, a, b))
    groups = []
    for members in together.values():
        groups += _grouped(members, plan)
    return groups


def _grouped(members: list[tuple[PlanePlan, Place, Place]], plan: TransferPlan) -> list[Group]:
    """One group, or one for each member where their distance would make rows narrower."""
    widths = [_width(members[0][0], 1), _width(members[0][0], 2)]
    for i in (1, 2):
        common = widths[i - 1]
        for member in members:
            place = member[i]
            assert isinstance(place, Place)
            common = gcd(common, place.pointer - members[0][i].pointer)  # type: ignore[union-attr]
        if common != widths[i - 1] and len(members) > 1:
            return [g for m in members for g in _grouped([m], plan)]
    sides = [
        _side(members, i, widths[i - 1], (plan.src_units, plan.dst_units)[i - 1]) for i in (1, 2)
    ]
    return [Group(sides[0], sides[1], sum(m[0].unit_bytes for m in members))]


def _width(plane: PlanePlan, side: int) -> int:
    """The longest row that divides the run and every stride of the side."""
    paging = plane.src if side == 1 else plane.dst
    width = gcd(plane.run_bytes, paging.block_stride)
    if paging.block_size > 1:
        width = gcd(width, paging.slot_stride)
    for dim in plane.dims:
        width = gcd(width, dim[side])
    return width


def _side(
    members: list[tuple[PlanePlan, Place, Place]], which: int, width: int, units: int
) -> Side:
    import torch

    places: list[Place] = [m[which] for m in members]  # type: ignore[misc]
    first = min(p.pointer for p in places)
    parts = []
    for plane, place in zip((m[0] for m in members), places, strict=True):
        rows = torch.tensor([place.pointer - first])
        for dim in plane.dims:
            rows = (rows[:, None] + torch.arange(dim[0]) * dim[which]).flatten()
        pieces = plane.run_bytes // width
        if pieces > 1:
            rows = (rows[:, None] + torch.arange(pieces) * width).flatten()
        parts.append(rows // width)
    inner = torch.cat(parts)
    plane = members[0][0]
    paging = plane.src if which == 1 else plane.dst
    size = paging.block_size
    row_paging = (
        size,
        paging.block_stride // width,
        paging.slot_stride // width if size > 1 else 0,
    )
    rows_in_all = 0
    if units:
        last = _last_unit(units, paging)
        rows_in_all = last // width + int(inner.max()) + 1
    anchor = places[0]
    return Side(anchor.tensor, first - anchor.anchor, rows_in_all, width, row_paging, inner)


def _last_unit(units: int, paging: Paging) -> int:
    """Bytes to the unit that begins last."""
    if paging.block_size == 1:
        return (units - 1) * paging.block_stride
    blocks = units // paging.block_size
    return (blocks - 1) * paging.block_stride + (paging.block_size - 1) * paging.slot_stride


def unit_rows(units: torch.Tensor, paging: RowPaging) -> torch.Tensor:
    """The first row of each unit, wherever ``units`` (int64) lie."""
    size, page, step = paging
    if size == 1:
        return units if page == 1 else units * page
    block = units.div(size, rounding_mode="floor")
    return block * page + (units - block * size) * step


def matrix_of(side: Side, tensor: torch.Tensor) -> torch.Tensor:
    """The side's rows as a contiguous integer matrix ``[rows, elements of a row]``.

    Integers of four, two or one bytes: the widest that addresses and row width allow.
    """
    import torch

    tensor = tensor.detach()
    if tensor.is_conj():
        tensor = tensor.conj()
    size = tensor.element_size()
    start = tensor.storage_offset() * size + side.offset
    whole = gcd(gcd(side.width, start), 4)
    if tensor.data_ptr() % whole:
        whole = gcd(whole, tensor.data_ptr())
    kind = {1: torch.uint8, 2: torch.int16, 4: torch.int32}[whole]
    rows = tensor.numel() * size // side.width if side.rows < 0 else side.rows
    flat = tensor.as_strided((rows * side.width // size,), (1,), start // size)
    return flat.view(torch.uint8).view(kind).view(rows, side.width // whole)


def places_of(cache: KVCache) -> list[list[Place]]:
    """Where units of a cache begin, by layer and plane; tensors are its views, flat."""
    rows = []
    for layer, views in enumerate(cache.views):
        row = []
        for plane, view in enumerate(views):
            at = layer * cache.planes + plane
            pointer = cache.pointers[at]
            size = view.element_size()
            storage = pointer - int(view.storage_offset()) * size
            row.append(Place(at, storage, pointer, pointer))
        rows.append(row)
    return rows
