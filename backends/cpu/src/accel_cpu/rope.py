"""Keys at other positions by the native row loops."""

from __future__ import annotations

from typing import ClassVar

from accel.native_kernels.rope import Rotating

from ._native import rope as _native

__all__ = ["CpuKVRope"]


class CpuKVRope(Rotating):
    """Turns rows of channels on all threads."""

    native_rope = _native
    arithmetic_devices: ClassVar[tuple[str, ...]] = ("cpu",)
