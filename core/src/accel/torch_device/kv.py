"""The KV kernels of a torch device: the plugin's own, then the vendor's copies, then operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .device_movement import DeviceMovement
from .kv_copies import CopiedTransfers
from .kv_tiers import allowed_tiers

if TYPE_CHECKING:
    from ..backend import Backend

__all__ = ["TieredKVKernels"]


class TieredKVKernels(DeviceMovement, CopiedTransfers):
    """Which of three tiers serves a call.

    * Movement on the device and plain writes: kernels where they were built for the chip, else
      operators.
    * Between the device and pinned host memory: the vendor's copies where a page takes no more than
      one call, else operators pack tokens on the device for one copy.
    * Everything else: operators; entropy coding on the host.

    Attributes:
        tiers_variable: which tiers may be used, as ``copies,operators``.
    """

    tiers_variable: ClassVar[str]

    def __init__(self, backend: Backend, index: int) -> None:
        tiers = allowed_tiers(self.tiers_variable)
        super().__init__(backend)
        self.look_for_kernels(index, tiers, self.tiers_variable)
        self.copies_allowed = "copies" in tiers
        copies = self.copies_note()
        if not self.copies_allowed:
            copies = f"no copies of the vendor's: switched off ({self.tiers_variable})"
        packed = "other layouts are packed by operators, and pageable memory too"
        said = f"with pinned host memory: {copies}; {packed}"
        self.notes = (*self.movement_notes(), said, *self.notes)

    def copies_note(self) -> str:
        """What the vendor's copies can do here."""
        raise NotImplementedError
