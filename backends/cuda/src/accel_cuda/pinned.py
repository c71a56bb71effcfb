"""Page-locked host memory of the device backend."""

from __future__ import annotations

from typing import Any, ClassVar

from accel.native_pinned import NativePinnedMemory

from . import _native

__all__ = ["CudaPinnedMemory"]


class CudaPinnedMemory(NativePinnedMemory):
    """Pages that the driver locks for all devices.

    Kernels reach them at their own address, copies run at full rate and without the host, and
    torch's ``is_pinned`` is true of them. What cannot be locked is an OutOfMemoryError: memory that
    only looks pinned would make every copy wait.
    """

    native: ClassVar[Any] = _native

    def __init__(self, index: int) -> None:
        super().__init__()
        node = _native.device_properties(index)["host_numa_node"]
        if node >= 0:
            self.notes = (*self.notes, f"the device is nearest to NUMA node {node}")
