"""Shadow memory: for every byte the accesses that a later one may still race with.

A map of disjoint intervals. Each keeps its last write (more where writes of regular runs share the
interval, and none covers it) and the reads since that may be concurrent. A write that covers an
interval replaces what it knows of: whoever is ordered behind the write is ordered behind that too.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .access import Access, unordered
from .extents import meet

__all__ = ["Shadow"]

#: Accesses kept for one interval; the oldest goes first.
_MOST = 24

Conflict = Callable[[Access, Access], None]


class _Cell(NamedTuple):
    writes: tuple[Access, ...]
    reads: tuple[Access, ...]


class Shadow:
    """The accesses to one device's memory."""

    def __init__(self) -> None:
        self._los: list[int] = []
        self._his: list[int] = []
        self._cells: list[_Cell] = []

    def __len__(self) -> int:
        return len(self._los)

    def record(self, access: Access, conflict: Conflict) -> None:
        """Take note of ``access``; ``conflict(earlier, access)`` for each it races with."""
        box = access.box
        assert box is not None
        lo, hi = box.lo, box.hi
        first = self._cut(lo)
        last = self._cut(hi)
        los, his, cells = self._los, self._his, self._cells
        racing: dict[int, bool] = {}
        for cell in cells[first:last]:
            for prior in cell.writes + cell.reads if access.write else cell.writes:
                key = id(prior)
                if key not in racing:
                    racing[key] = unordered(prior, access) and meet(prior.box, box)  # type: ignore[arg-type]
                    if racing[key]:
                        conflict(prior, access)
        if access.write and box.dims is None and not access.late:
            los[first:last], his[first:last] = [lo], [hi]
            cells[first:last] = [_Cell((access,), ())]
            return
        new_los: list[int] = []
        new_his: list[int] = []
        new_cells: list[_Cell] = []
        empty = _with(_Cell((), ()), access)
        at = lo
        for i in range(first, last):
            if los[i] > at:
                new_los.append(at)
                new_his.append(los[i])
                new_cells.append(empty)
            new_los.append(los[i])
            new_his.append(his[i])
            new_cells.append(_with(cells[i], access))
            at = his[i]
        if at < hi:
            new_los.append(at)
            new_his.append(hi)
            new_cells.append(empty)
        los[first:last], his[first:last], cells[first:last] = new_los, new_his, new_cells

    def within(self, lo: int, hi: int) -> Iterator[Access]:
        """The accesses to a range, some of them more than once."""
        i = max(0, bisect_right(self._los, lo) - 1)
        while i < len(self._los) and self._los[i] < hi:
            if self._his[i] > lo:
                yield from self._cells[i].writes
                yield from self._cells[i].reads
            i += 1

    def forget(self, lo: int, hi: int) -> None:
        """The memory is another's from now on."""
        first, last = self._cut(lo), self._cut(hi)
        del self._los[first:last], self._his[first:last], self._cells[first:last]

    def sweep(self, dead: Callable[[Access], bool]) -> None:
        """Drop accesses that nothing can race with any more, and join what is alike."""
        los: list[int] = []
        his: list[int] = []
        cells: list[_Cell] = []
        verdicts: dict[int, bool] = {}

        def alive(access: Access) -> bool:
            key = id(access)
            if key not in verdicts:
                verdicts[key] = not dead(access)
            return verdicts[key]

        for lo, hi, cell in zip(self._los, self._his, self._cells, strict=True):
            kept = _Cell(
                tuple(a for a in cell.writes if alive(a)), tuple(a for a in cell.reads if alive(a))
            )
            if not kept.writes and not kept.reads:
                continue
            if his and his[-1] == lo and cells[-1] == kept:
                his[-1] = hi
            else:
                los.append(lo)
                his.append(hi)
                cells.append(kept)
        self._los, self._his, self._cells = los, his, cells

    def _cut(self, address: int) -> int:
        """The index of the first interval at or after ``address``; one across it is cut in two."""
        i = bisect_left(self._los, address)
        if i and self._his[i - 1] > address:
            self._los.insert(i, address)
            self._his.insert(i, self._his[i - 1])
            self._his[i - 1] = address
            self._cells.insert(i, self._cells[i - 1])
        return i


def _with(cell: _Cell, access: Access) -> _Cell:
    """``cell`` after ``access``, less what it makes superfluous."""
    whole = access.box is not None and access.box.dims is None

    def superseded(prior: Access) -> bool:
        if not whole and prior.box != access.box:
            return False
        return (
            prior.timeline == access.timeline and prior.tick <= access.tick
        ) or access.clock.get(prior.timeline, 0) >= prior.tick

    reads = tuple(p for p in cell.reads if not superseded(p))
    if not access.write:
        return _Cell(cell.writes, (*reads, access)[-_MOST:])
    writes = tuple(p for p in cell.writes if not superseded(p))
    return _Cell((*writes, access)[-_MOST:], reads)
