"""Copies and fills on the host."""

from __future__ import annotations

from accel import Capabilities, Capability, Level
from accel.host_memory import host_memory
from accel.providers import Memcpy, MemoryInfo

from . import _native

__all__ = ["CpuMemcpy"]


class CpuMemcpy(Memcpy):
    """Copies by native code: several threads when large, stores past the caches when larger still.

    On an inline stream (the default one, or inside ``use``) work is done when the call returns. On
    another it runs on the stream's thread; pageable and pinned memory are then the same. There is
    one device, so COPY_PEER does not apply.
    """

    def __init__(self) -> None:
        levels = {
            Capability.COPY: Level.NATIVE,
            Capability.COPY_RAW: Level.NATIVE,
            Capability.COPY_BATCH: Level.NATIVE,
            Capability.COPY_2D: Level.NATIVE,
            Capability.FILL: Level.NATIVE,
        }
        if host_memory() is not None:
            levels[Capability.MEMORY_INFO] = Level.NATIVE
        self.capabilities = Capabilities(levels)
        self.notes = (
            f"large copies are split over {_native.thread_count()} threads and bypass the caches "
            f"from {_native.streaming_threshold()} bytes",
        )
        self.copy = _native.copy  # type: ignore[method-assign]
        self.copy_async = _native.copy_async  # type: ignore[method-assign]
        self.copy_batch = _native.copy_batch  # type: ignore[method-assign]
        self.copy_2d = _native.copy_2d  # type: ignore[method-assign]
        self.fill = _native.fill  # type: ignore[method-assign]

    def memory_info(self) -> MemoryInfo:
        known = host_memory()
        if known is None:
            raise self.unsupported(
                Capability.MEMORY_INFO, "this system has no /proc/meminfo: give sizes in bytes"
            )
        return MemoryInfo(*known)
