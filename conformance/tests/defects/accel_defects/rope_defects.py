"""Defects of ``rope_reposition``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch

import accel
from accel.errors import ArgumentError, OverlapError
from accel.kv import KVCache, Rope, YarnScaling

from .defect import Defect
from .wrapping import WrappedKV, raw

__all__ = ["DEFECTS"]


def _rope(change: Callable[..., Any]) -> Any:
    """Kernels whose ``rope_reposition`` is ``change``, given the good one and all arguments."""

    def rope_reposition(
        self: Any, keys: Any, old_positions: Any, new_positions: Any, rope: Any, *,
        slots: Any = None, layer: Any = None, stream: Any = None,
    ) -> None:  # fmt: skip
        change(self.inner.rope_reposition, keys, old_positions, new_positions, rope,
               {"slots": slots, "layer": layer, "stream": raw(stream)})  # fmt: skip

    return type("BrokenRope", (WrappedKV,), {"rope_reposition": rope_reposition})


def _other_rope(change: Callable[[Rope], Rope]) -> Any:
    def call(good: Any, keys: Any, old: Any, new: Any, rope: Any, more: Any) -> None:
        good(keys, old, new, change(rope) if isinstance(rope, Rope) else rope, **more)

    return _rope(call)


def _other_arguments(**change: Callable[[Any], Any]) -> Any:
    def call(good: Any, keys: Any, old: Any, new: Any, rope: Any, more: Any) -> None:
        good(keys, old, new, rope, **{k: change.get(k, lambda v: v)(v) for k, v in more.items()})

    return _rope(call)


def _other_positions(change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    def call(good: Any, keys: Any, old: Any, new: Any, rope: Any, more: Any) -> None:
        good(keys, change(old), change(new), rope, **more)

    return _rope(call)


def _wrong_way(good: Any, keys: Any, old: Any, new: Any, rope: Any, more: Any) -> None:
    good(keys, new, old, rope, **more)


def _two_turns(good: Any, keys: Any, old: Any, new: Any, rope: Any, more: Any) -> None:
    """Undoes the old rotation, rounds, and applies the new one."""
    start = torch.where(old == new, old, torch.zeros_like(old))
    good(keys, old, start, rope, **more)
    good(keys, start, new, rope, **more)


def _undivided(rope: Rope, old: torch.Tensor, new: torch.Tensor, dim: int) -> Any:
    if rope.cos_sin_cache is None:
        angle = (new - old).double()[..., None] * torch.tensor(rope.inv_freq(dim)).double()
        return angle.cos(), angle.sin()
    c_old, s_old = rope.cos_sin_cache[old].double().chunk(2, -1)
    c_new, s_new = rope.cos_sin_cache[new].double().chunk(2, -1)
    return c_new * c_old + s_new * s_old, s_new * c_old - c_new * s_old


def _float32_products(rope: Rope, old: torch.Tensor, new: torch.Tensor, dim: int) -> Any:
    if rope.cos_sin_cache is not None:
        return _undivided(rope, old, new, dim)
    inv_freq = torch.tensor(rope.inv_freq(dim), dtype=torch.float32)
    angle = (new.float()[..., None] * inv_freq) - (old.float()[..., None] * inv_freq)
    return angle.cos(), angle.sin()


def _turn(keys: Any, old: Any, new: Any, rope: Rope, cos_sin: Callable[..., Any]) -> None:
    dim = rope.dim_for(keys.shape[-1])
    cosine, sine = (t[..., None, :] for t in cos_sin(rope, old.long(), new.long(), dim))
    part = keys[..., rope.offset : rope.offset + dim]
    a, b = (part[..., ::2], part[..., 1::2]) if rope.interleaved else part.chunk(2, -1)
    x, y, stays = a.double(), b.double(), (old == new)[..., None, None]
    for half, value in ((a, x * cosine - y * sine), (b, x * sine + y * cosine)):
        half.copy_(torch.where(stays, half, value.to(keys.dtype)))


def _own_turns(cos_sin: Callable[..., Any]) -> Any:
    """Tensors are turned here, by these cosines and sines."""

    def call(good: Any, keys: Any, old: Any, new: Any, rope: Any, more: Any) -> None:
        if not isinstance(keys, torch.Tensor) or more["stream"] is not None:
            good(keys, old, new, rope, **more)
        else:
            good(keys.clone(), old, new, rope, **more)  # what is wrong is still refused
            _turn(keys, old, new, rope, cos_sin)

    return _rope(call)


def _all_planes(good: Any, keys: Any, old: Any, new: Any, rope: Any, more: Any) -> None:
    good(keys, old, new, rope, **more)
    if isinstance(keys, KVCache) and keys.planes == 2:
        swapped = KVCache.__new__(KVCache)
        views = tuple(row[::-1] for row in keys.views)
        swapped._set(keys.layout, keys.tensors, views, keys.geometry.paged)
        good(swapped, old, new, rope, **more)


def _padding_means_last(good: Any, keys: Any, old: Any, new: Any, rope: Any, more: Any) -> None:
    good(keys, old, new, rope, **more)
    if isinstance(keys, KVCache) and bool((more["slots"] < 0).any()):
        last = torch.tensor([keys.slots - 1])
        good(keys, torch.tensor([0]), torch.tensor([3]), rope, **{**more, "slots": last})


def _padding_is_checked(good: Any, keys: Any, old: Any, new: Any, rope: Any, more: Any) -> None:
    if isinstance(keys, KVCache) and bool((old < 0).any()):
        raise ArgumentError("old_positions", "positions", "one below 0")
    good(keys, old, new, rope, **more)


def _one_by_one(good: Any, keys: Any, old: Any, new: Any, rope: Any, more: Any) -> None:
    slots = more["slots"]
    whole = isinstance(slots, torch.Tensor) and slots.dim() == old.dim() == new.dim() == 1
    if not whole or not len(slots) == len(old) == len(new):
        good(keys, old, new, rope, **more)
        return
    for i in range(len(slots)):
        at = slice(i, i + 1)
        good(keys, old[at], new[at], rope, **{**more, "slots": slots[at]})


def _rewritten(channels: Callable[[Rope, int], Iterator[slice]]) -> Any:
    """Goes through float32 with keys that must keep their bits: NaNs lose their payload."""

    def call(good: Any, keys: Any, old: Any, new: Any, rope: Any, more: Any) -> None:
        good(keys, old, new, rope, **more)
        if isinstance(keys, torch.Tensor) and more["stream"] is None:
            for part in channels(rope, keys.shape[-1]):
                flat = keys[..., part]
                flat.copy_(torch.where(flat.isnan(), torch.nan, flat))

    return _rope(call)


def _rotated(rope: Rope, head_dim: int) -> Iterator[slice]:
    yield slice(rope.offset, rope.offset + rope.dim_for(head_dim))


def _unrotated(rope: Rope, head_dim: int) -> Iterator[slice]:
    yield slice(0, rope.offset)
    yield slice(rope.offset + rope.dim_for(head_dim), head_dim)


def _late(good: Any, keys: Any, old: Any, new: Any, rope: Any, more: Any) -> None:
    stream = more["stream"]
    if stream is None:
        good(keys, old, new, rope, **more)
    else:
        stream.add_callback(lambda: good(keys, old, new, rope, **{**more, "stream": None}))


def _on_the_default_stream(good: Any, keys: Any, old: Any, new: Any, rope: Any, more: Any) -> None:
    if more["stream"] is not None:
        more = {**more, "stream": accel.get_backend("cpu").streams.default()}
    good(keys, old, new, rope, **more)


def _overlaps(good: Any, keys: Any, old: Any, new: Any, rope: Any, more: Any) -> None:
    try:
        good(keys, old, new, rope, **more)
    except OverlapError:
        return


def _contiguous(t: Any) -> Any:
    if not isinstance(t, torch.Tensor) or t.is_contiguous():
        return t
    return t.as_strided(t.shape, torch.empty(t.shape, device="meta").stride())


def _full(rope: Rope) -> Rope:
    whole = rope.offset == 0 and rope.cos_sin_cache is None
    return dataclasses.replace(rope, rotary_dim=None) if whole else rope


def _always_truncated(rope: Rope) -> Rope:
    if not isinstance(rope.scaling, YarnScaling):
        return rope
    return dataclasses.replace(rope, scaling=dataclasses.replace(rope.scaling, truncate=True))


HALVES = "L2-kv::rope[128-None-0-*-neox]"

DEFECTS = (
    Defect(
        "rope-wrong-way", (HALVES, "L2-kv::rope_table[plain-*]", "L2-kv::rope_layout[*]"),
        kv=_rope(_wrong_way),
    ),
    Defect(
        "rope-styles-swapped", (HALVES, "L2-kv::rope[*-interleaved]"),
        kv=_other_rope(lambda r: dataclasses.replace(r, interleaved=not r.interleaved)),
    ),
    Defect(
        "rope-scaling-ignored", ("L2-kv::rope_scaling[*-linear]", "L2-kv::rope_scaling[*-llama3]",
                                 "L2-kv::rope_scaling[*-yarn]"),
        kv=_other_rope(lambda r: dataclasses.replace(r, scaling=None)),
    ),
    Defect(
        "rope-yarn-truncated", ("L2-kv::rope_scaling[*-yarn-fractional]",),
        kv=_other_rope(_always_truncated),
    ),
    Defect("rope-partial-ignored", ("L2-kv::rope[128-64-0-*]",), kv=_other_rope(_full)),
    Defect(
        "rope-offset-ignored", ("L2-kv::rope[96-64-16-*]", "L2-kv::rope_layout_of_one_plane[*]"),
        kv=_other_rope(lambda r: dataclasses.replace(r, offset=0)),
    ),
    Defect(
        "rope-float32-angles", ("L2-kv::rope_far_positions[*]",),
        kv=_own_turns(_float32_products),
    ),
    Defect(
        "rope-attention-kept", ("L2-kv::rope_table[yarn-*]",), kv=_own_turns(_undivided)
    ),
    Defect(
        "rope-rounded-twice", ("L2-kv::rope[*-bfloat16-*]", "L2-kv::rope[*-float16-*]"),
        kv=_rope(_two_turns),
    ),
    Defect(
        "rope-bits-not-kept", ("L2-kv::rope_same_position[*]",), kv=_rewritten(_rotated)
    ),
    Defect(
        "rope-other-channels-written", ("L2-kv::rope[128-64-0-*]",), kv=_rewritten(_unrotated)
    ),
    Defect(
        "rope-values-too", ("L2-kv::rope_layout[vllm_nhd]", "L2-kv::rope_vectorised_keys[*]"),
        kv=_rope(_all_planes),
    ),
    Defect(
        "rope-first-layer-only", ("L2-kv::rope_layers[*-None]", "L2-kv::rope_model[*]"),
        kv=_other_arguments(layer=lambda la: 0 if la is None else la),
    ),
    Defect(
        "rope-every-layer", ("L2-kv::rope_layers[*-1]",),
        kv=_other_arguments(layer=lambda la: None if la == 1 else la),
    ),
    Defect(
        "rope-padding-is-last", ("L2-kv::rope_slots[*-all-padding]",),
        kv=_rope(_padding_means_last),
    ),
    Defect(
        "rope-padding-checked", ("L2-kv::rope_slots[*-padding]",), kv=_rope(_padding_is_checked)
    ),
    Defect(
        "rope-writes-before-checking",
        ("L2-kv::rope_refused_in_a_cache[slot-too-large-last]",
         "L2-kv::rope_refused_in_a_cache[new-negative]"),
        kv=_rope(_one_by_one),
    ),
    Defect(
        "rope-position-strides-lost", ("L2-kv::rope_positions[*]",),
        kv=_other_positions(_contiguous),
    ),
    Defect(
        "rope-positions-read-late", ("L2-kv::rope_between_two_copies[*]",), kv=_rope(_late)
    ),
    Defect(
        "rope-stream-ignored", ("L2-kv::rope_between_two_copies[*]",),
        kv=_rope(_on_the_default_stream),
    ),
    Defect("rope-overlap-unsaid", ("L2-kv::rope_keys_overlap[*]",), kv=_rope(_overlaps)),
)  # fmt: skip
