"""Defects of KV kernels."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch

import accel
from accel.errors import FreedError, OverlapError, SlotError
from accel.kv import KVCache

from .defect import Defect
from .wrapping import WrappedKV, raw

__all__ = ["DEFECTS"]

Transfer = Callable[..., None]


def _kv(**members: Any) -> Any:
    return type("BrokenKV", (WrappedKV,), members)


def _transfer(change: Callable[..., Any]) -> Any:
    """Kernels whose ``transfer`` is ``change``, given the good one and all its arguments."""

    def transfer(
        self: Any, src: Any, dst: Any, src_slots: Any, dst_slots: Any, *,
        grain: Any = "token", stream: Any = None,
    ) -> None:  # fmt: skip
        change(self.inner.transfer, src, dst, src_slots, dst_slots, grain, raw(stream))

    return _kv(transfer=transfer)


def _slots_changed(change: Callable[[torch.Tensor, torch.Tensor], Any]) -> Any:
    """Calls the good transfer with other slots, where these are tensors at all."""

    def call(good: Transfer, src: Any, dst: Any, s: Any, d: Any, grain: Any, stream: Any) -> None:
        if isinstance(s, torch.Tensor) and isinstance(d, torch.Tensor):
            s, d = change(s, d)
        good(src, dst, s, d, grain=grain, stream=stream)

    return _transfer(call)


def _cache_changed(change: Callable[[KVCache], KVCache]) -> Any:
    """Calls the good transfer with another destination."""

    def call(good: Transfer, src: Any, dst: Any, s: Any, d: Any, grain: Any, stream: Any) -> None:
        other = change(dst) if isinstance(dst, KVCache) and dst.device.type == "cpu" else dst
        good(src, other, s, d, grain=grain, stream=stream)

    return _transfer(call)


def _with_views(cache: KVCache, views: Any) -> KVCache:
    other = KVCache.__new__(KVCache)
    other._set(cache.layout, cache.tensors, tuple(map(tuple, views)), cache.geometry.paged)
    return other


def _clamped(good: Transfer, src: Any, dst: Any, s: Any, d: Any, grain: Any, stream: Any) -> None:
    """What keeps a kernel from reading too far, and nobody from a wrong token."""
    ends = [(c.slots if grain == "token" else c.blocks) - 1 for c in (src, dst)]
    good(src, dst, s.clamp(max=ends[0]), d.clamp(max=ends[1]), grain=grain, stream=stream)


def _negative_means_last(
    good: Transfer, src: Any, dst: Any, s: Any, d: Any, grain: Any, stream: Any
) -> None:
    good(src, dst, s, d, grain=grain, stream=stream)
    for a, b in zip(s.tolist(), d.tolist(), strict=True):
        if b < 0 <= a:
            last = torch.tensor([(dst.slots if grain == "token" else dst.blocks) - 1])
            good(src, dst, torch.tensor([a]), last, grain=grain, stream=stream)


def _negative_source_is_last(
    good: Transfer, src: Any, dst: Any, s: Any, d: Any, grain: Any, stream: Any
) -> None:
    good(src, dst, s, d, grain=grain, stream=stream)
    for a, b in zip(s.tolist(), d.tolist(), strict=True):
        if a < 0 <= b < dst.slots:
            good(src, dst, torch.tensor([src.slots - 1]), torch.tensor([b]), stream=stream)


def _off_by_one(
    good: Transfer, src: Any, dst: Any, s: Any, d: Any, grain: Any, stream: Any
) -> None:
    try:
        good(src, dst, s, d, grain=grain, stream=stream)
    except SlotError:
        units = (src.slots, dst.slots) if grain == "token" else (src.blocks, dst.blocks)
        keep = (s != units[0]) & (d != units[1])
        if bool(keep.all()):
            raise
        good(src, dst, s[keep], d[keep], grain=grain, stream=stream)


def _unpadded(cache: KVCache) -> KVCache:
    if "B" not in cache.layout:
        return cache
    return KVCache(
        [t.as_strided(t.shape, torch.empty(t.shape, device="meta").stride()) for t in cache.tensors]
        if cache.layout.startswith("L |")
        else cache.tensors[0],
        cache.layout,
    )


def _swapped_planes(cache: KVCache) -> KVCache:
    alike = cache.planes == 2 and len({p.elements for p in cache.geometry.planes}) == 1
    return _with_views(cache, [row[::-1] for row in cache.views]) if alike else cache


def _heads_inside(cache: KVCache) -> KVCache:
    if "B H S D" not in cache.layout:
        return cache

    def view(v: torch.Tensor) -> torch.Tensor:
        b, s, h, d1, d0 = v.stride()
        return v.as_strided(v.shape, (b, h * v.shape[2] // v.shape[1], s, d1, d0))

    return _with_views(cache, [[view(v) for v in row] for row in cache.views])


def _truncated(good: Transfer, src: Any, dst: Any, s: Any, d: Any, grain: Any, stream: Any) -> None:
    # What would land elsewhere is dropped: writing there could end the process.
    unit = {c.uid: 1 if grain == "block" else c.block_size for c in (src, dst)}
    keep = torch.ones(len(s), dtype=torch.bool)
    for cache, slots in ((src, s), (dst, d)):
        keep &= slots // unit[cache.uid] * cache.geometry.planes[0].block_stride < 2**31
    good(src, dst, s[keep], d[keep], grain=grain, stream=stream)


def _truncated_layers(
    good: Transfer, src: Any, dst: Any, s: Any, d: Any, grain: Any, stream: Any
) -> None:
    near = [
        i for i in range(src.layers)
        if all(abs(c.pointers[i * c.planes] - c.pointers[0]) < 2**31 for c in (src, dst))
    ]  # fmt: skip
    good(src.select_layers(near), dst.select_layers(near), s, d, grain=grain, stream=stream)


def _one_by_one(
    good: Transfer, src: Any, dst: Any, s: Any, d: Any, grain: Any, stream: Any
) -> None:
    for i in range(len(s)):
        good(src, dst, s[i : i + 1], d[i : i + 1], grain=grain, stream=stream)


def _on_default_stream(
    good: Transfer, src: Any, dst: Any, s: Any, d: Any, grain: Any, stream: Any
) -> None:
    default = accel.get_backend("cpu").streams.default()
    good(src, dst, s, d, grain=grain, stream=default if stream is not None else None)


def _copy(src: Any, dst: Any, s: torch.Tensor, d: torch.Tensor) -> None:
    """Tokens by plain indexing, for layouts without a split head dim."""
    for layer in range(src.layers):
        for plane in range(src.planes):
            a, b = src.view(layer, plane), dst.view(layer, plane)
            rows = a[s // src.block_size, s % src.block_size]
            b[d // dst.block_size, d % dst.block_size] = rows


def _slots_read_late(
    good: Transfer, src: Any, dst: Any, s: Any, d: Any, grain: Any, stream: Any
) -> None:
    if stream is None or grain != "token":
        good(src, dst, s, d, grain=grain, stream=stream)
    else:
        stream.add_callback(lambda: _copy(src, dst, s, d))


def _not_kept(good: Transfer, src: Any, dst: Any, s: Any, d: Any, grain: Any, stream: Any) -> None:
    if stream is None or grain != "token":
        good(src, dst, s, d, grain=grain, stream=stream)
        return
    mine, s, d = weakref.ref(src), s.clone(), d.clone()

    def run() -> None:
        alive = mine()
        if alive is not None:
            _copy(alive, dst, s, d)

    stream.add_callback(run)


def _last_wins(good: Transfer, src: Any, dst: Any, s: Any, d: Any, grain: Any, stream: Any) -> None:
    try:
        good(src, dst, s, d, grain=grain, stream=stream)
    except OverlapError:
        last = {b: a for a, b in zip(s.tolist(), d.tolist(), strict=True)}
        good(
            src, dst, torch.tensor(list(last.values())), torch.tensor(list(last)),
            grain=grain, stream=stream,
        )  # fmt: skip


def _swallowing(error: type[Exception]) -> Any:
    def call(good: Transfer, src: Any, dst: Any, s: Any, d: Any, grain: Any, stream: Any) -> None:
        try:
            good(src, dst, s, d, grain=grain, stream=stream)
        except error:
            return

    return _transfer(call)


def _nameless(good: Transfer, src: Any, dst: Any, s: Any, d: Any, grain: Any, stream: Any) -> None:
    try:
        good(src, dst, s, d, grain=grain, stream=stream)
    except SlotError as error:
        raise SlotError("slots", error.expected, error.given) from None


def _as_contiguous(t: torch.Tensor) -> torch.Tensor:
    room = t.untyped_storage().nbytes() // t.element_size() - t.storage_offset()
    return t.as_strided((min(len(t), room),), (1,)) if t.dim() == 1 else t


def _as_int64(t: torch.Tensor) -> torch.Tensor:
    return t[::2] if t.dtype == torch.int32 else t


def _into_padding(
    good: Transfer, src: Any, dst: Any, s: Any, d: Any, grain: Any, stream: Any
) -> None:
    good(src, dst, s, d, grain=grain, stream=stream)
    t = dst.tensors[0]
    step = next((st for n, st in zip(t.shape, t.stride(), strict=True) if n > 1), 1)
    if not t.is_contiguous() and t.dtype == torch.bfloat16 and step > 1:
        # The element before the block after the first: a gap, where blocks are padded apart.
        gap = t.as_strided((1,), (1,), t.storage_offset() + step - 1)
        gap.view(torch.int16).bitwise_xor_(1)


def _first_layer_only(self: Any, cache: Any, mapping: Any, *, stream: Any = None) -> None:
    if isinstance(cache, KVCache):
        cache = cache.select_layers([0])
    self.inner.copy_blocks(cache, mapping, stream=raw(stream))


def _with_gaps(self: Any, cache: Any, mapping: Any, *, stream: Any = None) -> None:
    """Copies a block and the memory up to the next."""
    self.inner.copy_blocks(cache, mapping, stream=raw(stream))
    for s, d in mapping.tolist():
        for t in cache.tensors if min(s, d) >= 0 and cache.layout.startswith("L | K B") else ():
            step = t.stride(1)
            base = t.storage_offset()
            a, b = (t.as_strided((step,), (1,), base + x * step) for x in (s, d))
            b.copy_(a)


def _exchange(self: Any, src: Any, dst: Any, mapping: Any, *, stream: Any = None) -> None:
    kept = [t.clone() for t in dst.tensors] if isinstance(dst, KVCache) else []
    self.inner.swap_blocks(src, dst, mapping, stream=raw(stream))
    if kept and dst.layout.startswith("L |"):
        old = KVCache(kept, dst.layout)
        self.inner.swap_blocks(old, src, mapping.flip(1), stream=raw(stream))


def _no_starts(
    self: Any, src: Any, dst: Any, table: Any, lens: Any, *,
    seq_starts: Any = None, stream: Any = None,
) -> None:  # fmt: skip
    self.inner.gather(src, dst, table, lens, stream=raw(stream))


def _holes_filled(
    self: Any, src: Any, dst: Any, block_table: Any, seq_lens: Any, *,
    seq_starts: Any = None, stream: Any = None,
) -> None:  # fmt: skip
    table = block_table.clamp(min=0) if isinstance(block_table, torch.Tensor) else block_table
    self.inner.gather(src, dst, table, seq_lens, seq_starts=seq_starts, stream=raw(stream))


def _unread_entries_checked(
    self: Any, src: Any, dst: Any, block_table: Any, seq_lens: Any, *,
    seq_starts: Any = None, stream: Any = None,
) -> None:  # fmt: skip
    if isinstance(block_table, torch.Tensor) and (block_table >= src.blocks).any():
        raise SlotError("block_table", f"blocks below {src.blocks}", int(block_table.max()))
    self.inner.gather(src, dst, block_table, seq_lens, seq_starts=seq_starts, stream=raw(stream))


def _surplus_written(
    self: Any, cache: Any, layer: Any, key: Any, value: Any, slot_mapping: Any, *,
    stream: Any = None,
) -> None:  # fmt: skip
    extra = len(key) - len(slot_mapping) if isinstance(key, torch.Tensor) else 0
    if extra > 0:
        free = [s for s in range(cache.slots) if s not in slot_mapping.tolist()][:extra]
        slot_mapping = torch.cat([slot_mapping, torch.tensor(free, dtype=slot_mapping.dtype)])
    self.inner.write(cache, layer, key, value, slot_mapping, stream=raw(stream))


def _key_twice(
    self: Any, cache: Any, layer: Any, key: Any, value: Any, slot_mapping: Any, *,
    stream: Any = None,
) -> None:  # fmt: skip
    same = isinstance(value, torch.Tensor) and value.shape == key.shape
    self.inner.write(cache, layer, key, key if same else value, slot_mapping, stream=raw(stream))


def _strides_lost(
    self: Any, cache: Any, layer: Any, key: Any, value: Any, slot_mapping: Any, *,
    stream: Any = None,
) -> None:  # fmt: skip
    def flat(t: Any) -> Any:
        if not isinstance(t, torch.Tensor) or t.device.type != "cpu" or 0 in t.stride():
            return t
        return t.as_strided(t.shape, torch.empty(t.shape, device="meta").stride())

    good = self.inner.write
    good(cache, layer, flat(key), flat(value), slot_mapping, stream=raw(stream))


def _other_layer(
    self: Any, cache: Any, layer: Any, key: Any, value: Any, slot_mapping: Any, *,
    stream: Any = None,
) -> None:  # fmt: skip
    wrong = max(layer - 1, 0) if isinstance(layer, int) and 0 <= layer < cache.layers else layer
    self.inner.write(cache, wrong, key, value, slot_mapping, stream=raw(stream))


PAIR = "L2-kv::layout_pair[vllm_nhd-vllm_hnd]"

DEFECTS = (
    Defect(
        "negative-destination-is-last", ("L2-kv::slots[padded-destination-*]",),
        kv=_transfer(_negative_means_last),
    ),
    Defect(
        "negative-source-is-last", ("L2-kv::slots[padded-source-*]",),
        kv=_transfer(_negative_source_is_last),
    ),
    Defect(
        "last-slot-dropped",
        ("L2-kv::slots[one-*]", PAIR, "L2-kv::blocks[one-*]", "L2-kv::pageable[*]"),
        kv=_slots_changed(lambda s, d: (s[:-1], d[:-1]) if len(s) == len(d) else (s, d)),
    ),
    Defect(
        "bound-off-by-one",
        ("L2-kv::out_of_range[token-src-*-count]", "L2-kv::out_of_range[block-dst-*-count]"),
        kv=_transfer(_off_by_one),
    ),
    Defect(
        "indices-clamped", ("L2-kv::out_of_range_on_the_device[*]",), kv=_transfer(_clamped)
    ),
    Defect(
        "block-padding-ignored",
        ("L2-kv::strides[plain-padded-blocks]", "L2-kv::strides_by_block[plain-padded-blocks]"),
        kv=_cache_changed(_unpadded),
    ),
    Defect("planes-swapped", (PAIR, "L2-kv::format[*]"), kv=_cache_changed(_swapped_planes)),
    Defect(
        "heads-in-nhd-order", (PAIR, "L2-kv::format[06-*]"), kv=_cache_changed(_heads_inside)
    ),
    Defect(
        "offsets-of-32-bits", ("L2-kv::far_transfer[blocks]",), kv=_transfer(_truncated)
    ),
    Defect(
        "layer-offsets-of-32-bits", ("L2-kv::far_transfer[layers]",),
        kv=_transfer(_truncated_layers),
    ),
    Defect(
        "writes-before-checking",
        ("L2-kv::out_of_range[token-dst-last-*]", "L2-kv::destination_twice[*]"),
        kv=_transfer(_one_by_one),
    ),
    Defect(
        "stream-ignored",
        ("L2-kv::between_two_copies[transfer]", "L2-kv::two_streams[event]"),
        kv=_transfer(_on_default_stream),
    ),
    Defect(
        "slots-read-late", ("L2-kv::host_indices_are_read_at_the_call[transfer]",),
        kv=_transfer(_slots_read_late),
    ),
    Defect(
        "sources-not-kept", ("L2-kv::inputs_are_kept_alive[transfer]",), kv=_transfer(_not_kept)
    ),
    Defect("duplicates-accepted", ("L2-kv::destination_twice[*]",), kv=_transfer(_last_wins)),
    Defect("overlap-unsaid", ("L2-kv::read_and_written[*]",), kv=_swallowing(OverlapError)),
    Defect("freed-unsaid", ("L2-kv::freed_cache[*]",), kv=_swallowing(FreedError)),
    Defect("wrong-name", ("L2-kv::out_of_range[*]",), kv=_transfer(_nameless)),
    Defect(
        "slot-strides-lost", ("L2-kv::strided_slot_tensors[*]",),
        kv=_slots_changed(lambda s, d: (_as_contiguous(s), _as_contiguous(d))),
    ),
    Defect(
        "int32-slots-as-int64", ("L2-kv::slots[every-slot-int32-host]",),
        kv=_slots_changed(lambda s, d: (_as_int64(s), _as_int64(d))),
    ),
    Defect(
        "padding-written", ("L2-kv::strides[plain-padded-blocks]",), kv=_transfer(_into_padding)
    ),
    Defect(
        "copy-blocks-first-layer",
        ("L2-kv::copy_blocks[one-*]", "L2-kv::copy_blocks_layout[vllm_nhd]"),
        kv=_kv(copy_blocks=_first_layer_only),
    ),
    Defect(
        "copy-blocks-with-gaps", ("L2-kv::copy_blocks_strides[bfloat16-padded-blocks]",),
        kv=_kv(copy_blocks=_with_gaps),
    ),
    Defect("swap-exchanges", ("L2-kv::swap_blocks[one]",), kv=_kv(swap_blocks=_exchange)),
    Defect("gather-without-starts", ("L2-kv::gather[starts-*]",), kv=_kv(gather=_no_starts)),
    Defect("gather-fills-holes", ("L2-kv::gather[holes-*]",), kv=_kv(gather=_holes_filled)),
    Defect(
        "gather-reads-too-far", ("L2-kv::gather[ragged-*]",),
        kv=_kv(gather=_unread_entries_checked),
    ),
    Defect(
        "write-surplus", ("L2-kv::write_ignores_surplus_tokens[some]",),
        kv=_kv(write=_surplus_written),
    ),
    Defect("write-key-twice", ("L2-kv::write_layout[vllm_nhd]",), kv=_kv(write=_key_twice)),
    Defect(
        "write-strides-lost", ("L2-kv::write_strides[plain-fused]",), kv=_kv(write=_strides_lost)
    ),
    Defect("write-other-layer", ("L2-kv::write_layout[vllm_nhd]",), kv=_kv(write=_other_layer)),
)  # fmt: skip
