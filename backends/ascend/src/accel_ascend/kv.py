"""The KV kernels of the NPU: which of three tiers serves a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel.capabilities import Capabilities, Capability, Level
from accel.torch_kernels import TorchKVKernels

from .device_movement import DeviceMovement
from .runtime import device_index

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["AscendKVKernels"]

#: What AscendC kernels serve where they are built.
_BY_KERNELS = (
    Capability.KV_TRANSFER,
    Capability.KV_TRANSFER_BLOCKS,
    Capability.KV_WRITE,
    Capability.KV_COPY_BLOCKS,
    Capability.KV_SWAP_BLOCKS,
    Capability.KV_GATHER,
)


class AscendKVKernels(DeviceMovement, TorchKVKernels):
    """AscendC kernels between caches on the device where they are built, else torch_npu's
    operators."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        if self.open_device_kernels(device_index(backend)):
            levels = dict(self.capabilities.items()) | dict.fromkeys(_BY_KERNELS, Level.NATIVE)
            self.capabilities = Capabilities(levels)
        self.notes = (*self.notes, self.device_kernels_note)
