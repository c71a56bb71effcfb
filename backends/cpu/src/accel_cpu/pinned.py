"""Page-locked host memory of the CPU backend."""

from __future__ import annotations

from typing import Any, ClassVar

from accel.native_pinned import NativePinnedMemory

from . import _native

__all__ = ["CpuPinnedMemory"]


class CpuPinnedMemory(NativePinnedMemory):
    """Pages that the operating system locks (``mlock``)."""

    native: ClassVar[Any] = _native
