"""Events of the CPU: snapshots, with timing, and across processes through shared memory."""

from __future__ import annotations

from accel import Capabilities, Capability, DTypeError, Level
from accel.providers import Event, Events

from . import _native

__all__ = ["CpuEvents"]


class CpuEvents(Events):
    """Snapshot events. Interprocess events may keep time as well; times are of one clock
    (CLOCK_MONOTONIC), so they compare between processes of one machine."""

    capabilities = Capabilities(
        {
            Capability.EVENTS: Level.NATIVE,
            Capability.EVENT_TIMING: Level.NATIVE,
            Capability.EVENT_IPC: Level.NATIVE,
        }
    )

    def __init__(self) -> None:
        self.create = _native.create_event  # type: ignore[method-assign]

    def from_ipc_handle(self, handle: bytes) -> Event:
        if not isinstance(handle, bytes):
            raise DTypeError("handle", "bytes made by event.ipc_handle()", repr(handle))
        return _native.event_from_ipc_handle(handle)
