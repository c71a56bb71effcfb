"""The memory of one device: who accessed what, as bytes and as slots of caches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .access import Access, unordered
from .allocations import Allocations, Pool
from .caches import Caches, shared_rows
from .extents import Box, common
from .frames import Frame, Rows
from .shadow import Shadow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..kv import KVCache

__all__ = ["Found", "Memory"]

_SWEEP = 1024

#: ``(earlier, later, range of bytes, slot of the cache or None)``
Found = Callable[[Access, Access, tuple[int, int], "int | None"], None]


class Memory:
    """Records accesses and finds those that race. Not locked: the sanitizer is."""

    def __init__(self, pool: Pool, found: Found, dead: Callable[[Access], bool]) -> None:
        self.shadow = Shadow()
        self.caches = Caches()
        self.owners = Allocations(pool, self.forget)
        self._found = found
        self._dead = dead
        self._sweep_at = _SWEEP

    def touch(self, access: Access) -> None:
        """An access to a box of bytes."""
        self.shadow.record(access, self.race)
        box = access.box
        assert box is not None
        for frame in self.caches.frames:
            if frame.lo < box.hi and frame.hi > box.lo:
                self._against_slots(frame, access, box)
        if len(self.shadow) > self._sweep_at:
            self.sweep()

    def touch_slots(
        self,
        cache: KVCache,
        layer: int | None,
        plane: int | None,
        slots: NDArray[np.int64],
        access: Access,
    ) -> None:
        """An access to slots of a cache, of all layers and planes or of one."""
        if not self.caches.known(cache):
            for tensor in cache.tensors:
                self.owners.observe(tensor)
        place = _as_slice(slots)
        for rows in self.caches.part(cache, layer, plane):
            if rows.frame.full:
                rows.frame.sweep(self._dead)
            rows.frame.record(rows, place, access, self._slots_race)
            self._against_bytes(rows, slots, access)
            for other in rows.frame.neighbours:
                self._against_neighbour(rows, slots, access, other)

    def forget(self, lo: int, hi: int) -> None:
        """The bytes from ``lo`` to ``hi`` changed hands."""
        self.shadow.forget(lo, hi)
        self.caches.forget(lo, hi)

    def sweep(self) -> None:
        """Drop what nothing can race with any more."""
        self.owners.sweep()
        self.shadow.sweep(self._dead)
        for frame in self.caches.frames:
            frame.sweep(self._dead)
        self._sweep_at = max(_SWEEP, 2 * len(self.shadow))

    # --- one kind against the other --------------------------------------------------------------

    def _against_slots(self, frame: Frame, access: Access, box: Box) -> None:
        reported: set[int] = set()
        for row, prior, slots in frame.pending(access, frame.near(box.lo, box.hi)):
            if id(prior) in reported or not unordered(prior, access):
                continue
            slot = frame.first_within(row, slots, box)
            if slot is not None:
                reported.add(id(prior))
                self._found(prior, access, common(frame.cell(row, slot), box), slot)

    def _against_bytes(self, rows: Rows, slots: NDArray[np.int64], access: Access) -> None:
        frame = rows.frame
        offsets = frame.offsets(slots)
        first, last = int(offsets.min()), int(offsets.max()) + frame.span
        done: set[int] = set()
        for row in rows.index.tolist():
            start = int(frame.pointers[row])
            for prior in self.shadow.within(start + first, start + last):
                if id(prior) in done:
                    continue
                if not (prior.write or access.write) or not unordered(prior, access):
                    done.add(id(prior))
                    continue
                assert prior.box is not None
                slot = frame.first_within(row, slots, prior.box)
                if slot is not None:
                    done.add(id(prior))
                    self._found(prior, access, common(frame.cell(row, slot), prior.box), slot)

    def _against_neighbour(
        self, rows: Rows, slots: NDArray[np.int64], access: Access, other: Frame
    ) -> None:
        if other.known(access) is None:
            return
        reported: set[int] = set()
        for row, theirs in shared_rows(rows.frame, rows.index.tolist(), other):
            for _, prior, taken in other.pending(access, [theirs]):
                if id(prior) in reported or not unordered(prior, access):
                    continue
                at = _meeting(*rows.frame.runs(row, slots), *other.runs(theirs, taken))
                if at is not None:
                    reported.add(id(prior))
                    self._found(prior, access, at, None)

    def race(self, prior: Access, access: Access) -> None:
        """Two boxes of bytes race."""
        assert prior.box is not None
        assert access.box is not None
        self._found(prior, access, common(prior.box, access.box), None)

    def _slots_race(self, prior: Access, access: Access, frame: Frame, row: int, slot: int) -> None:
        if unordered(prior, access):
            cell = frame.cell(row, slot)
            self._found(prior, access, (cell.lo, cell.hi), slot)


def _as_slice(slots: NDArray[np.int64]) -> Any:
    """Consecutive slots as a slice, which numpy handles without an index list."""
    count = len(slots)
    if int(slots[-1]) - int(slots[0]) == count - 1 and (count < 3 or (np.diff(slots) == 1).all()):
        return slice(int(slots[0]), int(slots[0]) + count)
    return slots


def _meeting(
    a: NDArray[np.int64], a_run: int, b: NDArray[np.int64], b_run: int
) -> tuple[int, int] | None:
    """The first bytes that two sets of runs have in common."""
    b = np.sort(b)
    # The first run of b that ends behind the start of a's.
    at = np.searchsorted(b, a - b_run, side="right")
    inside = at < len(b)
    hit = np.nonzero(inside & (b[np.minimum(at, len(b) - 1)] < a + a_run))[0]
    if not len(hit):
        return None
    mine, theirs = int(a[hit[0]]), int(b[at[hit[0]]])
    return max(mine, theirs), min(mine + a_run, theirs + b_run)
