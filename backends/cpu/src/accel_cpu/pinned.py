"""Page-locked host memory of the CPU backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accel import Capability, DTypeError, Level
from accel.providers import Operand, PinnedBuffer, PinnedMemory, PinnedStats
from accel.warn_once import warn_once

from . import _native

__all__ = ["CpuPinnedMemory"]

# What callers registered, by address: kept alive, since page locks go with the mapping.
_registered: dict[int, Any] = {}


class CpuPinnedMemory(PinnedMemory):
    """The pool of the process: page locks are the process's, so all instances share it."""

    def __init__(self) -> None:
        levels = {
            Capability.PINNED: Level.NATIVE,
            Capability.PINNED_REGISTER: Level.NATIVE,
            Capability.PINNED_SHARED: Level.NATIVE,
        }
        notes = []
        numa, why = _native.numa_binding_works()
        if numa:
            levels[Capability.PINNED_NUMA] = Level.NATIVE
        notes.append(f"NUMA nodes {_native.numa_nodes()}" if numa else f"no NUMA binding: {why}")
        policy = _native.huge_page_policy()
        if policy in ("always", "madvise"):
            levels[Capability.PINNED_HUGE_PAGES] = Level.NATIVE
        notes.append(f"transparent huge pages: {policy or 'not built into the kernel'}")
        self.capabilities = levels
        self.notes = tuple(notes)
        self.is_pinned = _native.is_pinned  # type: ignore[method-assign]
        self.record_stream = _native.record_stream  # type: ignore[method-assign]
        self.set_limit = _native.pinned_set_limit  # type: ignore[method-assign]
        self.trim = _native.pinned_trim  # type: ignore[method-assign]

    def allocate(
        self, nbytes: int, *, numa_node: int | None = None, huge_pages: bool = False
    ) -> PinnedBuffer:
        if numa_node is not None:
            self._require_numa()
        buffer = _native.pinned_allocate(nbytes, numa_node=numa_node, huge_pages=huge_pages)
        if not buffer.pinned:
            _warn_unlocked(buffer)
        return buffer

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
        nbytes = _native.nbytes_of(shape, dtype.itemsize)
        buffer = self.allocate(nbytes, numa_node=numa_node, huge_pages=huge_pages)
        return buffer.tensor(dtype, (shape,) if isinstance(shape, int) else tuple(shape))

    def register(self, memory: Operand) -> None:
        pointer, _ = _native.register_memory(memory)
        _registered[pointer] = memory

    def unregister(self, memory: Operand) -> None:
        pointer, _ = _native.unregister_memory(memory)
        _registered.pop(pointer, None)

    def create_shared(
        self, nbytes: int, *, numa_node: int | None = None, huge_pages: bool = False
    ) -> PinnedBuffer:
        if numa_node is not None:
            self._require_numa()
        buffer = _native.pinned_create_shared(nbytes, numa_node=numa_node, huge_pages=huge_pages)
        if not buffer.pinned:
            _warn_unlocked(buffer)
        return buffer

    def open_shared(self, handle: str) -> PinnedBuffer:
        if not isinstance(handle, str):
            raise DTypeError("handle", "the str that buffer.handle gives", repr(handle))
        buffer = _native.pinned_open_shared(handle)
        if not buffer.pinned:
            _warn_unlocked(buffer)
        return buffer

    def stats(self) -> PinnedStats:
        return PinnedStats(**_native.pinned_stats())

    def close(self) -> None:
        _native.pinned_trim()

    def _require_numa(self) -> None:
        if Capability.PINNED_NUMA not in self.capabilities:
            raise self.unsupported(Capability.PINNED_NUMA, f"{self.notes[0]}; leave numa_node out")


def _warn_unlocked(buffer: Any) -> None:
    warn_once(
        f"pinned memory is not page-locked here and may be swapped out: {buffer.notes}. "
        "Cure: raise the limit on locked memory (`ulimit -l unlimited`, LimitMEMLOCK in systemd, "
        "--ulimit memlock=-1 for a container)"
    )
