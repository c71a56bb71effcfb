"""The timing events of one pass, and the host's own clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..backend import Backend
    from ..providers import Event, Stream

__all__ = ["Marks"]


class Marks:
    """What a pass records for its report; order never depends on it.

    For each layer a pair of events around its copy, its compute and its copy back. Where the
    compute stream arrives at the wait for a layer is where it ended the one before, or an event of
    its own. All are recorded again by a later pass.
    """

    #: Of a layer: the compute stream arrives; it goes on; the loop is done with the layer.
    ARRIVE, START, END = 0, 1, 2
    #: Around the copy to the device, and around the copy back.
    COPY_START, COPY_END, BACK_START, BACK_END = 3, 4, 5, 6

    def __init__(self, backend: Backend, layers: int, write_back: bool, timing: bool) -> None:
        self.submit = [0.0] * layers  #: seconds of host time in the pipe's own calls
        self.copied = self.computed = self.released = 0  #: layers that got so far
        self.back = [False] * layers  #: copied back
        self.apart = [True] * layers  #: arrived later than the end of the layer before
        self.inline = [False] * layers  #: the copy was over when its call returned
        self._events: list[list[Event]] = []
        self.origin: Event | None = None
        self.end: Event | None = None
        if timing:
            create = backend.events.create
            kinds = 7 if write_back else 5
            self._events = [[create(timing=True) for _ in range(kinds)] for _ in range(layers)]
            self.origin, self.end = create(timing=True), create(timing=True)

    def clear(self) -> None:
        """For another pass."""
        self.submit = [0.0] * len(self.submit)
        self.back = [False] * len(self.back)
        self.apart = [True] * len(self.apart)
        self.inline = [False] * len(self.inline)
        self.copied = self.computed = self.released = 0

    def mark(self, kind: int, layer: int, stream: Stream) -> None:
        """Record the layer's event of that kind on ``stream``; nothing without timing."""
        if self._events:
            self._events[layer][kind].record(stream)

    def arrive(self, layer: int, apart: bool, stream: Stream) -> None:
        """``stream`` arrives at the wait for ``layer``, at once after the one before or not."""
        self.apart[layer] = apart
        if apart:
            self.mark(self.ARRIVE, layer, stream)

    def at(self, kind: int, layer: int) -> float:
        """Milliseconds from the origin to a recorded event that has completed."""
        assert self.origin is not None
        if kind == self.ARRIVE and not self.apart[layer]:
            kind, layer = self.END, layer - 1
        return self.origin.elapsed_time(self._events[layer][kind])
