"""Which frame and row the planes of a cache are: caches over the same bytes share them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ..strided_boxes import boxes_meet
from .frames import Frame, Rows, Shape, rows_of, whole_row

if TYPE_CHECKING:
    from ..kv import KVCache

__all__ = ["Caches", "shared_rows"]

#: Caches looked up and kept; the oldest goes first.
_MOST = 1024

_Key = tuple[int, Shape]
#: uid, layer or None for all, plane or None for all
_Part = tuple[int, "int | None", "int | None"]


class Caches:
    """The frames of one device."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self._rows: dict[_Key, tuple[Frame, int]] = {}
        self._parts: dict[_Part, list[Rows]] = {}

    def known(self, cache: KVCache) -> bool:
        """Whether the whole cache was looked up since memory last changed hands."""
        return (cache.uid, None, None) in self._parts

    def part(self, cache: KVCache, layer: int | None, plane: int | None) -> list[Rows]:
        """The rows of a cache, of one layer or plane of it, by frame."""
        key = (cache.uid, layer, plane)
        found = self._parts.get(key)
        if found is None:
            if (layer, plane) != (None, None):
                self.part(cache, None, None)  # frames are made for whole caches
            found = self._look_up(cache, layer, plane)
            while len(self._parts) >= _MOST:
                self._parts.pop(next(iter(self._parts)))
            self._parts[key] = found
        return found

    def forget(self, lo: int, hi: int) -> None:
        """The memory from ``lo`` to ``hi`` is another's from now on."""
        hit = [f for f in self.frames if f.lo < hi and f.hi > lo and f.near(lo, hi)]
        if not hit:
            return
        self._parts.clear()
        for frame in hit:
            frame.forget(lo, hi)
            if frame.gone.all():
                self._drop(frame)

    def _look_up(self, cache: KVCache, layer: int | None, plane: int | None) -> list[Rows]:
        wanted = [
            (pointer, shape)
            for la, p, pointer, shape in rows_of(cache)
            if layer in (None, la) and plane in (None, p)
        ]
        new: dict[Shape, list[int]] = {}
        for pointer, shape in wanted:
            if (pointer, shape) not in self._rows and pointer not in new.setdefault(shape, []):
                new[shape].append(pointer)
        for shape, pointers in new.items():
            if pointers:
                self._make(pointers, shape)
        by_frame: dict[int, tuple[Frame, list[int]]] = {}
        for key in wanted:
            frame, row = self._rows[key]
            frame.gone[row] = False
            by_frame.setdefault(id(frame), (frame, []))[1].append(row)
        return [Rows(f, np.unique(np.array(rows))) for f, rows in by_frame.values()]

    def _make(self, pointers: list[int], shape: Shape) -> None:
        frame = Frame(pointers, shape)
        for row, pointer in enumerate(pointers):
            self._rows[pointer, shape] = frame, row
        for other in self.frames:
            if _share(frame, other):
                frame.neighbours.append(other)
                other.neighbours.append(frame)
        self.frames.append(frame)

    def _drop(self, frame: Frame) -> None:
        self.frames.remove(frame)
        for other in frame.neighbours:
            other.neighbours.remove(frame)
        for key in [k for k, (f, _) in self._rows.items() if f is frame]:
            del self._rows[key]


def _share(a: Frame, b: Frame) -> bool:
    if a.lo >= b.hi or b.lo >= a.hi:
        return False
    return any(True for _ in shared_rows(a, range(a.rows), b))


def shared_rows(a: Frame, rows: Iterable[int], b: Frame) -> Iterable[tuple[int, int]]:
    """Pairs of rows of two frames that have bytes in common."""
    left, right = whole_row(a), whole_row(b)
    for row in rows:
        start = int(a.pointers[row])
        for other in b.near(start, start + a.reach):
            if boxes_meet(left, right, int(b.pointers[other]) - start):
                yield row, other
