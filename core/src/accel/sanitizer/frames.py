"""Shadow memory of KV caches: which accesses each slot may still race with.

A transfer of scattered slots touches thousands of short runs, but always whole slots of a row (one
plane of one layer). So a row's accesses are kept in arrays with a place for each slot, and checked
and updated by numpy. As long as all rows of a cache were used alike they share one array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..kv.geometry import Dim
from ..strided_boxes import boxes_meet
from .access import Access
from .extents import Box, nested

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..kv import KVCache
    from ..kv.geometry import Geometry

__all__ = ["Frame", "Rows", "Shape", "SlotConflict", "rows_of", "whole_row"]

Slots = Any  # an int64 array, or a slice where the slots are consecutive
Known = Any  # a bool array over the table of accesses
#: ``(earlier, later, row's frame, row, slot)``
SlotConflict = Callable[[Access, Access, "Frame", int, int], None]

_TABLE = 1024


class Rows:
    """Which rows of a frame: all of them, or some."""

    __slots__ = ("every", "frame", "index")

    def __init__(self, frame: Frame, index: NDArray[np.int64]) -> None:
        self.frame = frame
        self.index = index
        self.every = len(index) == frame.rows and bool((index == np.arange(frame.rows)).all())


#: (slots, (block size, block stride, slot stride), dims of a cell)
Shape = tuple[int, tuple[int, int, int], tuple[Dim, ...]]


def cell_shape(geometry: Geometry, plane: int) -> Shape:
    """What rows must have in common to be one frame; equal for all ways to say the same bytes."""
    p, size = geometry.planes[plane], geometry.block_size
    slots = geometry.blocks * size
    if size == 1:
        paging = (1, p.block_stride, 0)
    elif p.block_stride == size * p.slot_stride or geometry.blocks == 1:
        paging = (1, p.slot_stride, 0)
    else:
        paging = (size, p.block_stride, p.slot_stride)
    return slots, paging, nested(p.dims, p.itemsize)


class Frame:
    """The rows of a cache that lie in memory alike, ``[rows, slots]``."""

    def __init__(self, pointers: list[int], shape: Shape) -> None:
        self.slots, self.paging, self.dims = shape
        self.pointers = np.array(pointers, dtype=np.int64)
        self.rows = len(pointers)
        self.span = 1 + sum((n - 1) * s for n, s in self.dims)
        self.whole = len(self.dims) == 1  #: a slot of a row is one run
        last = self.offsets(np.array([0, max(0, self.slots - 1)]))
        offsets = self.offsets(np.arange(self.slots))
        self.reach = (int(offsets.max()) if self.slots else int(last[1])) + self.span
        self.lo = int(self.pointers.min())
        self.hi = int(self.pointers.max()) + self.reach
        #: Rows whose memory was given back; a cache that comes to lie there takes them up again.
        self.gone = np.zeros(self.rows, dtype=bool)
        #: Other frames over some of the same bytes.
        self.neighbours: list[Frame] = []
        self._write = np.zeros((1, self.slots), dtype=np.int32)
        self._reads: dict[int, NDArray[np.int32]] = {}
        self._uniform = True
        self._table: list[Access | None] = [None]
        self._timelines: dict[int, int] = {0: 0}
        self._whose = np.zeros(_TABLE, dtype=np.int64)
        self._when = np.zeros(_TABLE, dtype=np.int64)

    def offsets(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bytes from a row's start to each slot."""
        size, outer, inner = self.paging
        if size == 1:
            return slots * outer
        return (slots // size) * outer + (slots % size) * inner

    # --- what happened ---------------------------------------------------------------------------

    def known(self, access: Access) -> Known | None:
        """For each access of the table whether it is ordered with this one; None: all are."""
        count = len(self._table)
        clock = access.clock
        knows = np.array(
            [
                np.iinfo(np.int64).max if t == access.timeline else clock.get(t, 0)
                for t in self._timelines
            ]
        )
        known = self._when[:count] <= knows[self._whose[:count]]
        return None if known.all() else known

    def record(self, rows: Rows, slots: Slots, access: Access, conflict: SlotConflict) -> None:
        """Take note of an access to ``slots`` of ``rows``."""
        if self._uniform and not rows.every:
            self._write = np.repeat(self._write, self.rows, axis=0)
            self._reads = {t: np.repeat(r, self.rows, axis=0) for t, r in self._reads.items()}
            self._uniform = False
        where = self._place(rows, slots)
        known = self.known(access)
        if known is not None:
            self._check(self._write, where, rows, slots, known, access, conflict)
        number = self._add(access)
        if access.write:
            for read in self._reads.values():
                if known is not None:
                    self._check(read, where, rows, slots, known, access, conflict)
                read[where] = 0
            self._write[where] = number
            return
        mine = self._reads.get(access.timeline)
        if mine is None:
            mine = self._reads[access.timeline] = np.zeros_like(self._write)
        mine[where] = number

    def pending(
        self, access: Access, rows: list[int]
    ) -> Iterator[tuple[int, Access, NDArray[np.int64]]]:
        """``(row, earlier access, its slots)`` of what is not known to be ordered with this one."""
        known = self.known(access)
        if known is None:
            return
        for ids in [self._write, *self._reads.values()] if access.write else [self._write]:
            for row in rows:
                line = ids[0 if self._uniform else row]
                bad = ~known[line]
                if not bad.any():
                    continue
                for number in np.unique(line[bad]).tolist():
                    prior = self._table[number]
                    if prior is not None:
                        yield row, prior, np.nonzero(line == number)[0]

    def near(self, lo: int, hi: int) -> list[int]:
        """The rows that reach into a range of addresses."""
        found = np.nonzero((self.pointers < hi) & (self.pointers + self.reach > lo))[0]
        return found.tolist()  # type: ignore[no-any-return]

    def forget(self, lo: int, hi: int) -> None:
        """The memory from ``lo`` to ``hi`` is another's from now on."""
        gone = (self.pointers < hi) & (self.pointers + self.reach > lo)
        self.gone |= gone
        if self._uniform and not gone.all():
            self._write = np.repeat(self._write, self.rows, axis=0)
            self._reads = {t: np.repeat(r, self.rows, axis=0) for t, r in self._reads.items()}
            self._uniform = False
        which = slice(None) if self._uniform else gone
        self._write[which] = 0
        for read in self._reads.values():
            read[which] = 0

    def sweep(self, dead: Callable[[Access], bool]) -> None:
        """Make room in the table: keep what some slot refers to and something can race with."""
        used = np.zeros(len(self._table), dtype=bool)
        for ids in (self._write, *self._reads.values()):
            used[ids.ravel()] = True
        renamed = np.zeros(len(self._table), dtype=np.int32)
        table: list[Access | None] = [None]
        for number in np.nonzero(used)[0].tolist():
            access = self._table[number]
            if access is not None and not dead(access):
                renamed[number] = len(table)
                table.append(access)
        self._write = renamed[self._write]
        self._reads = {t: renamed[r] for t, r in self._reads.items()}
        self._reads = {t: r for t, r in self._reads.items() if r.any()}
        self._table, self._timelines = [None], {0: 0}
        size = max(_TABLE, 2 * len(table))
        self._whose, self._when = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
        for access in table[1:]:
            assert access is not None
            self._add(access)

    @property
    def full(self) -> bool:
        """Whether the next access has no room in the table: time to sweep."""
        return len(self._table) >= len(self._when)

    def _add(self, access: Access) -> int:
        number = len(self._table)
        self._table.append(access)
        self._whose[number] = self._timelines.setdefault(access.timeline, len(self._timelines))
        self._when[number] = access.tick
        return number

    def _place(self, rows: Rows, slots: Slots) -> Any:
        if self._uniform:
            return 0, slots
        if rows.every:
            return slice(None), slots
        if isinstance(slots, slice):
            return rows.index, slots
        return np.ix_(rows.index, slots)

    def _check(
        self,
        ids: NDArray[np.int32],
        where: Any,
        rows: Rows,
        slots: Slots,
        known: Known,
        access: Access,
        conflict: SlotConflict,
    ) -> None:
        found = ids[where]
        bad = ~known[found]
        if not bad.any():
            return
        for number in np.unique(found[bad]).tolist():
            prior = self._table[number]
            if prior is None:
                continue
            at = np.argwhere(found == number)[0]
            row = int(rows.index[0 if self._uniform or len(at) == 1 else at[0]])
            slot = slots.start + int(at[-1]) if isinstance(slots, slice) else int(slots[at[-1]])
            conflict(prior, access, self, row, slot)

    # --- bytes -----------------------------------------------------------------------------------

    def cell(self, row: int, slot: int) -> Box:
        """The bytes of one slot of a row."""
        start = int(self.pointers[row]) + int(self.offsets(np.array([slot]))[0])
        return Box(start, start + self.span, None if self.whole else self.dims)

    def first_within(self, row: int, slots: NDArray[np.int64], box: Box) -> int | None:
        """The first of ``slots`` whose bytes meet ``box``; exact."""
        starts = self.offsets(slots) + self.pointers[row]
        near = np.nonzero((starts < box.hi) & (starts + self.span > box.lo))[0]
        if not len(near):
            return None
        if box.dims is None and self.whole:
            return int(slots[near[0]])
        other = box.dims or ((box.hi - box.lo, 1),)
        for i in near.tolist():
            if boxes_meet(self.dims, other, box.lo - int(starts[i])):
                return int(slots[i])
        return None

    def runs(self, row: int, slots: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
        """The runs of these slots: where each starts, and how long they are."""
        starts = self.offsets(slots) + self.pointers[row]
        for n, s in self.dims[:-1]:
            starts = (starts[:, None] + np.arange(n) * s).ravel()
        return starts, self.dims[-1][0]


def whole_row(frame: Frame) -> tuple[Dim, ...]:
    """A row as one set of runs."""
    size, outer, inner = frame.paging
    blocks = frame.slots // size if size else 0
    return nested([(blocks, outer), (size, inner), *frame.dims[:-1]], frame.dims[-1][0])


def rows_of(cache: KVCache) -> Iterator[tuple[int, int, int, Shape]]:
    """``(layer, plane, pointer, shape)`` of every row of a cache."""
    shapes = [cell_shape(cache.geometry, p) for p in range(cache.planes)]
    for i, pointer in enumerate(cache.pointers):
        layer, plane = divmod(i, cache.planes)
        yield layer, plane, pointer, shapes[plane]
