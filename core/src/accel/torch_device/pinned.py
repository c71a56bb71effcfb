"""Page-locked host memory of a vendor's allocator, and of registered pages where it has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..capabilities import Capability, Level
from ..native_pinned import NativePinnedMemory
from ..providers import Operand, PinnedBuffer

if TYPE_CHECKING:
    from ..backend import Backend

__all__ = ["TorchDevicePinnedMemory"]

#: What takes pages that the vendor's library did not allocate.
_REGISTERED = (
    Capability.PINNED_REGISTER,
    Capability.PINNED_SHARED,
    Capability.PINNED_NUMA,
    Capability.PINNED_HUGE_PAGES,
)


class TorchDevicePinnedMemory(NativePinnedMemory):
    """Memory that the vendor's library locks, so that copies run without the host.

    Plain blocks come from its allocator. Shared segments, NUMA nodes, huge pages and callers'
    memory take pages that are registered; where that cannot be, those four are not offered.
    """

    def __init__(self, backend: Backend, unregistered: str = "", cure: str = "") -> None:
        """``unregistered``: why host memory cannot be registered here; empty where it can."""
        self.native.use_pinned_device(backend.device.index)
        super().__init__()
        self._why = unregistered
        self._cure = cure
        if unregistered:
            levels: dict[Capability, Level] = dict(self.capabilities)
            for capability in _REGISTERED:
                levels.pop(capability, None)
            self.capabilities = levels
            self.notes = (*self.notes, f"host memory cannot be registered here: {unregistered}")

    def allocate(
        self, nbytes: int, *, numa_node: int | None = None, huge_pages: bool = False
    ) -> PinnedBuffer:
        if numa_node is not None:
            self._require(Capability.PINNED_NUMA)
        if huge_pages and Capability.PINNED_REGISTER not in self.capabilities:
            huge_pages = False  # as where the system grants none
        return super().allocate(nbytes, numa_node=numa_node, huge_pages=huge_pages)

    def register(self, memory: Operand) -> None:
        self._require(Capability.PINNED_REGISTER)
        super().register(memory)

    def create_shared(
        self, nbytes: int, *, numa_node: int | None = None, huge_pages: bool = False
    ) -> PinnedBuffer:
        self._require(Capability.PINNED_SHARED)
        return super().create_shared(nbytes, numa_node=numa_node, huge_pages=huge_pages)

    def open_shared(self, handle: str) -> PinnedBuffer:
        self._require(Capability.PINNED_SHARED)
        return super().open_shared(handle)

    def _require(self, capability: Capability) -> None:
        if self._why and capability not in self.capabilities:
            raise self.unsupported(capability, f"{self._cure} ({self._why})")
