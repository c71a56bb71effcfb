"""A pool of page-locked host memory, by torch's ``pin_memory`` for the device."""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch

from accel import ArgumentError, Capability, DTypeError, FreedError, Level, SizeError, StateError
from accel.errors import OutOfMemoryError
from accel.providers import MemRef, Operand, PinnedBuffer, PinnedMemory, PinnedStats, Stream

from .streams import GenericStreams

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["GenericPinnedMemory"]

_PAGE = 4096


class _Block:
    """Locked memory of a size class, and the events of streams that still use it."""

    def __init__(self, size: int) -> None:
        self.memory = torch.empty(size + _PAGE, dtype=torch.uint8).pin_memory()
        self.size = size
        self.base = -(-self.memory.data_ptr() // _PAGE) * _PAGE
        self.users: list[Any] = []  # torch's events

    def idle(self) -> bool:
        self.users = [event for event in self.users if not event.query()]
        return not self.users


class _Buffer:
    """See :class:`accel.providers.PinnedBuffer`."""

    numa_node: int | None = None
    huge_pages = False
    handle = ""
    pinned = True
    notes = ""

    def __init__(self, pool: GenericPinnedMemory, block: _Block, nbytes: int) -> None:
        self._block = block
        self._leases: list[weakref.ref[Any]] = []  # of memory that tensors have
        self.nbytes = nbytes
        # Where nobody freed it by name.
        self._release = weakref.finalize(self, pool.take_back, block)
        self._release.atexit = False

    @property
    def freed(self) -> bool:
        return not self._release.alive

    @property
    def pointer(self) -> int:
        self._require()
        return self._block.base

    def tensor(
        self, dtype: torch.dtype | None = None, shape: Sequence[int] | None = None
    ) -> torch.Tensor:
        self._require()
        dtype = torch.uint8 if dtype is None else dtype
        count = self.nbytes // dtype.itemsize if shape is None else torch.Size(shape).numel()
        if count * dtype.itemsize > self.nbytes:
            raise SizeError("shape", f"at most {self.nbytes} bytes", count * dtype.itemsize)
        shape = (count,) if shape is None else tuple(shape)
        if not count:
            return torch.empty(shape, dtype=dtype)
        lease: Any = (ctypes.c_char * self.nbytes).from_address(self._block.base)
        lease.buffer = self  # what has the tensor has the buffer
        self._leases = [known for known in self._leases if known() is not None]
        self._leases.append(weakref.ref(lease))
        return torch.frombuffer(lease, dtype=dtype, count=count).view(shape)

    def free(self) -> None:
        self._require()
        held = sum(lease() is not None for lease in self._leases)
        if held:
            raise StateError(f"{held} tensors over the buffer still exist. Cure: delete them first")
        self._release()

    def _require(self) -> None:
        if self.freed:
            raise FreedError("buffer", "a buffer that was not freed", "one that was")

    def __repr__(self) -> str:
        state = "freed" if self.freed else f"at {self._block.base:#x}"
        return f"<pinned buffer of {self.nbytes} bytes, {state}>"


class GenericPinnedMemory(PinnedMemory):
    """Blocks that torch pins, in size classes of powers of two, reused once streams are past them.

    torch pins what it allocates itself, so there is no registering, sharing, NUMA node nor choice
    of pages.
    """

    def __init__(self, backend: Backend) -> None:
        self._streams = cast(GenericStreams, backend.streams)
        self._lock = threading.RLock()
        self._cached: dict[int, list[_Block]] = {}
        self._used: dict[int, _Block] = {}
        self._limit = self._peak = self._allocations = self._hits = self._waits = 0
        if _Block(1).memory.is_pinned():
            self.capabilities = {Capability.PINNED: Level.NATIVE}
        else:
            self.notes = ("torch does not pin host memory for this device",)

    def allocate(
        self, nbytes: int, *, numa_node: int | None = None, huge_pages: bool = False
    ) -> PinnedBuffer:
        if Capability.PINNED not in self.capabilities:
            raise self.unsupported(Capability.PINNED, "torch does not pin memory here")
        if numa_node is not None:
            raise self.unsupported(Capability.PINNED_NUMA, "leave numa_node out")
        if isinstance(nbytes, bool) or not isinstance(nbytes, int):
            raise DTypeError("nbytes", "an integer", repr(nbytes))
        if nbytes < 0:
            raise SizeError("nbytes", "0 bytes or more", nbytes)
        size = max(_PAGE, 1 << (nbytes - 1).bit_length()) if nbytes else _PAGE
        with self._lock:
            block = self._reused(size) or self._fresh(size)
            self._used[block.base] = block
            self._allocations += 1
            self._peak = max(self._peak, self._in_use())
            return _Buffer(self, block, nbytes)

    def empty(
        self,
        shape: int | Sequence[int],
        dtype: torch.dtype | None = None,
        *,
        numa_node: int | None = None,
        huge_pages: bool = False,
    ) -> torch.Tensor:
        dtype = torch.get_default_dtype() if dtype is None else dtype
        if not isinstance(dtype, torch.dtype):
            raise DTypeError("dtype", "a torch.dtype", repr(dtype))
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        if any(n < 0 for n in shape):
            raise SizeError("shape", "extents of 0 or more", shape)
        nbytes = torch.Size(shape).numel() * dtype.itemsize
        buffer = self.allocate(nbytes, numa_node=numa_node, huge_pages=huge_pages)
        made: torch.Tensor = buffer.tensor(dtype, shape)
        return made

    def record_stream(self, memory: Operand | PinnedBuffer, stream: Stream) -> None:
        target = self._streams.resolve(stream)
        first, nbytes = _range_of(memory)
        with self._lock:
            block = self._holding(first, nbytes)
            if block is None:
                raise ArgumentError(
                    "memory", "memory of this pool", f"{nbytes} bytes at {first:#x}"
                )
            block.users.append(target.as_torch().record_event())

    def is_pinned(self, memory: Operand | PinnedBuffer) -> bool:
        first, nbytes = _range_of(memory)
        with self._lock:
            if self._holding(first, nbytes) is not None:
                return True
        return isinstance(memory, torch.Tensor) and memory.is_cpu and memory.is_pinned()

    def stats(self) -> PinnedStats:
        with self._lock:
            in_use, cached = self._in_use(), self._in_cache()
            return PinnedStats(
                in_use=in_use, cached=cached, peak_in_use=self._peak, limit=self._limit,
                locked=in_use + cached, huge=0, registered=0, shared=0,
                allocations=self._allocations, cache_hits=self._hits, waits=self._waits,
            )  # fmt: skip

    def set_limit(self, nbytes: int) -> None:
        if isinstance(nbytes, bool) or not isinstance(nbytes, int):
            raise DTypeError("nbytes", "an integer", repr(nbytes))
        if nbytes < 0:
            raise SizeError("nbytes", "0 bytes or more", nbytes)
        with self._lock:
            self._limit = nbytes
            self._shrink(0)

    def trim(self) -> int:
        with self._lock:
            return self._drop_cached()

    def take_back(self, block: _Block) -> None:
        """A buffer was freed, or nothing refers to it any more."""
        with self._lock:
            self._used.pop(block.base, None)
            if not block.idle():
                self._waits += 1
            self._cached.setdefault(block.size, []).append(block)

    # --- blocks

    def _reused(self, size: int) -> _Block | None:
        blocks = self._cached.get(size, [])
        for i, block in enumerate(blocks):
            if block.idle():
                self._hits += 1
                return blocks.pop(i)
        return None

    def _fresh(self, size: int) -> _Block:
        self._shrink(size)
        total = self._in_use() + self._in_cache() + size
        if self._limit and total > self._limit:
            raise OutOfMemoryError(
                f"pinned memory: {size} bytes are wanted, {self._in_use()} are in use and"
                f" {self._in_cache()} wait for streams, and the limit is {self._limit}."
                " Cure: free buffers, or set_limit() higher"
            )
        try:
            return _Block(size)
        except RuntimeError as error:
            self._drop_cached()
            raise OutOfMemoryError(
                f"pinned memory: torch cannot pin {size} bytes: {error}. Cure: free buffers"
            ) from error

    def _shrink(self, wanted: int) -> None:
        """Cached blocks go first when the limit is reached."""
        if self._limit and self._in_use() + self._in_cache() + wanted > self._limit:
            self._drop_cached()

    def _drop_cached(self) -> int:
        gone = 0
        for size, blocks in self._cached.items():
            kept = [block for block in blocks if not block.idle()]
            gone += size * (len(blocks) - len(kept))
            blocks[:] = kept
        return gone

    def _in_use(self) -> int:
        return sum(block.size for block in self._used.values())

    def _in_cache(self) -> int:
        return sum(size * len(blocks) for size, blocks in self._cached.items())

    def _holding(self, first: int, nbytes: int) -> _Block | None:
        for block in self._used.values():
            if block.base <= first and first + nbytes <= block.base + block.size:
                return block
        return None


def _range_of(memory: Any) -> tuple[int, int]:
    """``(first byte, bytes)`` from the first to the last."""
    if isinstance(memory, torch.Tensor):
        if not memory.numel():
            return memory.data_ptr(), 0
        last = sum((n - 1) * s for n, s in zip(memory.shape, memory.stride(), strict=True))
        return memory.data_ptr(), (last + 1) * memory.element_size()
    if isinstance(memory, MemRef) or hasattr(memory, "pointer"):
        return memory.pointer, memory.nbytes
    raise DTypeError("memory", "a tensor, a MemRef or a buffer of this pool", repr(memory))
