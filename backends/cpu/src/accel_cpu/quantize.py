"""Quantising by the native row loops."""

from __future__ import annotations

from typing import ClassVar

from accel.native_kernels.quantize import Quantizing

from ._native import quantize as _native

__all__ = ["CpuKVQuantize"]


class CpuKVQuantize(Quantizing):
    """A row at a time through the first-level cache, on all threads."""

    native_quantize = _native
    arithmetic_devices: ClassVar[tuple[str, ...]] = ("cpu",)
