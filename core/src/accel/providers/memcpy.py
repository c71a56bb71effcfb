"""Copies and fills, between any memories that the backend can reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Union

from ..capabilities import Capability
from .base import Provider

if TYPE_CHECKING:
    import torch

    from .streams import Stream

__all__ = ["MemRef", "Memcpy", "MemoryInfo", "Operand"]


@dataclass(frozen=True)
class MemRef:
    """Raw memory: ``nbytes`` bytes at address ``pointer`` of ``device``.

    For memory that is no tensor. The caller vouches for the range; ``owner`` is kept alive until
    work that uses the reference has run.
    """

    pointer: int
    nbytes: int
    device: torch.device
    owner: Any = None


@dataclass(frozen=True)
class MemoryInfo:
    """What a device has of memory, in bytes, at one moment."""

    free: int  #: can be allocated now, by this process or another
    total: int  #: all there is for this process


#: What a copy takes: a tensor, or raw memory.
Operand = Union["torch.Tensor", MemRef]


class Memcpy(Provider):
    """Copies. Capabilities: ``COPY*``, ``FILL``, ``MEMORY_INFO``.

    Common to all methods:

    * Tensors of any strides are accepted; source and destination then have the same shape and
      dtype. A :class:`MemRef` is a flat byte range; the other operand may be a MemRef or a
      contiguous tensor of the same number of bytes.
    * ``stream=None`` is the current stream. Methods but :meth:`copy` return when the work is
      queued, not when it is done, except that a copy to or from pageable host memory may block.
    * Operands are kept alive until the work has run.
    * Zero bytes is a no-op.

    Raises, before anything is written: ShapeError, SizeError, DTypeError, DeviceError (memory that
    this backend cannot reach), OverlapError (source and destination share a byte, or the
    destination's own strides do), FreedError. Each names ``dst`` or ``src`` (``dsts[3]`` in a
    batch).
    """

    area: ClassVar[str] = "memcpy"

    def copy(self, dst: Operand, src: Operand, stream: Stream | None = None) -> None:
        """Copy in ``stream``'s order and return when the bytes are there."""
        raise self.unsupported(Capability.COPY)

    def copy_async(self, dst: Operand, src: Operand, stream: Stream | None = None) -> None:
        """Queue a copy on ``stream``."""
        raise self.unsupported(Capability.COPY)

    def copy_batch(
        self, dsts: Sequence[Operand], srcs: Sequence[Operand], stream: Stream | None = None
    ) -> None:
        """Queue ``len(dsts)`` copies as one piece of work; their order among themselves is free.

        All pairs are checked before the first byte is written. A destination that overlaps
        another pair's destination or source is an OverlapError.
        """
        raise self.unsupported(Capability.COPY_BATCH)

    def copy_2d(
        self,
        dst: Operand,
        src: Operand,
        *,
        width: int,
        height: int,
        dst_pitch: int,
        src_pitch: int,
        stream: Stream | None = None,
    ) -> None:
        """Queue a copy of ``height`` rows of ``width`` bytes; row i starts at ``i * pitch`` bytes.

        Operands are MemRefs or contiguous tensors of any dtype.

        Raises:
            SizeError: a negative extent, a pitch smaller than ``width``, or rows that end past
                an operand: ``(height - 1) * pitch + width > nbytes``.
        """
        raise self.unsupported(Capability.COPY_2D)

    def fill(self, dst: Operand, value: int, stream: Stream | None = None) -> None:
        """Queue setting every byte of ``dst`` to ``value`` (0 to 255)."""
        raise self.unsupported(Capability.FILL)

    def memory_info(self) -> MemoryInfo:
        """Free and total memory of the device, as its driver says; does not wait for its work.

        What a framework's allocator keeps for reuse is not free here. On the CPU the bounds of the
        process's cgroups count.
        """
        raise self.unsupported(Capability.MEMORY_INFO)
