"""Entropy coding by the native engine."""

from __future__ import annotations

from accel.native_kernels.coding import Coding

from ._native import coding as _native

__all__ = ["CpuKVCoding"]


class CpuKVCoding(Coding):
    """32 lanes a stream in vector registers (AVX-512, AVX2 or what there is), streams on all
    threads."""

    native_coding = _native
    coding_devices = ("cpu",)
