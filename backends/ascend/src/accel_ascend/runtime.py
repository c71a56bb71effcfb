"""torch_npu and libascendcl, both opened when the backend is first built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel.torch_device import TorchVendor

from .probe import library_names

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["NPU", "connect", "device_index"]

NPU = TorchVendor(
    device_type="npu", package="torch_npu", distributed="hccl", distribution="torch-npu"
)


def connect() -> Any:
    """torch.npu, with ACL opened and initialised, by torch_npu, as it needs it."""
    from . import _native

    npu = NPU.load()
    npu.init()
    _native.open_acl(library_names())
    return npu


def device_index(backend: Backend) -> int:
    """The device's index. Before torch_npu is imported, torch knows no devices of its type."""
    connect()
    index = backend.device.index
    return 0 if index is None else int(index)
