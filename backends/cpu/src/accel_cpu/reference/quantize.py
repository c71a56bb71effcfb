"""Quantising by torch's float32 operators, one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel.kv import QuantSpec
from accel.kv.quantize_arguments import check_dequantize, check_quantize, check_spec
from accel.providers.kv_quantize import KVQuantize

from .streams import check_stream

if TYPE_CHECKING:
    import torch

    from accel.providers import Stream

__all__ = ["ReferenceKVQuantize"]

_HOST = ("cpu",)
_NAN_CODE = 0x7F


class ReferenceKVQuantize(KVQuantize):
    """The oracle: what shares a scale becomes the last axis, and the docstring is followed."""

    def quantize(
        self,
        x: torch.Tensor,
        codes: torch.Tensor,
        scales: torch.Tensor,
        offsets: torch.Tensor | None = None,
        *,
        spec: QuantSpec,
        stream: Stream | None = None,
    ) -> None:
        check_stream(stream)
        spec = check_spec(spec)
        check_quantize(x, codes, scales, offsets, spec, _HOST)
        values = _sharing(x.detach().float(), spec)
        scale, offset = _scale_and_offset(values, spec)
        scaled = values if offset is None else values - offset[..., None]
        scaled = scaled / scale[..., None]
        unshared = _unshared(scaled, spec).reshape(x.shape)
        made = _float_codes(unshared, spec) if spec.is_float else _integer_codes(unshared, spec)
        codes.detach().copy_(_packed(made) if spec.dtype == "int4" else made)
        scales.detach().copy_(scale)
        if offsets is not None and offset is not None:
            offsets.detach().copy_(offset)

    def dequantize(
        self,
        codes: torch.Tensor,
        scales: torch.Tensor,
        offsets: torch.Tensor | None,
        out: torch.Tensor,
        *,
        spec: QuantSpec,
        stream: Stream | None = None,
    ) -> None:
        check_stream(stream)
        spec = check_spec(spec)
        check_dequantize(codes, scales, offsets, out, spec, _HOST)
        unpacked = _unpacked(codes) if spec.dtype == "int4" else codes
        values = _sharing(unpacked.float() - spec.zero, spec) * scales.detach()[..., None]
        if offsets is not None:
            values = values + offsets.detach()[..., None]
        out.detach().copy_(_unshared(values, spec).reshape(out.shape))


def _sharing(values: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
    """``[..., tokens, channels]`` as ``[*spec.scales_shape, values that share a scale]``."""
    if spec.axis == "channel":
        return values.transpose(-1, -2)
    if spec.axis == "group":
        groups = values.shape[-1] // spec.group_size
        return values.reshape(*values.shape[:-1], groups, spec.group_size)
    return values


def _unshared(values: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
    """The inverse of :func:`_sharing`, but for the shape of groups."""
    return values.transpose(-1, -2) if spec.axis == "channel" else values


def _scale_and_offset(
    values: torch.Tensor, spec: QuantSpec
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Of the finite values along the last axis."""
    import torch

    finite = values.isfinite()
    # A column of its own for the ranges of nothing; it is never an end of another range.
    none = ~finite.any(-1, keepdim=True)
    low = torch.cat([values.where(finite, torch.inf), torch.where(none, 0.0, torch.inf)], -1)
    high = torch.cat([values.where(finite, -torch.inf), torch.where(none, 0.0, -torch.inf)], -1)
    low, high = low.amin(-1), high.amax(-1)
    if spec.symmetric:
        offset = None
        width = torch.maximum(high, -low)
    else:
        offset = torch.where(low == 0, 0.0, low)
        width = (high - offset).clamp(max=torch.finfo(torch.float32).max)
    scale = width / spec.steps
    return torch.where(scale > 0, scale, 1.0), offset


def _integer_codes(scaled: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
    import torch

    rounded = scaled.round() + spec.zero
    saturated = rounded.clamp(spec.lowest, spec.highest)
    codes = torch.where(scaled.isnan(), float(spec.zero), saturated)
    return codes.to(torch.int8 if spec.dtype == "int4" else spec.codes_dtype)


def _float_codes(scaled: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
    """Clamped before the conversion: torch's own overflows differ between dtypes and releases."""
    import torch

    saturated = scaled.clamp(-spec.steps, spec.steps).nan_to_num(0.0)
    bits = saturated.to(spec.codes_dtype).view(torch.uint8)
    return torch.where(scaled.isnan(), _NAN_CODE, bits).view(spec.codes_dtype)


def _packed(codes: torch.Tensor) -> torch.Tensor:
    import torch

    nibbles = codes.view(torch.uint8) & 0xF
    return nibbles[..., 0::2] | (nibbles[..., 1::2] << 4)


def _unpacked(codes: torch.Tensor) -> torch.Tensor:
    import torch

    nibbles = torch.stack([codes & 0xF, codes >> 4], -1).flatten(-2).to(torch.int8)
    return torch.where(nibbles > 7, nibbles - 16, nibbles)
