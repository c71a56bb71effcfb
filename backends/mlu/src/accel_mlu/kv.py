"""The KV kernels of the MLU: BANG C kernels, then CNRT copies, then operators of torch_mlu."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from accel.torch_device.kv import TieredKVKernels

from . import _native
from .device_kernels import MluKernels
from .runtime import device_index

if TYPE_CHECKING:
    from accel.backend import Backend
    from accel.torch_device.device_kernels import DeviceKernels

__all__ = ["MluKVKernels"]


class MluKVKernels(TieredKVKernels):
    """See `TieredKVKernels`."""

    native: ClassVar[Any] = _native
    tiers_variable = "ACCEL_MLU_KV_TIERS"

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend, device_index(backend))

    def find_device_kernels(self, index: int) -> DeviceKernels:
        return MluKernels(index)

    def copies_note(self) -> str:
        if "cnrtMemcpy2DAsync" in _native.describe_cnrt()["missing"]:
            return "CNRT copies where a page is contiguous (CNRT 6.14 has pitched ones)"
        return "CNRT copies, a page in one pitched call"
