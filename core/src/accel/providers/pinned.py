"""Page-locked host memory, from a pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ..capabilities import Capability
from .base import Provider

if TYPE_CHECKING:
    import torch

    from .memcpy import Operand
    from .streams import Stream

__all__ = ["PinnedBuffer", "PinnedMemory", "PinnedStats"]


@dataclass(frozen=True)
class PinnedStats:
    """A snapshot of the pool. Bytes unless it says otherwise."""

    in_use: int  #: handed out now, rounded to the pool's size classes
    cached: int  #: held for reuse
    peak_in_use: int  #: highest ``in_use`` since the start
    limit: int  #: bound on ``in_use + cached``; 0 is none
    locked: int  #: of ``in_use + cached``, what the operating system confirmed as page-locked
    huge: int  #: of ``in_use + cached``, what huge pages were asked for and granted
    registered: int  #: existing memory registered by callers
    shared: int  #: shared-memory segments created or opened here
    allocations: int  #: count of allocations served
    cache_hits: int  #: count of those served without the operating system
    waits: int  #: count of blocks that became free but were still in use by a stream


class PinnedBuffer(Protocol):
    """A block of pinned memory. Freed by ``free()`` or when nothing refers to it any more."""

    @property
    def pointer(self) -> int:
        """Address of the first byte, 4096-aligned."""

    @property
    def nbytes(self) -> int:
        """The size asked for."""

    @property
    def pinned(self) -> bool:
        """False where the operating system refused to lock it (then ``notes`` says why)."""

    @property
    def numa_node(self) -> int | None:
        """The node it was bound to, or None."""

    @property
    def huge_pages(self) -> bool:
        """True when backed by huge pages, or advised to be."""

    @property
    def handle(self) -> str:
        """Name by which another process opens a shared segment; empty when not shared."""

    def tensor(self, dtype: torch.dtype | None = None, shape: Sequence[int] | None = None) -> Any:
        """A CPU tensor over the block (uint8 and flat by default) that keeps it alive.

        Raises:
            SizeError: the shape needs more bytes than the block has.
            FreedError: already freed.
        """

    def free(self) -> None:
        """Give the block back to the pool; it is reused once recorded streams are done with it.

        Freeing twice is a FreedError, and so is any later use.

        Raises:
            StateError: tensors over the block still exist.
        """


class PinnedMemory(Provider):
    """The pool of one backend. Capabilities: ``PINNED*``."""

    area: ClassVar[str] = "pinned"

    def allocate(
        self, nbytes: int, *, numa_node: int | None = None, huge_pages: bool = False
    ) -> PinnedBuffer:
        """A block of at least ``nbytes`` bytes, contents undefined.

        Args:
            numa_node: bind the pages to this node.
            huge_pages: back with huge pages where the system grants them (``buffer.huge_pages``
                tells); without a grant, normal pages.

        Raises:
            SizeError: negative size.
            ArgumentError: no such NUMA node.
            OutOfMemoryError: the bound, or the system's; names both figures.
        """
        raise self.unsupported(Capability.PINNED)

    def empty(
        self,
        shape: int | Sequence[int],
        dtype: torch.dtype | None = None,
        *,
        numa_node: int | None = None,
        huge_pages: bool = False,
    ) -> torch.Tensor:
        """An uninitialised pinned CPU tensor (default dtype if None) from the pool."""
        raise self.unsupported(Capability.PINNED)

    def record_stream(self, memory: Operand | PinnedBuffer, stream: Stream) -> None:
        """The block holding ``memory`` is in use by ``stream``'s work so far.

        Its bytes are not handed out again before that work is done. Copies made through accel do
        this by themselves.

        Raises:
            ArgumentError: not memory of this pool.
        """
        raise self.unsupported(Capability.PINNED)

    def is_pinned(self, memory: Operand | PinnedBuffer) -> bool:
        """True when the whole range is page-locked by this pool or registered with it."""
        raise self.unsupported(Capability.PINNED)

    def register(self, memory: Operand) -> None:
        """Page-lock existing host memory until :meth:`unregister`.

        Raises:
            DeviceError: not host memory.
            OverlapError: overlaps a registered range.
            OutOfMemoryError: the system's limit on locked memory.
        """
        raise self.unsupported(Capability.PINNED_REGISTER)

    def unregister(self, memory: Operand) -> None:
        """Undo :meth:`register` of the same range; ArgumentError when it was not registered."""
        raise self.unsupported(Capability.PINNED_REGISTER)

    def create_shared(
        self, nbytes: int, *, numa_node: int | None = None, huge_pages: bool = False
    ) -> PinnedBuffer:
        """A pinned segment that other processes open by ``buffer.handle``; zeroed.

        The name goes when the creator frees it or ends; mappings that others hold stay valid.
        """
        raise self.unsupported(Capability.PINNED_SHARED)

    def open_shared(self, handle: str) -> PinnedBuffer:
        """The segment created in another process under ``handle``; ArgumentError if it is gone."""
        raise self.unsupported(Capability.PINNED_SHARED)

    def stats(self) -> PinnedStats:
        """Statistics now."""
        raise self.unsupported(Capability.PINNED)

    def set_limit(self, nbytes: int) -> None:
        """Bound ``in_use + cached`` (0: no bound). Cached blocks go first when it is reached."""
        raise self.unsupported(Capability.PINNED)

    def trim(self) -> int:
        """Give cached blocks back to the operating system; returns the bytes given back."""
        raise self.unsupported(Capability.PINNED)
