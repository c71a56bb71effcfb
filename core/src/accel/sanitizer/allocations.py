"""Whose memory an address is: told apart by the storages that were seen there.

An allocator hands freed memory out again, and what the former owner did there is no race with what
the new one does. Storages are held weakly; a new one over the bytes of one that is gone, or raw
memory there, makes the shadow forget.
"""

from __future__ import annotations

import weakref
from bisect import bisect_left
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["Allocations", "Pool"]

_SWEEP = 1024


class _Owner:
    __slots__ = ("dead", "hi", "lo", "pooled")

    def __init__(self, lo: int, hi: int, dead: Callable[[], bool], pooled: bool) -> None:
        self.lo, self.hi, self.dead, self.pooled = lo, hi, dead, pooled


class Pool:
    """Blocks of the pinned pool, whose memory outlives the tensors over it."""

    def __init__(self) -> None:
        self._los: list[int] = []
        self._his: list[int] = []

    def add(self, lo: int, hi: int) -> None:
        """The pool handed these bytes out."""
        self.drop(lo, hi)
        i = bisect_left(self._los, lo)
        self._los.insert(i, lo)
        self._his.insert(i, hi)

    def drop(self, lo: int, hi: int) -> None:
        """Forget blocks that share a byte with the range."""
        first, last = self._range(lo, hi)
        del self._los[first:last], self._his[first:last]

    def holds(self, lo: int, hi: int) -> bool:
        """Whether the range lies within one block."""
        first, last = self._range(lo, hi)
        return last > first and self._los[first] <= lo and hi <= self._his[first]

    def touches(self, lo: int, hi: int) -> bool:
        """Whether a block shares a byte with the range."""
        first, last = self._range(lo, hi)
        return last > first

    def _range(self, lo: int, hi: int) -> tuple[int, int]:
        first = bisect_left(self._los, lo)
        if first and self._his[first - 1] > lo:
            first -= 1
        last = first
        while last < len(self._los) and self._los[last] < hi:
            last += 1
        return first, last


class Allocations:
    """The storages of one device. ``forget(lo, hi)`` is called for bytes that changed hands."""

    def __init__(self, pool: Pool, forget: Callable[[int, int], None]) -> None:
        self._pool = pool
        self._forget = forget
        self._seen: dict[int, _Owner] = {}
        self._los: list[int] = []
        self._his: list[int] = []
        self._owners: list[_Owner] = []
        self._sweep_at = _SWEEP

    def observe(self, tensor: torch.Tensor) -> None:
        """``tensor`` is about to be looked up: see to it that its bytes are its own."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        owner = self._seen.get(key)
        lo = storage.data_ptr()
        hi = lo + storage.nbytes()
        if owner is not None:
            if owner.lo == lo and owner.hi == hi:
                return
            self._release(owner)  # resized, or given other memory
        if lo == hi:
            return
        # The weak reference keeps the number from being used again.
        ghost = _storage_ref(storage)
        self._own(key, _Owner(lo, hi, ghost.expired, self._pool.touches(lo, hi)))

    def observe_raw(self, lo: int, hi: int, owner: Any) -> None:
        """As :meth:`observe`, for raw memory; ``owner`` tells how long it lives, if anything."""
        for i in range(*self._range(lo, hi)):
            if self._owners[i].dead():
                self._release(self._owners[i])
                return self.observe_raw(lo, hi, owner)
        if owner is None or _is_tensor(owner):
            return None
        try:
            ghost = weakref.ref(owner)
        except TypeError:
            return None
        first, last = self._range(lo, hi)
        if first == last and id(owner) not in self._seen:
            pooled = self._pool.touches(lo, hi)
            self._own(id(owner), _Owner(lo, hi, lambda: ghost() is None, pooled))
        return None

    def sweep(self) -> None:
        """Forget what storages that are gone left behind."""
        for key, owner in list(self._seen.items()):
            if owner.dead():
                self._release(owner)
                del self._seen[key]

    def _own(self, key: int, owner: _Owner) -> None:
        lo, hi = owner.lo, owner.hi
        first, last = self._cut(lo), self._cut(hi)
        for i in range(first, last):
            former = self._owners[i]
            if former.dead() and not former.pooled:
                self._forget(self._los[i], self._his[i])
        self._los[first:last], self._his[first:last] = [lo], [hi]
        self._owners[first:last] = [owner]
        self._seen[key] = owner
        if len(self._seen) > self._sweep_at:
            self.sweep()
            self._sweep_at = max(_SWEEP, 2 * len(self._seen))

    def _release(self, owner: _Owner) -> None:
        for i in reversed(range(*self._range(owner.lo, owner.hi))):
            if self._owners[i] is owner:
                if not owner.pooled:
                    self._forget(self._los[i], self._his[i])
                del self._los[i], self._his[i], self._owners[i]

    def _range(self, lo: int, hi: int) -> tuple[int, int]:
        first = bisect_left(self._los, lo)
        if first and self._his[first - 1] > lo:
            first -= 1
        last = bisect_left(self._los, hi)
        return first, max(first, last)

    def _cut(self, address: int) -> int:
        i = bisect_left(self._los, address)
        if i and self._his[i - 1] > address:
            self._los.insert(i, address)
            self._his.insert(i, self._his[i - 1])
            self._his[i - 1] = address
            self._owners.insert(i, self._owners[i - 1])
        return i


def _storage_ref(storage: torch.UntypedStorage) -> Any:
    from torch.multiprocessing.reductions import StorageWeakRef

    return StorageWeakRef(storage)  # type: ignore[no-untyped-call]


def _is_tensor(value: object) -> bool:
    import torch

    return isinstance(value, torch.Tensor)
