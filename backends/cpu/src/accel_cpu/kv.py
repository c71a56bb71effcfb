"""KV data movement by the native engine, and the parts that make up all KV kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel.capabilities import Capabilities, Capability, Level
from accel.native_kernels.conversions import Conversions
from accel.native_kernels.movement import Movement

from ._native import kv as _native
from ._native import upload_small
from .coding import CpuKVCoding
from .quantize import CpuKVQuantize
from .rope import CpuKVRope

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["CpuKVKernels"]


class CpuKVKernels(Conversions, CpuKVCoding, CpuKVQuantize, CpuKVRope, Movement):
    """Strided copies on all threads, past the caches when they are large."""

    native = _native
    devices = ("cpu",)
    capabilities = Capabilities(
        {
            Capability.KV_TRANSFER: Level.NATIVE,
            Capability.KV_TRANSFER_BLOCKS: Level.NATIVE,
            Capability.KV_WRITE: Level.NATIVE,
            Capability.KV_COPY_BLOCKS: Level.NATIVE,
            Capability.KV_SWAP_BLOCKS: Level.NATIVE,
            Capability.KV_GATHER: Level.NATIVE,
            Capability.KV_QUANTIZE: Level.NATIVE,
            Capability.KV_UPLOAD: Level.NATIVE,
            Capability.KV_ENTROPY: Level.NATIVE,
            Capability.KV_ROPE: Level.NATIVE,
            Capability.KV_WRITE_QUANTIZED: Level.NATIVE,
            Capability.KV_CONVERT: Level.NATIVE,
        }
    )
    notes = ("index tensors are always checked",)

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self._device = backend.device
        self.upload_small = upload_small  # type: ignore[method-assign]
