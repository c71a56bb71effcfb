"""The second tier of KV kernels: transfers with pinned host memory as copies of the runtime.

A page goes in one pitched call where one step leads through its layers and planes, or all pages in
one batched call where the runtime has those; where a layout would take more calls than it has
pages, the operators' tier packs tokens on the device instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

from ..torch_kernels import TorchKVKernels
from ..torch_kernels.movement import Pair

if TYPE_CHECKING:
    import torch

    from ..backend import Backend
    from ..kv import KVCache
    from ..providers import Stream

__all__ = ["CopiedTransfers"]


class CopiedTransfers(TorchKVKernels):
    """The runtime's copies in front of the operators' way with the host."""

    #: The plugin's native module (``accel/torch_device/bind_kv.hpp``).
    native: ClassVar[Any]
    #: Whether this tier is used at all.
    copies_allowed = True

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._pinned = backend.pinned
        self._index = backend.device.index or 0
        self._copies: WeakKeyDictionary[Pair, Any] = WeakKeyDictionary()
        #: Transfers with the host so far by way, and calls that they took; for tests.
        self.host_ways = {"2d": 0, "batch": 0, "operators": 0, "calls": 0}

    def _move_listed(
        self,
        pair: Pair,
        src: KVCache,
        dst: KVCache,
        read: torch.Tensor,
        write: torch.Tensor,
        stream: Stream | None,
    ) -> None:
        if any(pair.on_device) and not all(pair.on_device):
            if self.copies_allowed and self._copied(pair, src, dst, read, write, stream):
                return
            self.host_ways["operators"] += 1
        super()._move_listed(pair, src, dst, read, write, stream)

    def _copied(
        self,
        pair: Pair,
        src: KVCache,
        dst: KVCache,
        read: torch.Tensor,
        write: torch.Tensor,
        stream: Stream | None,
    ) -> bool:
        """Queue the transfer as copies; False where they would be too many, or not pinned."""
        to_host = pair.on_device[0]
        device, host = (src, dst) if to_host else (dst, src)
        if not all(self._pinned.is_pinned(t) for t in host.tensors if t.numel()):
            return False  # the runtime would block, or copy before the stream gets there
        copies = self._copies.get(pair)
        if copies is None:
            plan = pair.plan
            copies = self._copies[pair] = self.native.kv.Copies(
                self._index,
                to_host,
                plan.layers,
                plan.pack(),
                list(src.pointers),
                list(dst.pointers),
            )
        units = len(read)
        tokens = device.slots // (pair.plan.src_units if to_host else pair.plan.dst_units)
        pages = units if tokens > 1 else -(-units // max(src.block_size, dst.block_size))
        where = self._backend.streams.current() if stream is None else stream
        read, write = read.contiguous(), write.contiguous()
        way, calls = copies.run(
            read.data_ptr(), write.data_ptr(), units, pages, units * pair.unit_bytes,
            where.submit_handle(),  # type: ignore[attr-defined]
        )  # fmt: skip
        if not calls:
            return False
        self.host_ways[way] += 1
        self.host_ways["calls"] += calls
        self._keep(pair, src, dst, stream)
        self.native.keep(self._index, where.handle, *host.tensors)
        for tensor in host.tensors:
            self._pinned.record_stream(tensor, where)
        return True

    def close(self) -> None:
        self._copies.clear()
        super().close()
