"""The pinned pool of a backend whose native module has one (``accel/pinned_module.hpp``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from .capabilities import Capability, Level
from .errors import DTypeError
from .providers import Operand, PinnedBuffer, PinnedMemory, PinnedStats
from .warn_once import warn_once

__all__ = ["NativePinnedMemory"]


class NativePinnedMemory(PinnedMemory):
    """The pool of the process: page locks are the process's, so all instances share it.

    A backend's class names its native module.
    """

    native: ClassVar[Any]

    #: What callers registered, by address: kept alive, since page locks go with the mapping. A
    #: backend's class has its own.
    registered: ClassVar[dict[int, Any]]

    def __init_subclass__(cls) -> None:
        cls.registered = {}

    def __init__(self) -> None:
        native = self.native
        levels = {
            Capability.PINNED: Level.NATIVE,
            Capability.PINNED_REGISTER: Level.NATIVE,
            Capability.PINNED_SHARED: Level.NATIVE,
        }
        numa, why = native.numa_binding_works()
        if numa:
            levels[Capability.PINNED_NUMA] = Level.NATIVE
        self._numa = f"NUMA nodes {native.numa_nodes()}" if numa else f"no NUMA binding: {why}"
        policy = native.huge_page_policy()
        if policy in ("always", "madvise"):
            levels[Capability.PINNED_HUGE_PAGES] = Level.NATIVE
        self.capabilities = levels
        self.notes = (
            self._numa,
            f"transparent huge pages: {policy or 'not built into the kernel'}",
        )
        # The native functions themselves: a call costs what they cost.
        self.is_pinned = native.is_pinned  # type: ignore[method-assign]
        self.record_stream = native.record_stream  # type: ignore[method-assign]
        self.set_limit = native.pinned_set_limit  # type: ignore[method-assign]
        self.trim = native.pinned_trim  # type: ignore[method-assign]

    def allocate(
        self, nbytes: int, *, numa_node: int | None = None, huge_pages: bool = False
    ) -> PinnedBuffer:
        if numa_node is not None:
            self._require_numa()
        return _checked(
            self.native.pinned_allocate(nbytes, numa_node=numa_node, huge_pages=huge_pages)
        )

    def empty(
        self,
        shape: int | Sequence[int],
        dtype: Any = None,
        *,
        numa_node: int | None = None,
        huge_pages: bool = False,
    ) -> Any:
        import torch

        dtype = torch.get_default_dtype() if dtype is None else dtype
        if not isinstance(dtype, torch.dtype):
            raise DTypeError("dtype", "a torch.dtype", repr(dtype))
        nbytes = self.native.nbytes_of(shape, dtype.itemsize)
        buffer = self.allocate(nbytes, numa_node=numa_node, huge_pages=huge_pages)
        return buffer.tensor(dtype, (shape,) if isinstance(shape, int) else tuple(shape))

    def register(self, memory: Operand) -> None:
        self.registered[self.native.register_memory(memory)] = memory

    def unregister(self, memory: Operand) -> None:
        self.registered.pop(self.native.unregister_memory(memory), None)

    def create_shared(
        self, nbytes: int, *, numa_node: int | None = None, huge_pages: bool = False
    ) -> PinnedBuffer:
        if numa_node is not None:
            self._require_numa()
        return _checked(
            self.native.pinned_create_shared(nbytes, numa_node=numa_node, huge_pages=huge_pages)
        )

    def open_shared(self, handle: str) -> PinnedBuffer:
        if not isinstance(handle, str):
            raise DTypeError("handle", "the str that buffer.handle gives", repr(handle))
        return _checked(self.native.pinned_open_shared(handle))

    def stats(self) -> PinnedStats:
        return PinnedStats(**self.native.pinned_stats())

    def close(self) -> None:
        self.native.pinned_trim()

    def _require_numa(self) -> None:
        if Capability.PINNED_NUMA not in self.capabilities:
            raise self.unsupported(Capability.PINNED_NUMA, f"{self._numa}; leave numa_node out")


def _checked(buffer: Any) -> PinnedBuffer:
    """``buffer``, with a warning where the operating system refused to lock it."""
    if not buffer.pinned:
        warn_once(
            "pinned memory is not page-locked here and may be swapped out: "
            f"{buffer.notes}. Cure: raise the limit on locked memory (`ulimit -l unlimited`, "
            "LimitMEMLOCK in systemd, --ulimit memlock=-1 for a container)"
        )
    made: PinnedBuffer = buffer
    return made
