"""Page-locked host memory of the CPU backend."""

from __future__ import annotations

from accel.native_pinned import NativePinnedMemory

from . import _native

__all__ = ["CpuPinnedMemory"]


class CpuPinnedMemory(NativePinnedMemory):
    """Pages that the operating system locks (``mlock``)."""

    native = _native
