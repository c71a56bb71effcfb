"""The KV kernels of the MLU: which of the tiers serves a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from accel.torch_device.device_movement import DeviceMovement
from accel.torch_device.kv_copies import CopiedTransfers
from accel.torch_device.kv_tiers import allowed_tiers

from . import _native
from .device_kernels import MluKernels
from .runtime import device_index

if TYPE_CHECKING:
    from accel.backend import Backend
    from accel.torch_device.device_kernels import DeviceKernels

__all__ = ["TIERS_VARIABLE", "MluKVKernels"]

#: Which tiers may be used, as ``copies,operators``.
TIERS_VARIABLE = "ACCEL_MLU_KV_TIERS"


class MluKVKernels(DeviceMovement, CopiedTransfers):
    """BANG C kernels, then CNRT copies, then operators of torch_mlu.

    * Movement on the device and plain writes: BANG C kernels where they were built, else operators.
    * Between the device and pinned host memory: CNRT copies where a page takes no more than one
      call, else operators pack tokens on the device for one copy.
    * Everything else: operators; entropy coding on the host.
    """

    native: ClassVar[Any] = _native

    def __init__(self, backend: Backend) -> None:
        tiers = allowed_tiers(TIERS_VARIABLE)
        super().__init__(backend)
        self.look_for_kernels(device_index(backend), tiers, TIERS_VARIABLE)
        self.copies_allowed = "copies" in tiers
        self.notes = (*self.movement_notes(), self._copies_note(), *self.notes)

    def find_device_kernels(self, index: int) -> DeviceKernels:
        return MluKernels(index)

    def _copies_note(self) -> str:
        if not self.copies_allowed:
            copies = f"no CNRT copies: switched off ({TIERS_VARIABLE})"
        elif "cnrtMemcpy2DAsync" in _native.describe_cnrt()["missing"]:
            copies = "CNRT copies where a page is contiguous (CNRT 6.14 has pitched ones)"
        else:
            copies = "CNRT copies, a page in one pitched call"
        return f"with pinned host memory: {copies}; other layouts are packed by operators"
