"""Events of the device: snapshots with timing, and across processes through the driver."""

from __future__ import annotations

from functools import partial

from accel import Capabilities, Capability, DTypeError, Level
from accel.providers import Event, Events

from . import _native

__all__ = ["CudaEvents"]


class CudaEvents(Events):
    """The driver's events. One between processes keeps no time: the driver cannot do both."""

    def __init__(self, index: int) -> None:
        self._index = index
        levels = {
            Capability.EVENTS: Level.NATIVE,
            Capability.EVENT_TIMING: Level.NATIVE,
        }
        missing = _native.describe_driver()["missing"]
        if not {"ipc_get_event", "ipc_open_event"} & set(missing):
            levels[Capability.EVENT_IPC] = Level.NATIVE
        self.capabilities = Capabilities(levels)
        self.create = partial(_native.create_event, index)  # type: ignore[method-assign]

    def from_ipc_handle(self, handle: bytes) -> Event:
        if not isinstance(handle, bytes):
            raise DTypeError("handle", "bytes made by event.ipc_handle()", repr(handle))
        return _native.event_from_ipc_handle(self._index, handle)
