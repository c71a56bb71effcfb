"""What cases of quantised writes and conversions share: inputs, and what must come out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from .byte_compare import assert_same_bytes, bytes_of
from .kv_expected import Expectation
from .kv_inputs import INT_VIEWS, LabelledCache
from .kv_numbers import CODES, is_nan, number_bits, number_values, scaled
from .kv_work import KVWork, expect_write
from .one_thread import one_thread

__all__ = [
    "accept_nans",
    "convert",
    "expect_codes",
    "expect_convert",
    "heads_of",
    "rows_of",
    "write_codes",
]

#: A number, a float32 tensor, or nothing.
Scale = Any


def heads_of(cache: LabelledCache, plane: int = 0) -> int:
    """The heads of a plane as its layout has them: 1 without an axis H."""
    layouts = cache.cache.layout.split(" ; ")
    layout = layouts[min(plane, len(layouts) - 1)]
    return int(cache.cache.view(0, plane).shape[2]) if "H" in layout.split() else 1


@one_thread()
def rows_of(
    kv: KVWork, tokens: int, extents: tuple[int, ...], dtype: torch.dtype, form: str = "plain"
) -> torch.Tensor:
    """New keys or values as :meth:`KVWork.rows` makes them, three of four of usual size."""
    rows = kv.rows(tokens, extents, dtype, form)
    one = rows[:1] if form == "broadcast" else rows
    usual = (torch.randn(one.shape, generator=kv.rng) * 3).to(dtype)
    wild = torch.rand(one.shape, generator=kv.rng) < 0.25
    one.copy_(torch.where(wild.to(one.device), one, usual.to(one.device)))
    return rows


def codes_of(rows: torch.Tensor, scale: Scale, heads: int, dtype: torch.dtype) -> torch.Tensor:
    """Expected codes ``[tokens, elements]`` as uint8."""
    host = rows.detach().cpu()
    width = math.prod(host.shape[1:]) // heads
    bits = host.contiguous().view(INT_VIEWS[host.element_size()]).reshape(len(host), heads, width)
    by = torch.as_tensor(scale, dtype=torch.float32).cpu()
    by = by.expand(len(host), heads).unsqueeze(-1) if by.dim() else by
    return number_bits(scaled(number_values(bits, host.dtype), divide=by), dtype).flatten(1)


@one_thread()
def expect_codes(
    expected: Expectation,
    cache: LabelledCache,
    layer: int,
    key: torch.Tensor,
    value: torch.Tensor | None,
    slots: Sequence[int],
    key_scale: Scale,
    value_scale: Scale,
) -> None:
    """Tell ``expected`` what ``write`` with scales means."""
    codes = []
    for i, (rows, scale) in enumerate(((key, key_scale), (value, value_scale))):
        if rows is None:
            continue
        plane = i if i < len(cache.planes) else 0
        dtype = cache.cache.view(layer, plane).dtype
        flat = codes_of(rows, scale, heads_of(cache, plane), dtype)
        codes.append(flat.reshape(rows.shape))
    second = codes[1] if len(codes) > 1 else None
    expect_write(expected, cache, layer, codes[0], second, slots)


def write_codes(
    kv: KVWork,
    cache: LabelledCache,
    layer: int,
    key: torch.Tensor,
    value: torch.Tensor | None,
    slots: Sequence[int],
    key_scale: Scale,
    value_scale: Scale = None,
    **indices: Any,
) -> None:
    """``write`` with scales, and compare every byte of the cache, the key and the value."""
    expected = Expectation(cache)
    expect_codes(expected, cache, layer, key, value, slots, key_scale, value_scale)
    inputs = [t for t in (key, value, key_scale, value_scale) if isinstance(t, torch.Tensor)]
    # A copy first: the strides of a scale of one element may be any.
    before = [bytes_of(t.new_empty(t.shape).copy_(t)) for t in inputs]
    kv.backend.kv.write(
        cache.cache, layer, key, value, kv.indices(slots, **indices),
        key_scale=key_scale, value_scale=value_scale,
    )  # fmt: skip
    kv.settle()
    expected.check()
    for t, old in zip(inputs, before, strict=True):
        assert_same_bytes(t.new_empty(t.shape).copy_(t), old, "key, value or scale after the call")


@one_thread()
def expect_convert(
    expected: Expectation,
    src: LabelledCache,
    dst: LabelledCache,
    src_scale: Scale = None,
    dst_scale: Scale = None,
) -> None:
    """Tell ``expected``, which holds both caches, what ``convert`` means."""
    every = torch.arange(src.slots)
    for plane in range(len(src.planes)):
        from_dtype, to_dtype = (c.cache.view(0, plane).dtype for c in (src, dst))
        for layer in range(src.cache.layers):
            x = number_values(expected.rows(src, plane, layer, every), from_dtype)
            sides = [(src, src_scale, from_dtype), (dst, dst_scale, to_dtype)]
            factors: list[torch.Tensor | None] = []
            for cache, scale, dtype in sides:
                if scale is None or dtype not in CODES:
                    factors.append(None)
                    continue
                factors.append(_of_elements(scale, cache, layer, plane, x.shape[1]))
            out = number_bits(scaled(x, factors[0], factors[1]), to_dtype)
            expected.put(dst, plane, layer, range(src.slots), out)


def _of_elements(
    scale: Scale, cache: LabelledCache, layer: int, plane: int, elements: int
) -> torch.Tensor:
    """The scale of each element of a token."""
    all_scales = torch.as_tensor(scale, dtype=torch.float32).cpu()
    if all_scales.dim() == 1:
        all_scales = all_scales.unsqueeze(-1)
    heads = heads_of(cache, plane) if all_scales.dim() > 1 and all_scales.shape[-1] > 1 else 1
    wanted = (cache.cache.layers, len(cache.planes), heads)
    return all_scales.expand(wanted)[layer, plane].repeat_interleave(elements // heads)


@one_thread()
def accept_nans(expected: Expectation, cache: LabelledCache) -> None:
    """Where a NaN is expected and there is one, take it as it is: its payload is free."""
    every = torch.arange(cache.slots)
    for i, plane in enumerate(cache.planes):
        dtype = cache.cache.view(0, i).dtype
        if dtype in CODES:
            continue
        for layer, arena in enumerate(plane.arena):
            want = expected.rows(cache, i, layer, every)
            have = arena.image().view(want.dtype)[plane.index[layer]]
            both = is_nan(want, dtype) & is_nan(have, dtype)
            expected.put(cache, i, layer, range(cache.slots), torch.where(both, have, want))


def convert(
    kv: KVWork,
    src: LabelledCache,
    dst: LabelledCache,
    src_scale: Scale = None,
    dst_scale: Scale = None,
) -> None:
    """``convert``, and compare every byte of both caches."""
    expected = Expectation(src, dst)
    expect_convert(expected, src, dst, src_scale, dst_scale)
    kv.backend.kv.convert(src.cache, dst.cache, src_scale=src_scale, dst_scale=dst_scale)
    kv.settle()
    accept_nans(expected, dst)
    expected.check()
