"""Which blocks of a cache are free, and how many references hold the others."""

from __future__ import annotations

import operator
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import ArgumentError, DTypeError, FreedError, OutOfBlocksError, SlotError

__all__ = ["BlockReferences"]

#: What holds blocks until it is done: says so without waiting, and is then given away.
Done = Callable[[], bool]


class BlockReferences:
    """Reference counts of blocks ``0 .. count-1`` and the list of free ones; no memory of its own.

    A reference belongs to a caller, or waits: it was given up, but only counts as gone once some
    work is done. A block is free when it has neither. Every method that raises has changed nothing.
    Methods may be called by several threads; not from finalizers (``__del__``), which may run in
    the middle of any of them.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._lock = threading.Lock()
        # The last one goes first: in order at the start, the warmest one later.
        self._free = list(range(count - 1, -1, -1))
        self._held = [0] * count
        self._waiting = [0] * count
        self._pending: list[tuple[Done, list[int]]] = []

    # --- what there is -----------------------------------------------------------------------

    @property
    def free(self) -> int:
        """Blocks that can be taken now."""
        with self._lock:
            self._collect()
            return len(self._free)

    def counts(self) -> tuple[int, int, int]:
        """``(free, used, pending)`` at one moment; their sum is ``count``.

        Pending are those that only references of work under way hold.
        """
        with self._lock:
            self._collect()
            pending = self._only_waiting()
            return len(self._free), self.count - len(self._free) - pending, pending

    def references(self, block: int) -> int:
        """Callers' references to a block; 0 when it is free or only waits."""
        with self._lock:
            return self._held[self._known([block])[0]]

    # --- taking and giving -------------------------------------------------------------------

    def take(self, n: int) -> list[int]:
        """``n`` free blocks with one reference each.

        Raises:
            ArgumentError, DTypeError: no number of blocks.
            OutOfBlocksError: there are not as many.
        """
        with self._lock:
            return self._take(_number(n))

    def retain(self, blocks: Iterable[int]) -> None:
        """One more reference to each; one for each time a block is named."""
        with self._lock:
            wanted = self._held_by_callers(self._known(blocks))
            held = self._held
            for block in wanted:
                held[block] += 1

    def give(self, blocks: Iterable[int], done: Done | None = None) -> None:
        """One reference fewer to each; if ``done`` is given, when it returns True."""
        with self._lock:
            self._give(self._owned(self._known(blocks)), done)

    # --- copy-on-write -----------------------------------------------------------------------

    def split(self, blocks: Iterable[int]) -> tuple[list[int], list[tuple[int, int]]]:
        """A fresh block for each that others refer to as well: the new list, ``(old, fresh)``.

        The references to the old blocks wait until :meth:`settle` or :meth:`unsplit`.

        Raises:
            ArgumentError: a block is named twice.
            OutOfBlocksError: not as many are free.
        """
        with self._lock:
            wanted = self._held_by_callers(self._known(blocks))
            if len(set(wanted)) != len(wanted):
                twice = next(b for b, n in Counter(wanted).items() if n > 1)
                raise ArgumentError("blocks", "each block once", f"block {twice} twice")
            # References that wait may expire right now, and save a copy.
            self._collect()
            held, waiting = self._held, self._waiting
            shared = [b for b in wanted if held[b] + waiting[b] > 1]
            if not shared:
                return wanted, []
            pairs = list(zip(shared, self._take(len(shared)), strict=True))
            for old, _ in pairs:
                held[old] -= 1
                waiting[old] += 1
            fresh = dict(pairs)
            return [fresh.get(b, b) for b in wanted], pairs

    def settle(self, pairs: list[tuple[int, int]], done: Done) -> None:
        """The references to the old blocks of a split end when ``done`` returns True."""
        with self._lock:
            self._pending.append((done, [old for old, _ in pairs]))
            self._collect()

    def unsplit(self, pairs: list[tuple[int, int]]) -> None:
        """Take a split back: nothing was copied."""
        with self._lock:
            for old, _ in pairs:
                self._held[old] += 1
                self._waiting[old] -= 1
            self._give([fresh for _, fresh in pairs], None)

    # --- with the lock held ------------------------------------------------------------------

    def _take(self, n: int) -> list[int]:
        free = self._free
        if n > len(free):
            self._collect()
            if n > len(free):
                raise OutOfBlocksError(n, len(free), self.count, self._only_waiting())
        if not n:
            return []
        taken = free[-n:]
        del free[-n:]
        taken.reverse()
        held = self._held
        for block in taken:
            held[block] = 1
        return taken

    def _give(self, blocks: list[int], done: Done | None) -> None:
        held, waiting, freed = self._held, self._waiting, []
        if done is not None and blocks and not done():
            for block in blocks:
                held[block] -= 1
                waiting[block] += 1
            self._pending.append((done, blocks))
            return
        for block in blocks:
            left = held[block] - 1
            held[block] = left
            if not left and not waiting[block]:
                freed.append(block)
        freed.reverse()  # taken again in the order in which they were given
        self._free += freed

    def _collect(self) -> None:
        """End the references whose work is done."""
        if not self._pending:
            return
        left: list[tuple[Done, list[int]]] = []
        pending, self._pending = self._pending, left
        held, waiting = self._held, self._waiting
        for i, (done, blocks) in enumerate(pending):
            try:
                over = done()
            except BaseException:
                left += pending[i:]  # a device that fails keeps what it may still use
                raise
            if not over:
                left.append((done, blocks))
                continue
            freed = []
            for block in blocks:
                waiting[block] -= 1
                if not waiting[block] and not held[block]:
                    freed.append(block)
            freed.reverse()
            self._free += freed

    def _only_waiting(self) -> int:
        return len({b for _, part in self._pending for b in part if not self._held[b]})

    def _known(self, blocks: Iterable[int]) -> list[int]:
        """The blocks as a list of indices of this pool."""
        try:
            wanted = list(blocks)
        except TypeError:
            raise DTypeError("blocks", "a list of block indices", repr(blocks)) from None
        if not wanted:
            return wanted
        if set(map(type, wanted)) != {int}:
            wanted = [_index(b) for b in wanted]
        if min(wanted) < 0 or max(wanted) >= self.count:
            bad = next(b for b in wanted if not 0 <= b < self.count)
            raise SlotError("blocks", f"blocks from 0 to {self.count - 1}", bad)
        return wanted

    def _held_by_callers(self, blocks: list[int]) -> list[int]:
        held = self._held
        for block in blocks:
            if not held[block]:
                raise _not_allocated(block)
        return blocks

    def _owned(self, blocks: list[int]) -> list[int]:
        """The blocks, if there is a reference for each time one is named."""
        self._held_by_callers(blocks)
        if len(set(blocks)) != len(blocks):
            for block, times in Counter(blocks).items():
                if times > self._held[block]:
                    raise FreedError(
                        "blocks", f"block {block} at most {self._held[block]} times, once for each"
                        " reference", f"{times} times",
                    )  # fmt: skip
        return blocks


def _not_allocated(block: int) -> FreedError:
    return FreedError(
        "blocks", "blocks that are allocated", f"block {block}, which is free",
        "release a block once for each allocate or retain, and not after that",
    )  # fmt: skip


def _index(value: Any) -> int:
    """Any integer, such as one of numpy or a tensor's; no bool."""
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise DTypeError("blocks", "integers", repr(value))


def _number(n: Any) -> int:
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise DTypeError("n", "a number of blocks", repr(n))
    count = operator.index(n)
    if count < 0:
        raise ArgumentError("n", "at least 0", count)
    return count
