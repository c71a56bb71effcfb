"""Defects of quantising and back."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable
from typing import Any

import torch

import accel
from accel.errors import ArgumentError, OverlapError
from accel.kv import QuantSpec

from .defect import Defect
from .wrapping import WrappedKV, raw

__all__ = ["DEFECTS"]


def _quantize(change: Callable[..., None]) -> Any:
    """Kernels whose quantize is ``change``, given the good kernels and the arguments."""

    def quantize(
        self: Any, x: Any, codes: Any, scales: Any, offsets: Any = None, *, spec: Any,
        stream: Any = None,
    ) -> None:  # fmt: skip
        change(self.inner, x, codes, scales, offsets, spec, raw(stream))

    return type("BrokenQuantize", (WrappedKV,), {"quantize": quantize})


def _dequantize(change: Callable[..., None]) -> Any:
    """The same for dequantize."""

    def dequantize(
        self: Any, codes: Any, scales: Any, offsets: Any, out: Any, *, spec: Any,
        stream: Any = None,
    ) -> None:  # fmt: skip
        change(self.inner, codes, scales, offsets, out, spec, raw(stream))

    return type("BrokenDequantize", (WrappedKV,), {"dequantize": dequantize})


def _good(kv: Any, x: Any, codes: Any, scales: Any, offsets: Any, spec: Any, stream: Any) -> None:
    kv.quantize(x, codes, scales, offsets, spec=spec, stream=stream)


def _good_back(
    kv: Any, codes: Any, scales: Any, offsets: Any, out: Any, spec: Any, stream: Any
) -> None:
    kv.dequantize(codes, scales, offsets, out, spec=spec, stream=stream)


def _by_own_codes(codes_of: Callable[[torch.Tensor, QuantSpec], torch.Tensor]) -> Any:
    """The good scales, with int8 codes made another way from ``(x - offset) / scale``."""

    def change(
        kv: Any, x: Any, codes: Any, scales: Any, offsets: Any, spec: Any, stream: Any
    ) -> None:
        _good(kv, x, codes, scales, offsets, spec, stream)
        if stream is None and spec.dtype == "int8" and spec.axis == "token" and x.numel():
            value = x.float() if offsets is None else x.float() - offsets[..., None]
            codes.copy_(codes_of(value / scales[..., None], spec))

    return _quantize(change)


def _half_up(steps: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
    rounded = (steps + 0.5).floor() + spec.zero
    return rounded.clamp(spec.lowest, spec.highest).nan_to_num(float(spec.zero)).to(torch.int8)


def _truncating(steps: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
    rounded = steps.trunc() + spec.zero
    return rounded.clamp(spec.lowest, spec.highest).nan_to_num(float(spec.zero)).to(torch.int8)


def _nan_is_lowest(steps: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
    rounded = steps.round() + spec.zero
    lowest = float(spec.lowest)
    return rounded.nan_to_num(lowest).clamp(spec.lowest, spec.highest).to(torch.int8)


def _by_reciprocal(
    kv: Any, x: Any, codes: Any, scales: Any, offsets: Any, spec: Any, stream: Any
) -> None:
    _good(kv, x, codes, scales, offsets, spec, stream)
    if stream is None and spec.dtype == "int8" and spec.axis == "token" and offsets is None:
        steps = x.float() * (1.0 / scales)[..., None]
        made = steps.round().clamp(spec.lowest, spec.highest)
        codes.copy_(made.nan_to_num(0.0).to(torch.int8))


def _range_with_infinities(
    kv: Any, x: Any, codes: Any, scales: Any, offsets: Any, spec: Any, stream: Any
) -> None:
    _good(kv, x, codes, scales, offsets, spec, stream)
    if stream is None and spec.axis == "token" and offsets is None:
        scales.copy_(x.float().abs().nan_to_num(0.0, torch.inf).amax(-1) / spec.steps)


def _zero_scale(
    kv: Any, x: Any, codes: Any, scales: Any, offsets: Any, spec: Any, stream: Any
) -> None:
    _good(kv, x, codes, scales, offsets, spec, stream)
    if stream is None and spec.axis == "token" and x.numel():
        scales[(x == 0).all(-1)] = 0.0


def _zero_of_either_sign(
    kv: Any, x: Any, codes: Any, scales: Any, offsets: Any, spec: Any, stream: Any
) -> None:
    _good(kv, x, codes, scales, offsets, spec, stream)
    if stream is None and offsets is not None and spec.axis == "token" and x.shape[-1]:
        negative = torch.signbit(x).any(-1) & (offsets == 0)
        offsets.copy_(torch.where(negative, -0.0, offsets))


def _range_of_the_first_tokens(
    kv: Any, x: Any, codes: Any, scales: Any, offsets: Any, spec: Any, stream: Any
) -> None:
    _good(kv, x, codes, scales, offsets, spec, stream)
    if stream is None and spec.axis == "channel" and x.shape[-2] > 256:
        _good(kv, x[..., :256, :], codes[..., :256, :], scales, offsets, spec, None)


def _groups_of_one_size(
    kv: Any, x: Any, codes: Any, scales: Any, offsets: Any, spec: Any, stream: Any
) -> None:
    _good(kv, x, codes, scales, offsets, spec, stream)
    if stream is None and spec.axis == "group" and x.shape[-1] > spec.group_size:
        # The last group by the scale of the one before.
        scales[..., -1] = scales[..., -2]


def _all_bins(
    kv: Any, x: Any, codes: Any, scales: Any, offsets: Any, spec: Any, stream: Any
) -> None:
    _good(kv, x, codes, scales, offsets, spec, stream)
    if stream is None and spec.dtype == "uint8" and spec.symmetric and spec.bins % 2 == 0:
        infinite = x.float() == torch.inf
        codes[infinite] = spec.bins - 1


def _overflowing(
    kv: Any, x: Any, codes: Any, scales: Any, offsets: Any, spec: Any, stream: Any
) -> None:
    _good(kv, x, codes, scales, offsets, spec, stream)
    if stream is None and spec.dtype == "float8_e5m2":
        bytes_ = codes.view(torch.uint8)
        infinite = x.float().isinf()
        bytes_[infinite] = (bytes_[infinite] & 0x80) | 0x7C


def _nibbles_swapped(
    kv: Any, x: Any, codes: Any, scales: Any, offsets: Any, spec: Any, stream: Any
) -> None:
    _good(kv, x, codes, scales, offsets, spec, stream)
    if stream is None and spec.dtype == "int4":
        codes.copy_((codes << 4) | (codes >> 4))


def _as_if_contiguous(
    kv: Any, x: Any, codes: Any, scales: Any, offsets: Any, spec: Any, stream: Any
) -> None:
    plain = isinstance(x, torch.Tensor) and x.device.type == "cpu" and x.dim() > 1
    if plain and not x.is_contiguous() and 0 not in x.stride() and x.layout is torch.strided:
        room = x.untyped_storage().nbytes() // x.element_size() - x.storage_offset()
        if room >= x.numel():
            x = x.as_strided(x.shape, torch.empty(x.shape, device="meta").stride())
    _good(kv, x, codes, scales, offsets, spec, stream)


def _stream_ignored(
    kv: Any, x: Any, codes: Any, scales: Any, offsets: Any, spec: Any, stream: Any
) -> None:
    default = accel.get_backend("cpu").streams.default()
    _good(kv, x, codes, scales, offsets, spec, default if stream is not None else None)


def _not_kept(
    kv: Any, x: Any, codes: Any, scales: Any, offsets: Any, spec: Any, stream: Any
) -> None:
    if stream is None or not isinstance(x, torch.Tensor) or codes.shape != x.shape:
        _good(kv, x, codes, scales, offsets, spec, stream)
        return
    mine = weakref.ref(x)

    def run() -> None:
        alive = mine()
        if alive is not None:
            _good(kv, alive, codes, scales, offsets, spec, None)

    stream.add_callback(run)


def _swallowing(error: type[Exception]) -> Any:
    def change(
        kv: Any, x: Any, codes: Any, scales: Any, offsets: Any, spec: Any, stream: Any
    ) -> None:
        try:
            _good(kv, x, codes, scales, offsets, spec, stream)
        except error:
            return

    return _quantize(change)


def _scales_before_checking(
    kv: Any, x: Any, codes: Any, scales: Any, offsets: Any, spec: Any, stream: Any
) -> None:
    try:
        _good(kv, x, codes, scales, offsets, spec, stream)
    except ArgumentError:
        if isinstance(scales, torch.Tensor) and scales.device.type == "cpu":
            scales.zero_()
        raise


def _zero_forgotten(
    kv: Any, codes: Any, scales: Any, offsets: Any, out: Any, spec: Any, stream: Any
) -> None:
    if isinstance(spec, QuantSpec) and spec.dtype == "uint8" and spec.symmetric:
        bins = max(3, spec.bins - 2)
        spec = dataclasses.replace(spec, bins=bins)
    _good_back(kv, codes, scales, offsets, out, spec, stream)


def _unsigned_nibbles(
    kv: Any, codes: Any, scales: Any, offsets: Any, out: Any, spec: Any, stream: Any
) -> None:
    _good_back(kv, codes, scales, offsets, out, spec, stream)
    if stream is None and spec.dtype == "int4" and spec.axis == "token" and spec.symmetric:
        pairs = torch.stack([codes & 15, codes >> 4], -1).flatten(-2).float()
        out.copy_(pairs * scales[..., None])


def _fused(
    kv: Any, codes: Any, scales: Any, offsets: Any, out: Any, spec: Any, stream: Any
) -> None:
    """Multiply and add with one rounding, as a compiler may do it."""
    _good_back(kv, codes, scales, offsets, out, spec, stream)
    if stream is None and offsets is not None and spec.dtype == "int8" and spec.axis == "token":
        product = (codes.double() - spec.zero) * scales.double()[..., None]
        out.copy_((product + offsets.double()[..., None]).float())


def _gaps_written(
    kv: Any, codes: Any, scales: Any, offsets: Any, out: Any, spec: Any, stream: Any
) -> None:
    _good_back(kv, codes, scales, offsets, out, spec, stream)
    rows = stream is None and out.dim() > 1 and out.numel() and out.stride(-1) == 1
    if rows and out.stride(-2) > out.shape[-1]:
        after = out.as_strided((1,), (1,), out.storage_offset() + out.shape[-1])
        after.view(torch.int16).bitwise_xor_(1)


INT8 = "L2-kv::quantize[int8-token-*]"

DEFECTS = (
    Defect("half-rounds-up", ("L2-kv::quantize_ties[int8-*-token]",), kv=_by_own_codes(_half_up)),
    Defect("truncates", (INT8,), kv=_by_own_codes(_truncating)),
    Defect(
        "nan-is-the-lowest-code", ("L2-kv::quantize_hard_values[nan-bfloat16]",),
        kv=_by_own_codes(_nan_is_lowest),
    ),
    Defect(
        "multiplies-by-the-reciprocal", ("L2-kv::quantize_near_ties[int8-token]",),
        kv=_quantize(_by_reciprocal),
    ),
    Defect(
        "infinities-in-the-range", ("L2-kv::quantize_hard_values[infinities-*]",),
        kv=_quantize(_range_with_infinities),
    ),
    Defect(
        "scale-of-zero", ("L2-kv::quantize_hard_values[zero-float32]",), kv=_quantize(_zero_scale)
    ),
    Defect(
        "offset-of-minus-zero", ("L2-kv::quantize_hard_values[zeros-of-both-signs-*]",),
        kv=_quantize(_zero_of_either_sign),
    ),
    Defect(
        "range-of-some-tokens", ("L2-kv::quantize_many[channel-*-quantize]",),
        kv=_quantize(_range_of_the_first_tokens),
    ),
    Defect(
        "last-group-forgotten", ("L2-kv::quantize_groups[*-quantize]",),
        kv=_quantize(_groups_of_one_size),
    ),
    Defect(
        "unused-bin-used", ("L2-kv::quantize_hard_values[infinities-*]",), kv=_quantize(_all_bins)
    ),
    Defect(
        "fp8-overflows", ("L2-kv::quantize_hard_values[infinities-*]",), kv=_quantize(_overflowing)
    ),
    Defect(
        "nibbles-swapped", ("L2-kv::quantize[int4-token-*]",), kv=_quantize(_nibbles_swapped)
    ),
    Defect(
        "quantize-strides-lost", ("L2-kv::quantize_strides[swapped-*-quantize]",),
        kv=_quantize(_as_if_contiguous),
    ),
    Defect(
        "quantize-stream-ignored", ("L2-kv::quantize_between_two_copies[quantize]",),
        kv=_quantize(_stream_ignored),
    ),
    Defect(
        "quantize-keeps-nothing", ("L2-kv::quantize_keeps_operands[quantize]",),
        kv=_quantize(_not_kept),
    ),
    Defect(
        "quantize-overlap-unsaid",
        ("L2-kv::quantize_refused_overlap[*-quantize]", "L2-kv::quantize_refused_expanded[codes]"),
        kv=_swallowing(OverlapError),
    ),
    Defect(
        "quantize-writes-before-checking", ("L2-kv::quantize_refused[codes-*-quantize]",),
        kv=_quantize(_scales_before_checking),
    ),
    Defect(
        "zero-code-forgotten", ("L2-kv::dequantize[uint8x33-token-symmetric-*]",),
        kv=_dequantize(_zero_forgotten),
    ),
    Defect(
        "nibbles-unsigned", ("L2-kv::dequantize[int4-token-symmetric-*]",),
        kv=_dequantize(_unsigned_nibbles),
    ),
    Defect(
        "multiply-add-fused", ("L2-kv::dequantize[int8-token-asymmetric-float32]",),
        kv=_dequantize(_fused),
    ),
    Defect(
        "dequantize-writes-gaps", ("L2-kv::quantize_strides[rows-*-dequantize]",),
        kv=_dequantize(_gaps_written),
    ),
)  # fmt: skip
