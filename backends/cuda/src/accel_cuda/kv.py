"""The parts that make up the KV kernels of the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel.capabilities import Capabilities

from .arithmetic import ARITHMETIC, CudaArithmetic
from .coding import CODING, CudaKVCoding
from .kv_movement import MOVEMENT, CudaMovement

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["CudaKVKernels"]


class CudaKVKernels(CudaArithmetic, CudaKVCoding, CudaMovement):
    """Kernels compiled for the chip at hand; calls enter C++ once, with what was prepared."""

    capabilities = Capabilities({**MOVEMENT, **ARITHMETIC, **CODING})

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.notes = self.movement_notes()
