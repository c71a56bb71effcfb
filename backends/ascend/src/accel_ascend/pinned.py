"""Page-locked host memory of the NPU backend: aclrtMallocHost, and registered pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from accel import Capability, Level
from accel.native_pinned import NativePinnedMemory
from accel.providers import Operand, PinnedBuffer

from . import _native

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["AscendPinnedMemory"]

#: What takes pages that ACL did not allocate.
_REGISTERED = (
    Capability.PINNED_REGISTER,
    Capability.PINNED_SHARED,
    Capability.PINNED_NUMA,
    Capability.PINNED_HUGE_PAGES,
)


class AscendPinnedMemory(NativePinnedMemory):
    """Memory that ACL locks, so that copies run without the host.

    Plain blocks come from aclrtMallocHost. Shared segments, NUMA nodes, huge pages and callers'
    memory take aclrtHostRegister, which not every chip and CANN has; without it those four are
    not offered.
    """

    native: ClassVar[Any] = _native

    def __init__(self, backend: Backend) -> None:
        _native.use_pinned_device(backend.device.index)
        super().__init__()
        works, why = _native.registration_works()
        self._why = why
        if not works:
            levels: dict[Capability, Level] = dict(self.capabilities)
            for capability in _REGISTERED:
                levels.pop(capability, None)
            self.capabilities = levels
            self.notes = (*self.notes, f"host memory cannot be registered here: {why}")

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
            raise self.unsupported(capability, f"upgrade CANN and its driver ({self._why})")
