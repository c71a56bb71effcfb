"""KV data movement by a native engine: plans are made here once, calls go straight to C++."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..kv.checks import check_cache, check_transfer
from ..kv.overlap import check_destination
from ..kv.write import plan_write
from ..providers import KVKernels
from .prepared import Prepared

if TYPE_CHECKING:
    import torch

    from ..kv import KVCache
    from ..kv.plan import Grain, TransferPlan
    from ..providers import Stream

__all__ = ["Movement"]


class Movement(Prepared, KVKernels):
    """``transfer``, ``write``, ``copy_blocks``, ``swap_blocks`` and ``gather``.

    A call looks up what was prepared for its caches, under their uids, and enters C++ once: index
    lists, freed tensors and overlaps are checked there, then the work goes to the stream. Nothing
    that is kept keeps a cache alive.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pairs: dict[tuple[int, int, str], Any] = {}
        self._transfer = self.native.transfer
        self._map_blocks = self.native.map_blocks
        self._gather = self.native.gather
        self._write = self.native.write

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
        self._transfer(pair, src, dst, src_slots, dst_slots, stream)

    def copy_blocks(
        self, cache: KVCache, block_mapping: torch.Tensor, *, stream: Stream | None = None
    ) -> None:
        try:
            pair = self._pairs[cache.uid, cache.uid, "block"]
        except (KeyError, AttributeError, TypeError):
            check_destination(check_cache("cache", cache, self.devices), "cache")
            pair = self._prepare(cache, cache, "block")
        self._map_blocks(pair, cache, cache, block_mapping, stream)

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
        self._map_blocks(pair, src, dst, block_mapping, stream)

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
        self._gather(
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
            if self._write(writer, cache, layer, key, value, slot_mapping, stream):
                return
        except (KeyError, AttributeError):
            writer = self._prepare_writer(cache)
        except TypeError:
            if isinstance(layer, int):
                raise
        # Tensors of a new shape, or wrong ones: plan_write knows.
        made = plan_write(cache, layer, key, value)
        writer.add(key, value, made.plan.pack(), list(made.target))
        if not self._write(writer, cache, layer, key, value, slot_mapping, stream):
            raise AssertionError("the plan just made does not fit its own tensors")

    def _write_quantized(
        self,
        cache: KVCache,
        layer: int,
        key: torch.Tensor,
        value: torch.Tensor | None,
        slots: torch.Tensor,
        key_scale: float | torch.Tensor | None,
        value_scale: float | torch.Tensor | None,
        stream: Stream | None,
    ) -> None:
        """``write`` with scales; a backend that has them overrides this."""
        KVKernels.write(
            self, cache, layer, key, value, slots,
            key_scale=key_scale, value_scale=value_scale, stream=stream,
        )  # fmt: skip

    def close(self) -> None:
        self._pairs.clear()
        self._writers.clear()
        super().close()

    def _prepare(self, src: KVCache, dst: KVCache, grain: Grain) -> Any:
        source, target, plan, shared = check_transfer(src, dst, grain, self.devices)
        pair = self._new_pair(
            source,
            target,
            plan,
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

    def _new_pair(self, src: KVCache, dst: KVCache, plan: TransferPlan, *arguments: Any) -> Any:
        """``Pair(*arguments)``; a backend that needs to know more overrides it."""
        return self.native.Pair(*arguments)
