"""The KV kernels of the NPU: AscendC kernels, then ACL copies, then operators of torch_npu."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from accel.torch_device.kv import TieredKVKernels

from . import _native
from .device_kernels import AscendKernels
from .runtime import device_index

if TYPE_CHECKING:
    from accel.backend import Backend
    from accel.torch_device.device_kernels import DeviceKernels

__all__ = ["AscendKVKernels"]


class AscendKVKernels(TieredKVKernels):
    """See `TieredKVKernels`."""

    native: ClassVar[Any] = _native
    tiers_variable = "ACCEL_ASCEND_KV_TIERS"

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend, device_index(backend))

    def find_device_kernels(self, index: int) -> DeviceKernels:
        return AscendKernels(index)

    def copies_note(self) -> str:
        if "aclrtMemcpyBatchAsync" not in _native.describe_acl()["missing"]:
            return "ACL copies, all pages in one batched call or a page in one pitched call"
        return "ACL copies, a page in one pitched call (CANN 8.5 has batched ones)"
