"""The device buffers that layers pass through, in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..capabilities import Capability
from ..errors import OutOfMemoryError

if TYPE_CHECKING:
    import torch

    from ..backend import Backend
    from ..providers import Stream
    from .sources import HostLayer

__all__ = ["Ring", "Slot"]


class Slot:
    """One buffer, large enough for any layer, and the two events that order its use."""

    def __init__(self, backend: Backend, nbytes: int, home: Stream) -> None:
        import torch

        self.buffer = torch.empty(nbytes, dtype=torch.uint8, device=backend.device)
        if Capability.FILL in backend.capabilities:
            # So that the first pass does not pay for fresh pages.
            backend.memcpy.fill(self.buffer, 0, home)
        #: The layer's copy into the slot is done.
        self.ready = backend.events.create()
        #: Nobody works on what is in the slot any more. At first: torch may have given us memory
        #: that earlier work of the current stream still uses.
        self.free = home.record_event(backend.events.create())
        self._views: dict[int, tuple[tuple[torch.Tensor, ...], Any]] = {}

    def views(self, index: int, layer: HostLayer) -> tuple[tuple[torch.Tensor, ...], Any]:
        """Layer ``index``'s tensors in this slot: flat, and in the caller's form. Made once."""
        found = self._views.get(index)
        if found is None:
            flat = layer.views(self.buffer)
            found = self._views[index] = flat, layer.shaped(flat)
        return found

    def drop(self) -> None:
        """Let go of the memory."""
        self._views.clear()
        del self.buffer


class Ring:
    """``count`` slots of ``nbytes`` bytes, allocated at once on ``home``, the current stream.

    Raises:
        OutOfMemoryError: they do not fit.
    """

    def __init__(self, backend: Backend, count: int, nbytes: int, home: Stream) -> None:
        try:
            self.slots: Sequence[Slot] = [Slot(backend, nbytes, home) for _ in range(count)]
        except RuntimeError as error:
            # torch's own: OutOfMemoryError on devices, a plain RuntimeError on the CPU.
            raise OutOfMemoryError(
                f"{count} slots of {nbytes} bytes, the largest layer, cannot be allocated on "
                f"{backend.device}: {error}. Cure: a smaller `ahead`, or layers split in parts"
            ) from error
        self.nbytes = count * nbytes
        self._turn = 0

    def next(self) -> Slot:
        """The slot whose turn it is: the one used longest ago."""
        return self.slots[self._turn]

    def advance(self) -> None:
        """The next slot's turn."""
        self._turn = (self._turn + 1) % len(self.slots)

    def drop(self) -> None:
        """Let go of the memory."""
        for slot in self.slots:
            slot.drop()
        self.slots = ()
