"""Pinned memory: blocks that are handed out, given back, and handed out again.

The pool itself waits for copies of tensors over its blocks, and for the streams that were named to
``record_stream``. Of accesses by raw addresses it need not know: giving a block back while one is
under way is a race.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..providers import MemRef
from .access import Access, unordered
from .extents import Box, tensor_box

if TYPE_CHECKING:
    from .memory import Memory
    from .recorder import Recorder

__all__ = ["Pinned"]


class Pinned:
    """The pool as far as a sanitizer knows it."""

    def __init__(self, recorder: Recorder) -> None:
        self._r = recorder
        #: Named to record_stream: (lo, hi, timeline, tick).
        self._recorded: list[tuple[int, int, int, int]] = []

    def handed_out(self, lo: int, nbytes: int, call: str) -> None:
        """The pool gave these bytes to a new owner."""
        if nbytes <= 0:
            return
        memory = self._memory()
        self._check(memory, Box(lo, lo + nbytes), call)
        memory.forget(lo, lo + nbytes)
        self._r.pool.add(lo, lo + nbytes)

    def freed(self, lo: int, nbytes: int) -> None:
        """The owner is about to give them back."""
        if nbytes > 0:
            self._check(self._memory(), Box(lo, lo + nbytes), "pinned.free")

    def record_stream(self, memory: Any, stream: Any) -> None:
        """The pool was told that ``stream`` uses this memory."""
        box = box_of(memory)
        if box is not None:
            timeline = self._r.stream(stream)
            entry = (box.lo, box.hi, timeline.id, timeline.tick)
            self._recorded = [e for e in self._recorded if not _replaces(entry, e)]
            self._recorded.append(entry)

    def _check(self, memory: Memory, box: Box, call: str) -> None:
        r = self._r
        when = r.on_host(call)
        access = Access(when, True, "buffer", f"{box.hi - box.lo} bytes of pinned memory", box)
        done: set[int] = set()
        for prior in list(memory.shadow.within(box.lo, box.hi)):
            if id(prior) in done or not prior.raw or not unordered(prior, access):
                continue
            done.add(id(prior))
            if not self._named(prior):
                memory.race(prior, access)
        memory.shadow.forget(box.lo, box.hi)
        self._recorded = [e for e in self._recorded if e[1] <= box.lo or e[0] >= box.hi]

    def _named(self, access: Access) -> bool:
        assert access.box is not None
        return any(
            lo <= access.box.lo
            and access.box.hi <= hi
            and timeline == access.timeline
            and tick >= access.tick
            for lo, hi, timeline, tick in self._recorded
        )

    def _memory(self) -> Memory:
        import torch

        return self._r.memory(torch.device("cpu"))


def box_of(memory: Any) -> Box | None:
    """The bytes of a buffer, a MemRef or a tensor, the last from its first to its last byte."""
    if isinstance(memory, MemRef) or hasattr(memory, "pointer"):
        return Box(memory.pointer, memory.pointer + memory.nbytes) if memory.nbytes > 0 else None
    box = tensor_box(memory)
    return Box(box.lo, box.hi) if box is not None else None


def _replaces(new: tuple[int, int, int, int], old: tuple[int, int, int, int]) -> bool:
    return new[:3] == old[:3]
