"""Defects of quantised writes and of conversions between dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

import accel
from accel.errors import ArgumentError, OverlapError
from accel.kv import KVCache

from .defect import Defect
from .wrapping import WrappedKV, raw

__all__ = ["DEFECTS"]

FP8 = (torch.float8_e4m3fn, torch.float8_e5m2)


def _kv(**members: Any) -> Any:
    return type("BrokenConversions", (WrappedKV,), members)


def _write(change: Callable[..., None]) -> Any:
    """Kernels whose quantised write is ``change``, given the good kernels and the arguments."""

    def write(
        self: Any, cache: Any, layer: Any, key: Any, value: Any, slot_mapping: Any, *,
        key_scale: Any = None, value_scale: Any = None, stream: Any = None,
    ) -> None:  # fmt: skip
        call = _Write(cache, layer, key, value, slot_mapping, [key_scale, value_scale], raw(stream))
        if key_scale is None and value_scale is None:
            call.run(self.inner)
        else:
            change(self.inner, call)

    return _kv(write=write)


class _Write:
    """The arguments of one write; everything may be changed before it is run."""

    def __init__(self, cache: Any, layer: Any, key: Any, value: Any, slots: Any, scales: Any,
                 stream: Any) -> None:  # fmt: skip
        self.cache, self.layer, self.slots = cache, layer, slots
        self.rows, self.scales, self.stream = [key, value], scales, stream

    def run(self, kv: Any) -> None:
        kv.write(
            self.cache, self.layer, *self.rows, self.slots,
            key_scale=self.scales[0], value_scale=self.scales[1], stream=self.stream,
        )  # fmt: skip

    def by_head(self, i: int) -> torch.Tensor:
        """A scale as ``[tokens, heads, 1]``, for caches with as many heads as the rows have."""
        rows = self.rows[i]
        scale = torch.as_tensor(self.scales[i], dtype=torch.float32)
        return scale.expand(rows.shape[:2]).unsqueeze(-1) if scale.dim() else scale


def _scales(change: Callable[[Any, _Write], Any]) -> Any:
    """Every scale that is there becomes another one."""

    def call(kv: Any, write: _Write) -> None:
        write.scales = [None if s is None else change(s, write) for s in write.scales]
        write.run(kv)

    return _write(call)


Codes = Callable[[torch.Tensor, torch.Tensor, torch.dtype], torch.Tensor]


def _codes(make: Codes) -> Any:
    """Right to begin with; then codes that ``make`` made of the rows and scales over them."""

    def call(kv: Any, write: _Write) -> None:
        write.run(kv)
        cache = write.cache
        if "H" not in cache.layout or any(r is None or r.dim() != 3 for r in write.rows):
            return
        planes = [cache.view(0, p).dtype for p in range(2)]
        write.rows = [
            make(r, write.by_head(i), planes[i]).view(planes[i]) for i, r in enumerate(write.rows)
        ]
        write.scales = [None, None]
        write.run(kv)

    return _write(call)


def _nearest(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Codes as they should be, of any ``x``, as uint8."""
    if dtype == torch.int8:
        return x.nan_to_num(0.0, 127, -128).round().clamp(-128, 127).to(dtype).view(torch.uint8)
    most = 448.0 if dtype == FP8[0] else 57344.0
    codes = x.clamp(-most, most).to(dtype).view(torch.uint8)
    return torch.where(x.isnan(), 0x7F, codes)


