"""Page-locked host memory of the NPU backend: aclrtMallocHost, and registered pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from accel.torch_device.pinned import TorchDevicePinnedMemory

from . import _native

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["AscendPinnedMemory"]


class AscendPinnedMemory(TorchDevicePinnedMemory):
    """Blocks of aclrtMallocHost; the rest by aclrtHostRegister, which not every chip has."""

    native: ClassVar[Any] = _native

    def __init__(self, backend: Backend) -> None:
        _native.use_pinned_device(backend.device.index)
        works, why = _native.registration_works()
        super().__init__(backend, "" if works else why, "upgrade CANN and its driver")
