"""KV data movement by indexing ``[blocks, block_size, heads, D1, D0]`` views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel.capabilities import Capabilities, Capability, Level
from accel.errors import SlotError
from accel.kv.checks import check_cache, check_mapping, check_transfer
from accel.kv.overlap import Sharing, check_bytes, check_destination
from accel.kv.plan import TransferPlan
from accel.kv.slots import block_slots, check_slots, gather_slots
from accel.kv.write import plan_write
from accel.providers import KVKernels, Stream

from .bytes import elements
from .coding import ReferenceKVCoding
from .conversions import CONVERSIONS, ReferenceConversions
from .quantize import ReferenceKVQuantize
from .rope import ReferenceKVRope
from .slots import load, on_host, store, written_tokens
from .streams import check_stream
from .upload import ReferenceKVUpload

if TYPE_CHECKING:
    import torch

    from accel.backend import Backend
    from accel.kv import KVCache
    from accel.kv.plan import Grain

__all__ = ["ReferenceKVKernels"]

_HOST = ("cpu",)


class ReferenceKVKernels(
    ReferenceConversions,
    ReferenceKVCoding,
    ReferenceKVQuantize,
    ReferenceKVRope,
    ReferenceKVUpload,
    KVKernels,
):
    """The oracle: every method reads all sources with an index, then writes with an index."""

    capabilities = Capabilities(
        {
            Capability.KV_TRANSFER: Level.COMPOSED,
            Capability.KV_TRANSFER_BLOCKS: Level.COMPOSED,
            Capability.KV_WRITE: Level.COMPOSED,
            Capability.KV_COPY_BLOCKS: Level.COMPOSED,
            Capability.KV_SWAP_BLOCKS: Level.COMPOSED,
            Capability.KV_GATHER: Level.COMPOSED,
            Capability.KV_QUANTIZE: Level.COMPOSED,
            Capability.KV_UPLOAD: Level.COMPOSED,
            Capability.KV_ENTROPY: Level.COMPOSED,
            Capability.KV_ROPE: Level.COMPOSED,
            **CONVERSIONS,
        }
    )

    def __init__(self, backend: Backend) -> None:
        self._device = backend.device

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
        check_stream(stream)
        self._move(src, dst, src_slots, dst_slots, grain, ("src_slots", "dst_slots"))

    def copy_blocks(
        self, cache: KVCache, block_mapping: torch.Tensor, *, stream: Stream | None = None
    ) -> None:
        check_stream(stream)
        cache = check_cache("cache", cache, _HOST)
        check_destination(cache, "cache")
        self._move_blocks(cache, cache, block_mapping)

    def swap_blocks(
        self,
        src: KVCache,
        dst: KVCache,
        block_mapping: torch.Tensor,
        *,
        stream: Stream | None = None,
    ) -> None:
        check_stream(stream)
        self._move_blocks(src, dst, block_mapping)

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
        import torch

        check_stream(stream)
        if key_scale is not None or value_scale is not None:
            self._write_quantized(cache, layer, key, value, slot_mapping, key_scale, value_scale)
            return
        cache = check_cache("cache", cache, _HOST)
        plan = plan_write(cache, layer, key, value)
        check_destination(cache, "cache")
        given = [key] if value is None else [key, value]
        tokens, slots = written_tokens(cache, given, slot_mapping)
        pointers = [
            cache.pointers[layer * cache.planes + plane] + offset for plane, offset in plan.target
        ]
        sources = [t.data_ptr() for t in given]
        check_bytes(plan.plan, sources, pointers, tokens, slots, "slot_mapping")
        parts = [elements(t)[tokens] for t in given]
        if cache.planes < len(parts):  # the two parts of one plane's head dim
            parts = [torch.cat([p.reshape(len(p), -1, p.shape[-1]) for p in parts], dim=-1)]
        for view, part in zip(cache.views[layer], parts, strict=True):
            store(view, slots, part)

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
        import torch

        check_stream(stream)
        source, target, plan, shared = check_transfer(src, dst, "token", _HOST)
        for name, tensor in (
            ("block_table", block_table), ("seq_lens", seq_lens), ("seq_starts", seq_starts)
        ):  # fmt: skip
            on_host(name, tensor)
        slots = gather_slots(block_table, seq_lens, seq_starts, source.block_size, source.blocks)
        if len(slots) > target.slots:
            raise SlotError("seq_lens", f"at most {target.slots} tokens in all", len(slots))
        names = ("block_table", "seq_lens")
        self._run(source, target, plan, shared, slots, torch.arange(len(slots)), "token", names)

    def _move_blocks(self, src: KVCache, dst: KVCache, block_mapping: torch.Tensor) -> None:
        on_host("block_mapping", block_mapping)
        old, new = check_mapping(block_mapping)
        self._move(src, dst, old, new, "block", ("block_mapping[:, 0]", "block_mapping[:, 1]"))

    def _move(
        self,
        src: KVCache,
        dst: KVCache,
        src_slots: torch.Tensor,
        dst_slots: torch.Tensor,
        grain: Grain,
        names: tuple[str, str],
    ) -> None:
        source, target, plan, shared = check_transfer(src, dst, grain, _HOST)
        for name, slots in zip(names, (src_slots, dst_slots), strict=True):
            on_host(name, slots)
        self._run(source, target, plan, shared, src_slots, dst_slots, grain, names)

    def _run(
        self,
        src: KVCache,
        dst: KVCache,
        plan: TransferPlan,
        shared: Sharing,
        src_slots: torch.Tensor,
        dst_slots: torch.Tensor,
        grain: Grain,
        names: tuple[str, str],
    ) -> None:
        read, write = check_slots(
            src_slots,
            dst_slots,
            plan.src_units,
            plan.dst_units,
            same_memory=shared == "same",
            names=names,
        )
        if shared == "partial":
            check_bytes(plan, src.pointers, dst.pointers, read, write, names[1])
        if grain == "block":
            # A flat cache of block size 1 adopts the other's block size.
            size = max(src.block_size, dst.block_size)
            read, write = block_slots(read, size), block_slots(write, size)
        for source_row, target_row in zip(src.views, dst.views, strict=True):
            for source, target in zip(source_row, target_row, strict=True):
                store(target, write, load(source, read))