def _truncated(rows: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    x = rows.float() / scale
    if dtype == torch.int8:
        return _nearest(x.trunc(), dtype)
    codes = _nearest(x, dtype)
    above = codes.view(dtype).float().abs() > x.abs()
    return codes - above.to(torch.uint8)


def _ties_away(rows: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    x = rows.float() / scale
    if dtype == torch.int8:
        return _nearest(x.sign() * (x.abs() + 0.5).floor(), dtype)
    return _nearest(x * (1 + 2.0**-22), dtype)


def _overflowing(rows: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    x = rows.float() / scale
    codes = _nearest(x, dtype)
    if dtype == torch.int8:
        return codes
    infinity = 0x7F if dtype == FP8[0] else 0x7C
    most = 448.0 if dtype == FP8[0] else 57344.0
    return torch.where(x.abs() > 1.0625 * most, infinity | codes & 0x80, codes)


def _nan_lost(rows: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return _nearest((rows.float() / scale).nan_to_num(0.0), dtype)


def _signed_nan(rows: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    x = rows.float() / scale
    codes = _nearest(x, dtype)
    negative = x.isnan() & x.signbit() & torch.tensor(dtype in FP8)
    return torch.where(negative, 0xFF, codes)


def _flushed(rows: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    codes = _nearest(rows.float() / scale, dtype)
    least = 8 if dtype == FP8[0] else 4
    small = (codes & 0x7F) < (least if dtype in FP8 else 0)
    return torch.where(small, codes & 0x80, codes)


def _zero_unsigned(rows: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    codes = _nearest(rows.float() / scale, dtype)
    return torch.where((codes == 0x80) & torch.tensor(dtype in FP8), 0, codes)


def _by_reciprocal(rows: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return _nearest(rows.float() * scale.reciprocal(), dtype)


def _in_its_dtype(rows: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return _nearest((rows / scale.to(rows.dtype)).float(), dtype)


def _inverse(scale: Any, write: _Write) -> Any:
    return scale.reciprocal() if isinstance(scale, torch.Tensor) else 1.0 / scale


def _first_head(scale: Any, write: _Write) -> Any:
    if isinstance(scale, torch.Tensor) and scale.dim() and scale.shape[-1] > 1:
        return scale[..., :1] if scale.dim() == 2 else scale[0]
    return scale


def _next_head(scale: Any, write: _Write) -> Any:
    return scale.roll(1, -1) if isinstance(scale, torch.Tensor) and scale.dim() else scale


def _by_slot(scale: Any, write: _Write) -> Any:
    if not isinstance(scale, torch.Tensor) or scale.dim() != 2:
        return scale
    rows = torch.arange(len(scale))
    n = len(write.slots)
    rows[:n] = torch.where(write.slots >= 0, write.slots.long() % len(scale), rows[:n])
    return scale[rows]


def _of_kept(scale: Any, write: _Write) -> Any:
    """The padding's scales are left out, so that all others move up."""
    if not isinstance(scale, torch.Tensor) or scale.dim() != 2:
        return scale
    kept = (write.slots >= 0).nonzero().flatten()
    other = scale.clone()
    other[kept] = scale[: len(kept)]
    return other


def _keys_scale(kv: Any, write: _Write) -> None:
    if None not in write.scales:
        write.scales[1] = write.scales[0]
    write.run(kv)


def _padding_written(kv: Any, write: _Write) -> None:
    write.run(kv)
    last = write.cache.slots - 1
    padding = (write.slots == -1).nonzero().flatten()
    if len(padding) and last not in write.slots:
        write.slots = write.slots.clone()
        write.slots[padding[0]] = last
        write.run(kv)


def _unsaid(kv: Any, write: _Write) -> None:
    try:
        write.run(kv)
    except ArgumentError as error:
        if type(error) is not ArgumentError or "scale" not in error.argument:
            raise


def _one_will_do(kv: Any, write: _Write) -> None:
    given = [s for s in write.scales if s is not None]
    if len(given) == 1 and write.rows[1] is not None:
        write.scales = given * 2
    write.run(kv)


def _scales_read_late(kv: Any, write: _Write) -> None:
    if write.stream is None:
        write.run(kv)
        return
    stream, slots = write.stream, write.slots.clone()
    write.stream, write.slots = None, slots

    def later() -> None:
        try:
            write.run(kv)
        except ArgumentError:  # scales that were overwritten
            write.scales = [1.0, 1.0]
            write.run(kv)

    stream.add_callback(later)


def _now(kv: Any, write: _Write) -> None:
    write.stream = accel.get_backend("cpu").streams.default() if write.stream is not None else None
    write.run(kv)


def _convert(change: Callable[..., None]) -> Any:
    """Kernels whose conversion is ``change``, given the good one and all its arguments."""

    def convert(
        self: Any, src: Any, dst: Any, *, src_scale: Any = None, dst_scale: Any = None,
        stream: Any = None,
    ) -> None:  # fmt: skip
        change(self.inner.convert, src, dst, src_scale, dst_scale, raw(stream))

    return _kv(convert=convert)


def _without_src_scale(good: Any, src: Any, dst: Any, a: Any, b: Any, stream: Any) -> None:
    good(src, dst, src_scale=None if a is None else 1.0, dst_scale=b, stream=stream)


def _but_the_last_layer(good: Any, src: Any, dst: Any, a: Any, b: Any, stream: Any) -> None:
    if not all(isinstance(c, KVCache) and c.layers > 1 for c in (src, dst)):
        good(src, dst, src_scale=a, dst_scale=b, stream=stream)
        return
    some = slice(0, min(src.layers, dst.layers) - 1)

    def less(scale: Any) -> Any:
        by_layer = isinstance(scale, torch.Tensor) and scale.dim() == 3
        return scale[some] if by_layer else scale

    good(
        src.select_layers(some), dst.select_layers(some), src_scale=less(a), dst_scale=less(b),
        stream=stream,
    )  # fmt: skip


def _scale_changed(change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    def call(good: Any, src: Any, dst: Any, a: Any, b: Any, stream: Any) -> None:
        a, b = (change(s) if isinstance(s, torch.Tensor) else s for s in (a, b))
        good(src, dst, src_scale=a, dst_scale=b, stream=stream)

    return _convert(call)


def _first_layers(scale: torch.Tensor) -> torch.Tensor:
    return scale[:1].expand(scale.shape) if scale.dim() == 3 else scale


def _planes_swapped(scale: torch.Tensor) -> torch.Tensor:
    if scale.dim() == 0:
        return scale
    return scale.flip(1 if scale.dim() == 3 else 0)


def _through_bfloat16(good: Any, src: Any, dst: Any, a: Any, b: Any, stream: Any) -> None:
    """From codes to codes by way of a cache of bfloat16."""
    good(src, dst, src_scale=a, dst_scale=b, stream=stream)
    if src.dtype.itemsize == dst.dtype.itemsize == 1 and src.layout == "L | K B S H D":
        halfway = KVCache(
            [torch.empty_like(t, dtype=torch.bfloat16) for t in src.tensors], src.layout
        )
        good(src, halfway, src_scale=a, stream=stream)
        good(halfway, dst, dst_scale=b, stream=stream)


def _float16_saturated(good: Any, src: Any, dst: Any, a: Any, b: Any, stream: Any) -> None:
    good(src, dst, src_scale=a, dst_scale=b, stream=stream)
    if dst.dtype == torch.float16:
        for tensor in dst.tensors:
            tensor.clamp_(-65504, 65504)


def _overlap_unsaid(good: Any, src: Any, dst: Any, a: Any, b: Any, stream: Any) -> None:
    try:
        good(src, dst, src_scale=a, dst_scale=b, stream=stream)
    except OverlapError:
        return


def _not_awaited(good: Any, src: Any, dst: Any, a: Any, b: Any, stream: Any) -> None:
    default = accel.get_backend("cpu").streams.default()
    good(src, dst, src_scale=a, dst_scale=b, stream=default if stream is not None else None)


PATTERNS = "L2-kv::quantized_every_pattern"
TIES = "L2-kv::quantized_ties"

DEFECTS = (
    Defect(
        "quantized-multiplies", (f"{PATTERNS}[0.37-*]", "L2-kv::quantized_scales[*-head]"),
        kv=_scales(_inverse),
    ),
    Defect("quantized-truncates", (f"{TIES}[*e4m3*]", f"{TIES}[*int8]"), kv=_codes(_truncated)),
    Defect("quantized-ties-away", (f"{TIES}[*e5m2]", f"{TIES}[*int8]"), kv=_codes(_ties_away)),
    Defect(
        "quantized-overflows", (f"{PATTERNS}[*e4m3*]", f"{PATTERNS}[*e5m2]"),
        kv=_codes(_overflowing),
    ),
    Defect("quantized-nan-lost", (f"{PATTERNS}[*e4m3*]", f"{TIES}[*e5m2]"), kv=_codes(_nan_lost)),
    Defect("quantized-nan-signed", (f"{PATTERNS}[*e4m3*]",), kv=_codes(_signed_nan)),
    Defect("quantized-flushes", (f"{PATTERNS}[*e4m3*]", f"{TIES}[*e5m2]"), kv=_codes(_flushed)),
    Defect("quantized-zero-unsigned", (f"{PATTERNS}[*]",), kv=_codes(_zero_unsigned)),
    Defect("quantized-by-reciprocal", (f"{TIES}[49.0-*]",), kv=_codes(_by_reciprocal)),
    Defect("quantized-in-bfloat16", (f"{PATTERNS}[0.37-bfloat16-*]",), kv=_codes(_in_its_dtype)),
    Defect(
        "quantized-head-shifted",
        ("L2-kv::quantized_layout[vllm_hnd]", "L2-kv::quantized_two_axes"),
        kv=_scales(_next_head),
    ),
    Defect(
        "quantized-first-head", ("L2-kv::quantized_scales[*-token-and-head]",),
        kv=_scales(_first_head),
    ),
    Defect(
        "quantized-scale-by-slot", ("L2-kv::quantized_slots[*run]", "L2-kv::quantized_many_tokens"),
        kv=_scales(_by_slot),
    ),
    Defect(
        "quantized-scale-of-kept",
        ("L2-kv::quantized_slots[*-padding]", "L2-kv::quantized_scales_of_padding"),
        kv=_scales(_of_kept),
    ),
    Defect(
        "quantized-keys-scale",
        ("L2-kv::quantized_scales[*-head]", "L2-kv::quantized_latent_and_rope[*]"),
        kv=_write(_keys_scale),
    ),
    Defect(
        "quantized-padding-written", ("L2-kv::quantized_slots[*all-padding]",),
        kv=_write(_padding_written),
    ),
    Defect(
        "quantized-bad-scales",
        ("L2-kv::quantized_refused[*nan*]", "L2-kv::quantized_refused[*zero*]"),
        kv=_write(_unsaid),
    ),
    Defect(
        "quantized-one-scale", ("L2-kv::quantized_refused[*value-scale-missing*]",),
        kv=_write(_one_will_do),
    ),
    Defect(
        "quantized-scales-read-late", ("L2-kv::quantized_scales_are_read_at_the_call[*]",),
        kv=_write(_scales_read_late),
    ),
    Defect("quantized-stream-ignored", ("L2-kv::quantized_between_two_copies",), kv=_write(_now)),
    Defect(
        "convert-src-scale", ("L2-kv::convert_dtypes[*e4m3fn-bfloat16]",),
        kv=_convert(_without_src_scale),
    ),
    Defect(
        "convert-last-layer", ("L2-kv::convert_layouts[*]", "L2-kv::convert_shape[llama*]"),
        kv=_convert(_but_the_last_layer),
    ),
    Defect(
        "convert-scales-of-first-layer", ("L2-kv::convert_scales[layer-*]",),
        kv=_scale_changed(_first_layers),
    ),
    Defect(
        "convert-planes-swapped",
        ("L2-kv::convert_scales[plane-*]", "L2-kv::convert_paged_pair[*]"),
        kv=_scale_changed(_planes_swapped),
    ),
    Defect(
        "convert-through-bfloat16", ("L2-kv::convert_scales[layer-*]",),
        kv=_convert(_through_bfloat16),
    ),
    Defect(
        "convert-float16-saturates", ("L2-kv::convert_dtypes[bfloat16-float16]",),
        kv=_convert(_float16_saturated),
    ),
    Defect(
        "convert-overlap-unsaid", ("L2-kv::convert_refused[*bytes]",),
        kv=_convert(_overlap_unsaid),
    ),
    Defect(
        "convert-stream-ignored", ("L2-kv::convert_in_stream_order",), kv=_convert(_not_awaited)
    ),
)  # fmt: skip
