"""Page-locked host memory of the MLU backend: cnrtHostMalloc's, and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from accel.torch_device.pinned import TorchDevicePinnedMemory

from . import _native

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["MluPinnedMemory"]


class MluPinnedMemory(TorchDevicePinnedMemory):
    """Blocks of cnrtHostMalloc. CNRT registers no memory that it did not allocate, so there are
    no shared segments, NUMA nodes, huge pages nor page locks on callers' memory."""

    native: ClassVar[Any] = _native

    def __init__(self, backend: Backend) -> None:
        why = "CNRT has no call that registers it"
        super().__init__(backend, why, "copy to memory of backend.pinned.allocate()")
