"""What the passes of one pipeline share: its streams, its ring, its layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..capabilities import Capability
from .ring import Ring, Slot

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from ..backend import Backend
    from ..providers import Event, Stream
    from .marks import Marks
    from .sources import HostLayer

__all__ = ["Lanes"]


class Lanes:
    """The copy streams, and the copies on them.

    Three rules keep the bytes right. A copy into a slot waits for the slot's ``free`` event; the
    compute stream waits for its ``ready`` event; and with write-back, a layer is not read from the
    host before it was last written there. Copies to the device and back go by streams of their own:
    the two directions run side by side where the device can do that.
    """

    def __init__(
        self,
        backend: Backend,
        layers: Sequence[HostLayer],
        slots: int,
        priority: int,
        back: bool,
        home: Stream,
    ) -> None:
        self.layers = layers
        self.copy = backend.streams.create(priority=priority)
        self.back = backend.streams.create(priority=priority) if back else None
        #: Of each layer, its last copy back; empty without write-back.
        self._written = [backend.events.create() for _ in layers] if back else []
        self._head = backend.events.create()
        self._tails = [backend.events.create() for _ in range(2 if back else 1)]
        self._memcpy = backend.memcpy
        self._batch = Capability.COPY_BATCH in backend.capabilities
        self.ring = Ring(backend, slots, max(layer.room for layer in layers), home)

    def fetch(self, index: int, marks: Marks) -> Slot:
        """Queue layer ``index``'s copy into the next slot."""
        layer, slot, copy = self.layers[index], self.ring.next(), self.copy
        tensors, _ = slot.views(index, layer)
        copy.wait_event(slot.free)
        if self._written:
            copy.wait_event(self._written[index])
        marks.mark(marks.COPY_START, index, copy)
        self._copy(tensors, layer.tensors, copy)
        marks.mark(marks.COPY_END, index, copy)
        copy.record_event(slot.ready)
        if marks.origin is not None:
            marks.inline[index] = slot.ready.query()
        self.ring.advance()
        marks.copied = index + 1
        return slot

    def write_back(self, index: int, slot: Slot, marks: Marks) -> None:
        """Queue layer ``index``'s copy from ``slot`` to the host; ``slot.free`` is behind it."""
        back = self.back
        assert back is not None
        tensors, _ = slot.views(index, self.layers[index])
        back.wait_event(slot.free)
        marks.mark(marks.BACK_START, index, back)
        try:
            self._copy(self.layers[index].tensors, tensors, back)
        finally:
            # Also behind what was queued before a copy failed.
            back.record_event(slot.free)
        marks.mark(marks.BACK_END, index, back)
        back.record_event(self._written[index])
        marks.back[index] = True

    def follow(self, stream: Stream) -> None:
        """Later copies to the device come after ``stream``'s work so far."""
        self.copy.wait_event(stream.record_event(self._head))

    def join(self, stream: Stream) -> None:
        """``stream``'s later work comes after every copy queued so far."""
        sides = (self.copy,) if self.back is None else (self.copy, self.back)
        for side, tail in zip(sides, self._tails, strict=True):
            side.record_event(tail)
            stream.wait_event(tail)

    def free_events(self) -> list[Event]:
        """Behind the last use of each slot."""
        return [slot.free for slot in self.ring.slots]

    def _copy(
        self, dsts: Sequence[torch.Tensor], srcs: Sequence[torch.Tensor], stream: Stream
    ) -> None:
        if len(dsts) > 1 and self._batch:
            self._memcpy.copy_batch(dsts, srcs, stream)
            return
        for dst, src in zip(dsts, srcs, strict=True):
            self._memcpy.copy_async(dst, src, stream)
