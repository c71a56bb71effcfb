"""One pass over the layers: what is queued when, on which stream, behind which event."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from ..errors import StateError
from .layer import Layer

if TYPE_CHECKING:
    from ..providers import Stream
    from .lanes import Lanes
    from .marks import Marks
    from .ring import Slot

__all__ = ["Pass"]


class Pass:
    """The iterator of one loop.

    Nothing here waits on the host but for :class:`SynchronousPass`.
    """

    def __init__(self, lanes: Lanes, marks: Marks, ahead: int) -> None:
        self.marks = marks
        self.over = False
        self.complete = False  #: the loop has had every layer
        self._lanes = lanes
        self._ahead = ahead
        self._compute: Stream | None = None
        self._slots: dict[int, Slot] = {}  # of the layers fetched and not yet released
        self._at = -1  # the layer that the loop works on
        marks.clear()
        if marks.origin is not None:
            marks.origin.record(lanes.copy)

    @property
    def layers(self) -> int:
        """How many layers a whole pass has."""
        return len(self._lanes.layers)

    def prefetch(self) -> None:
        """Queue the first copies."""
        self._fetch_through(self._ahead)

    def begin(self, compute: Stream) -> None:
        """The loop starts, and computes on ``compute``.

        Copies that were not prefetched come after what ``compute`` was given before: it may be what
        writes the host's tensors.
        """
        self._compute = compute
        if not self.marks.copied:
            self._lanes.follow(compute)
        if self.marks.origin is not None:
            # All times are counted from there, so nothing that is timed may come before.
            compute.wait_event(self.marks.origin)

    def __iter__(self) -> Pass:
        return self

    def __next__(self) -> Layer:
        if self.over:
            if self.complete:
                raise StopIteration
            raise StateError(
                "this pass over the pipe is over: the pipe was closed, or another pass was begun. "
                "Cure: start a new `for layer in pipe`; one at a time"
            )
        started = perf_counter()
        index = self._at + 1
        released = self._at not in self._slots  # in the loop's body, or there was none
        self.release(self._at)
        if index == self.layers:
            self.complete = True
            self.finish()
            raise StopIteration
        self.marks.arrive(index, released, self._stream)
        layer = self._arrive(index)
        self.marks.submit[index] = perf_counter() - started
        return layer

    def _arrive(self, index: int) -> Layer:
        """Queue further copies, and the wait for this layer's."""
        self._fetch_through(index + self._ahead)
        return self._enter(index)

    def _enter(self, index: int) -> Layer:
        compute, marks, slot = self._stream, self.marks, self._slots[index]
        compute.wait_event(slot.ready)
        marks.mark(marks.START, index, compute)
        marks.computed = index + 1
        self._at = index
        _, tensors = slot.views(index, self._lanes.layers[index])
        return Layer(index, tensors, self._release_current)

    def _fetch_through(self, last: int) -> None:
        for index in range(self.marks.copied, min(last + 1, self.layers)):
            self._slots[index] = self._lanes.fetch(index, self.marks)

    def _release_current(self, index: int) -> None:
        if self.over or index != self._at:
            raise StateError(
                f"layer {index} is not the one that the loop works on. Cure: release a layer "
                "within the body of its own turn"
            )
        self.release(index)

    def release(self, index: int) -> None:
        """The loop is done with layer ``index``; nothing the second time."""
        slot = self._slots.pop(index, None)
        if slot is None:
            return
        self._leave(index, slot)
        if self._lanes.back is not None:
            self._lanes.write_back(index, slot, self.marks)

    def _leave(self, index: int, slot: Slot) -> None:
        """The compute stream's work on the slot ends here."""
        self.marks.mark(self.marks.END, index, self._stream)
        self._stream.record_event(slot.free)
        self.marks.released = index + 1

    def finish(self) -> None:
        """End the pass, early or not.

        What the compute stream does next comes after every copy of the pass. A layer that was not
        released is not copied back.
        """
        if self.over:
            return
        self.over = True
        slot = self._slots.pop(self._at, None)
        if slot is not None:
            self._leave(self._at, slot)
        self._slots.clear()  # fetched and never worked on: the copy stream's own order is enough
        if self._compute is not None:
            self._lanes.join(self._compute)
            if self.marks.end is not None:
                self.marks.end.record(self._compute)

    @property
    def begun(self) -> bool:
        """A loop runs over it; False while it is only prefetched."""
        return self._compute is not None

    @property
    def _stream(self) -> Stream:
        assert self._compute is not None
        return self._compute


class SynchronousPass(Pass):
    """Copy, synchronise, compute, synchronise: nothing overlaps."""

    def _arrive(self, index: int) -> Layer:
        lanes = self._lanes
        self._stream.synchronize()
        if lanes.back is not None:
            lanes.back.synchronize()
        self._fetch_through(index)
        lanes.copy.synchronize()
        return self._enter(index)

    def finish(self) -> None:
        if self.over:
            return
        super().finish()
        if self._compute is not None:
            self._compute.synchronize()
