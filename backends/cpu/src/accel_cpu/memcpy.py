"""Copies and fills on the host."""

from __future__ import annotations

from accel import Capabilities, Capability, Level
from accel.providers import Memcpy

from . import _native

__all__ = ["CpuMemcpy"]


class CpuMemcpy(Memcpy):
    """Copies by native code: several threads when large, stores past the caches when larger still.

    On an inline stream (the default one, or inside ``use``) work is done when the call returns. On
    another it runs on the stream's thread; pageable and pinned memory are then the same. There is
    one device, so COPY_PEER does not apply.
    """

    capabilities = Capabilities(
        {
            Capability.COPY: Level.NATIVE,
            Capability.COPY_RAW: Level.NATIVE,
            Capability.COPY_BATCH: Level.NATIVE,
            Capability.COPY_2D: Level.NATIVE,
            Capability.FILL: Level.NATIVE,
        }
    )

    def __init__(self) -> None:
        self.notes = (
            f"large copies are split over {_native.thread_count()} threads and bypass the caches "
            f"from {_native.streaming_threshold()} bytes",
        )
        self.copy = _native.copy  # type: ignore[method-assign]
        self.copy_async = _native.copy_async  # type: ignore[method-assign]
        self.copy_batch = _native.copy_batch  # type: ignore[method-assign]
        self.copy_2d = _native.copy_2d  # type: ignore[method-assign]
        self.fill = _native.fill  # type: ignore[method-assign]
