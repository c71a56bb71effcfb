"""Copies and fills of a device that torch reaches through a vendor's package.

The vendor's runtime copies (``accel/torch_device/bind_memcpy.hpp``), and operators where memory of
devices is strided in a way that it cannot copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch

from ..capabilities import Capabilities, Capability, Level
from ..providers import Memcpy, MemoryInfo, Operand, Stream
from .streams import TorchStreams
from .strided import StridedCopies

if TYPE_CHECKING:
    from ..backend import Backend

__all__ = ["TorchDeviceMemcpy"]


class TorchDeviceMemcpy(Memcpy):
    """Copies by the vendor's runtime: asynchronous, and pitched where rows allow.

    Pageable host memory works with every method: it passes through the pinned pool. A call that
    reads it returns once it was read; while host callbacks are pending, which may write to it, it
    is read in the stream's order instead. A call that writes it returns once it was written.
    """

    #: The plugin's native module.
    native: ClassVar[Any]

    def __init__(self, backend: Backend) -> None:
        self._streams = cast(TorchStreams, backend.streams)
        index = self._streams.index
        self._native = self.native.Memcpy(index)
        self._strided = StridedCopies(self._streams, backend.pinned, self._native)
        levels = {
            Capability.COPY: Level.NATIVE,
            Capability.COPY_RAW: Level.NATIVE,
            Capability.COPY_BATCH: Level.NATIVE,
            Capability.COPY_2D: Level.NATIVE,
            Capability.FILL: Level.NATIVE,
            Capability.MEMORY_INFO: Level.NATIVE,
        }
        peers = [i for i in range(self.native.device_count()) if i != index]
        if any(self.native.can_access_peer(index, peer) for peer in peers):
            levels[Capability.COPY_PEER] = Level.NATIVE
        self.capabilities = Capabilities(levels)
        self.notes = ("pageable host memory blocks the caller; memory of backend.pinned does not",)

    def copy(self, dst: Operand, src: Operand, stream: Stream | None = None) -> None:
        target = self._streams.resolve(stream)
        self.copy_async(dst, src, target)
        target.synchronize()

    def copy_async(self, dst: Operand, src: Operand, stream: Stream | None = None) -> None:
        target = self._streams.resolve(stream)
        if not self._native.copy(dst, src, target.submit_handle(), target.as_torch()):
            self._strided.copy(cast(torch.Tensor, dst), cast(torch.Tensor, src), target)

    def copy_batch(
        self, dsts: Sequence[Operand], srcs: Sequence[Operand], stream: Stream | None = None
    ) -> None:
        target = self._streams.resolve(stream)
        left = self._native.copy_batch(dsts, srcs, target.submit_handle(), target.as_torch())
        for i in left:
            self._strided.copy(cast(torch.Tensor, dsts[i]), cast(torch.Tensor, srcs[i]), target)

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
        target = self._streams.resolve(stream)
        where = target.submit_handle(), target.as_torch()
        self._native.copy_2d(dst, src, width, height, dst_pitch, src_pitch, *where)

    def fill(self, dst: Operand, value: int, stream: Stream | None = None) -> None:
        target = self._streams.resolve(stream)
        if not self._native.fill(dst, value, target.submit_handle(), target.as_torch()):
            self._strided.fill(cast(torch.Tensor, dst), value, target)

    def memory_info(self) -> MemoryInfo:
        free, total = self._streams.torch.mem_get_info(self._streams.index)
        return MemoryInfo(free=int(free), total=int(total))
