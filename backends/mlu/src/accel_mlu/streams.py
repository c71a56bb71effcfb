"""Streams of the MLU: torch_mlu's, with host callbacks and raw queues through CNRT.

torch_mlu gives its operators to CNRT where they are called, so a call into CNRT with a stream's
handle comes behind them. The default stream's handle is null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from accel.providers import Stream
from accel.torch_device.native_streams import NativeStreams

from . import _native
from .runtime import MLU, device_index

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["MluStreams"]

#: torch_mlu's, as CUDA's: lower goes first. CNRT has 7 to 0 below it.
_PRIORITIES = (0, -3)


class MluStreams(NativeStreams):
    """torch_mlu's streams with their priorities, and CNRT queues that others made."""

    native: ClassVar[Any] = _native
    callback_cure = "upgrade Neuware: this CNRT has no cnrtInvokeHostFunc"

    def __init__(self, backend: Backend) -> None:
        index = device_index(backend)
        least, greatest = _native.queue_priorities(index)
        super().__init__(MLU, index, _PRIORITIES if least != greatest else (0, 0))
        #: Queues that were made here, as torch's streams; never destroyed, as torch's own.
        self._made: list[Any] = []
        cnrt = _native.describe_cnrt()
        simulated = f", simulated: {cnrt['simulator']}" if cnrt["simulator"] else ""
        missing = ", ".join(cnrt["missing"])
        self.notes = (
            f"CNRT {cnrt['version'] or 'of unknown version'} ({cnrt['library']}){simulated}",
            *self.notes,
            *((f"this CNRT lacks: {missing}",) if missing else ()),
        )

    def _further(self, priority: int) -> Stream | None:
        """A CNRT queue of torch's priority: torch_mlu has 32 streams for each."""
        external = getattr(self.torch, "ExternalStream", None)
        if external is None:
            return None
        alike = next(iter(self._pool(priority)))
        wanted = _native.queue_priority(self.submit_handle(alike))
        for made in self._made:
            with self._lock:
                held = made.stream_id in self._by_id
            if not held and made.query() and _native.queue_priority(made.mlu_stream) == wanted:
                return self._wrap(made)
        with self.on_device():
            made = external(_native.create_queue(self.index, wanted), device=self.device)
        self._made.append(made)
        return self._wrap(made)

    def adopt_foreign(self, handle: int) -> Stream:
        """A queue that CNRT's user made, as torch_mlu's ExternalStream: it stays its maker's."""
        external = getattr(self.torch, "ExternalStream", None)
        if external is None:
            return super().adopt_foreign(handle)
        with self.on_device():
            return self._wrap(external(handle, device=self.device))
