"""The KV kernels of the NPU: which of three tiers serves a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from accel.torch_device.device_movement import DeviceMovement
from accel.torch_device.kv_copies import CopiedTransfers
from accel.torch_device.kv_tiers import allowed_tiers

from . import _native
from .device_kernels import AscendKernels
from .runtime import device_index

if TYPE_CHECKING:
    from accel.backend import Backend
    from accel.torch_device.device_kernels import DeviceKernels

__all__ = ["TIERS_VARIABLE", "AscendKVKernels"]

#: Which tiers may be used, as ``copies,operators``.
TIERS_VARIABLE = "ACCEL_ASCEND_KV_TIERS"


class AscendKVKernels(DeviceMovement, CopiedTransfers):
    """AscendC kernels, then ACL copies, then operators of torch_npu.

    * Movement on the device and plain writes: AscendC kernels where they were built for the chip,
      else operators.
    * Between the device and pinned host memory: ACL copies where a page takes no more than one
      call, else operators pack tokens on the device for one copy.
    * Everything else: operators; entropy coding on the host.
    """

    native: ClassVar[Any] = _native

    def __init__(self, backend: Backend) -> None:
        tiers = allowed_tiers(TIERS_VARIABLE)
        super().__init__(backend)
        self.look_for_kernels(device_index(backend), tiers, TIERS_VARIABLE)
        self.copies_allowed = "copies" in tiers
        self.notes = (*self._tier_notes(), *self.notes)

    def find_device_kernels(self, index: int) -> DeviceKernels:
        return AscendKernels(index)

    def _tier_notes(self) -> tuple[str, ...]:
        if not self.copies_allowed:
            copies = f"no ACL copies: switched off ({TIERS_VARIABLE})"
        elif "aclrtMemcpyBatchAsync" not in _native.describe_acl()["missing"]:
            copies = "ACL copies, all pages in one batched call or a page in one pitched call"
        else:
            copies = "ACL copies, a page in one pitched call (CANN 8.5 has batched ones)"
        return (
            *self.movement_notes(),
            f"with pinned host memory: {copies}; other layouts are packed by operators, and"
            " pageable memory too, with the host's part as a callback of the stream",
        )
