"""Copies and fills of the NPU: ACL's copies, and operators where memory of devices is strided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from accel.torch_device.memcpy import TorchDeviceMemcpy

from . import _native

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["AscendMemcpy"]


class AscendMemcpy(TorchDeviceMemcpy):
    """Copies by ACL: asynchronous, pitched where rows allow, batched where CANN can."""

    native: ClassVar[Any] = _native

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        batched = "aclrtMemcpyBatchAsync" not in _native.describe_acl()["missing"]
        self.notes = (
            *self.notes,
            "batches between host and device: "
            + ("one ACL call" if batched else "one ACL call a copy (CANN 8.5 takes them in one)"),
            "strided memory of the device: operators of torch_npu",
        )
