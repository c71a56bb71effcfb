"""KV data movement by the native engine: plans are made here once, calls go straight to C++."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel.capabilities import Capabilities, Capability, Level
from accel.kv.checks import check_cache, check_transfer
from accel.kv.overlap import check_destination
from accel.kv.write import plan_write
from accel.providers import KVKernels

from ._native import kv as _native
from ._native import upload_small
from .coding import CpuKVCoding
from .kv_conversions import CONVERSIONS, CpuConversions
from .kv_prepared import HOST
from .quantize import CpuKVQuantize
from .rope import CpuKVRope

if TYPE_CHECKING:
    import torch

    from accel.backend import Backend
    from accel.kv import KVCache
    from accel.kv.plan import Grain
    from accel.providers import Stream

__all__ = ["CpuKVKernels"]

_transfer = _native.transfer
_map_blocks = _native.map_blocks
_gather = _native.gather
_write = _native.write


class CpuKVKernels(CpuConversions, CpuKVCoding, CpuKVQuantize, CpuKVRope, KVKernels):
    """Strided copies on all threads, past the caches when they are large.

    A call looks up what was prepared for its caches, under their uids, and enters C++ once: index
    lists, freed tensors and overlaps are checked there, then the work goes to the stream. Nothing
    that is kept keeps a cache alive.
    """

    capabilities = Capabilities(
        {
            Capability.KV_TRANSFER: Level.NATIVE,
            Capability.KV_TRANSFER_BLOCKS: Level.NATIVE,
            Capability.KV_WRITE: Level.NATIVE,
            Capability.KV_COPY_BLOCKS: Level.NATIVE,
            Capability.KV_SWAP_BLOCKS: Level.NATIVE,
            Capability.KV_GATHER: Level.NATIVE,
            Capability.KV_QUANTIZE: Level.NATIVE,
            Capability.KV_UPLOAD: Level.NATIVE,
            Capability.KV_ENTROPY: Level.NATIVE,
            Capability.KV_ROPE: Level.NATIVE,
            **CONVERSIONS,
        }
    )
    notes = ("index tensors are always checked",)

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self._device = backend.device
        self._pairs: dict[tuple[int, int, str], Any] = {}
        self.upload_small = upload_small  # type: ignore[method-assign]

    def transfer(
        self,
        src: KVCache,
        dst: KVCache,
        src_slots: torch.Tensor,
        dst_slots: torch.Tensor,
        *,
        grain: Grain = "token",
        stream: Stream | None = None,
    ) -> None:
        try:
            pair = self._pairs[src.uid, dst.uid, grain]
        except (KeyError, AttributeError, TypeError):
            pair = self._prepare(src, dst, grain)
        _transfer(pair, src, dst, src_slots, dst_slots, stream)

    def copy_blocks(
        self, cache: KVCache, block_mapping: torch.Tensor, *, stream: Stream | None = None
    ) -> None:
        try:
            pair = self._pairs[cache.uid, cache.uid, "block"]
        except (KeyError, AttributeError, TypeError):
            check_destination(check_cache("cache", cache, HOST), "cache")
            pair = self._prepare(cache, cache, "block")
        _map_blocks(pair, cache, cache, block_mapping, stream)

    def swap_blocks(
        self,
        src: KVCache,
        dst: KVCache,
        block_mapping: torch.Tensor,
        *,
        stream: Stream | None = None,
    ) -> None:
        try:
            pair = self._pairs[src.uid, dst.uid, "block"]
        except (KeyError, AttributeError, TypeError):
            pair = self._prepare(src, dst, "block")
        _map_blocks(pair, src, dst, block_mapping, stream)

    def gather(
        self,
        src: KVCache,
        dst: KVCache,
        block_table: torch.Tensor,
        seq_lens: torch.Tensor,
        *,
        seq_starts: torch.Tensor | None = None,
        stream: Stream | None = None,
    ) -> None:
        try:
            pair = self._pairs[src.uid, dst.uid, "token"]
        except (KeyError, AttributeError, TypeError):
            pair = self._prepare(src, dst, "token")
        _gather(
            pair, src, dst, block_table, seq_lens, seq_starts, src.block_size, src.blocks, stream
        )

    def write(
        self,
        cache: KVCache,
        layer: int,
        key: torch.Tensor,
        value: torch.Tensor | None,
        slot_mapping: torch.Tensor,
        *,
        key_scale: float | torch.Tensor | None = None,
        value_scale: float | torch.Tensor | None = None,
        stream: Stream | None = None,
    ) -> None:
        if key_scale is not None or value_scale is not None:
            self._write_quantized(
                cache, layer, key, value, slot_mapping, key_scale, value_scale, stream
            )
            return
        try:
            writer = self._writers[cache.uid]
            if _write(writer, cache, layer, key, value, slot_mapping, stream):
                return
        except (KeyError, AttributeError):
            writer = self._prepare_writer(cache)
        except TypeError:
            if isinstance(layer, int):
                raise
        # Tensors of a new shape, or wrong ones: plan_write knows.
        made = plan_write(cache, layer, key, value)
        writer.add(key, value, made.plan.pack(), list(made.target))
        if not _write(writer, cache, layer, key, value, slot_mapping, stream):
            raise AssertionError("the plan just made does not fit its own tensors")

    def close(self) -> None:
        self._pairs.clear()
        super().close()

    def _prepare(self, src: KVCache, dst: KVCache, grain: Grain) -> Any:
        source, target, plan, shared = check_transfer(src, dst, grain, HOST)
        pair = _native.Pair(
            plan.layers,
            plan.pack(),
            list(source.pointers),
            list(target.pointers),
            list(source.tensor_pointers),
            list(target.tensor_pointers),
            plan.src_units,
            plan.dst_units,
            shared,
        )
        self._keep(self._pairs, (source.uid, target.uid, grain), pair)
        return pair
