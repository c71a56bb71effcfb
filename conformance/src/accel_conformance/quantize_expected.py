"""What quantize and dequantize must give, worked out in float64 and integers.

Every float32 operation of the contract is one float64 operation on float32 values and one rounding
that is written out here: float64 has more than twice float32's digits and two more, so the result
is what a single rounding gives. No conversion or rounding of torch's is trusted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from accel.kv import QuantSpec

__all__ = ["FORMATS", "Format", "expect_dequantized", "expect_quantized", "round_to_format"]


@dataclass(frozen=True)
class Format:
    """A binary floating-point format.

    Attributes:
        digits: of the significand, the leading one included.
        least: the exponent of the smallest positive number.
        largest: the largest finite number.
    """

    digits: int
    least: int
    largest: float


FORMATS: dict[str, Format] = {
    "float32": Format(24, -149, 2.0**127 * (2 - 2.0**-23)),
    "float16": Format(11, -24, 65504.0),
    "bfloat16": Format(8, -133, 2.0**127 * (2 - 2.0**-7)),
    "float8_e4m3fn": Format(4, -9, 448.0),
    "float8_e5m2": Format(3, -16, 57344.0),
}


def round_to_format(values: torch.Tensor, name: str) -> torch.Tensor:
    """float64 ``values`` rounded to the nearest of a format, ties to even; too large is infinite.

    Zeros keep the sign of what they come from, NaNs and infinities stay.
    """
    form = FORMATS[name]
    finite = values.isfinite()
    known = values.where(finite, 1.0)
    # The exponent is in the bits; zero and float64's own subnormals get the format's least.
    exponent = ((known.view(torch.int64) >> 52) & 0x7FF) - 1023
    unit = _power_of_two((exponent - (form.digits - 1)).clamp(min=form.least))
    rounded = _nearest_integer(known / unit) * unit
    rounded = rounded.where(rounded.abs() <= form.largest, rounded.sign() * torch.inf)
    return torch.copysign(rounded, known).where(finite, values)


def expect_quantized(
    x: torch.Tensor, spec: QuantSpec
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """The codes (in their own dtype), scales and offsets (float32) of ``x``, all on the host."""
    values = _by_scale(x.double(), spec)
    finite = values.isfinite()
    some = finite.any(-1)
    top, bottom = (
        _reduce(values.where(finite, filler), filler).where(some, 0.0)
        for filler in (-torch.inf, torch.inf)
    )
    offset = None
    if spec.symmetric:
        width = torch.maximum(top.abs(), bottom.abs())
    else:
        offset = bottom.where(bottom != 0, 0.0)
        width = round_to_format(top - offset, "float32")
        width = width.clamp(max=FORMATS["float32"].largest)
    scale = round_to_format(width / spec.steps, "float32")
    scale = scale.where(scale > 0, 1.0)
    if offset is not None:
        values = round_to_format(values - offset.unsqueeze(-1), "float32")
    steps = round_to_format(values / scale.unsqueeze(-1), "float32")
    steps = _by_token(steps, spec).reshape(x.shape)
    return (
        _float_codes(steps, spec) if spec.is_float else _integer_codes(steps, spec),
        scale.to(torch.float32),
        None if offset is None else offset.to(torch.float32),
    )


def expect_dequantized(
    codes: torch.Tensor,
    scales: torch.Tensor,
    offsets: torch.Tensor | None,
    spec: QuantSpec,
    dtype: torch.dtype,
) -> torch.Tensor:
    """The values of ``codes`` in ``dtype``; NaNs have no particular payload."""
    read = _read_float_codes(codes, spec) if spec.is_float else _read_integer_codes(codes, spec)
    values = _by_scale(read, spec)
    values = round_to_format(values * scales.double().unsqueeze(-1), "float32")
    if offsets is not None:
        values = round_to_format(values + offsets.double().unsqueeze(-1), "float32")
    name = str(dtype).removeprefix("torch.")
    return round_to_format(_by_token(values, spec).reshape(read.shape), name).to(dtype)


def _by_scale(values: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
    """With what shares a scale as the last axis."""
    if spec.axis == "channel":
        return values.transpose(-1, -2)
    if spec.axis == "group":
        groups = values.shape[-1] // spec.group_size
        return values.reshape(*values.shape[:-1], groups, spec.group_size)
    return values


def _by_token(values: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
    return values.transpose(-1, -2) if spec.axis == "channel" else values


def _reduce(values: torch.Tensor, empty: float) -> torch.Tensor:
    """The largest along the last axis, or, where nothing is infinity, the smallest."""
    if values.shape[-1] == 0:
        return torch.full(values.shape[:-1], empty, dtype=values.dtype)
    return values.max(-1).values if empty < 0 else values.min(-1).values


def _integer_codes(steps: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
    span = 1024.0  # wider than any range of codes; infinities become finite
    whole = _nearest_integer(steps.nan_to_num(0.0).clamp(-span, span)).to(torch.int64) + spec.zero
    codes = torch.minimum(torch.maximum(whole, _int(spec.lowest)), _int(spec.highest))
    if spec.dtype == "int4":
        pairs = (codes & 15).reshape(*codes.shape[:-1], codes.shape[-1] // 2, 2)
        codes = pairs[..., 0] + 16 * pairs[..., 1]
    elif spec.dtype == "int8":
        return (codes & 255).to(torch.uint8).view(torch.int8)
    return codes.to(torch.uint8)


def _float_codes(steps: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
    largest = FORMATS[spec.dtype].largest
    near = round_to_format(steps.clamp(-largest, largest), spec.dtype).abs()
    table = _float_table(spec.dtype)
    table = table[table <= largest]  # NaN and infinity fall away
    codes = torch.searchsorted(table, near.nan_to_num(0.0).contiguous())
    codes = codes + 128 * torch.signbit(steps).to(torch.int64)
    codes = codes.where(~steps.isnan(), _int(0x7F))
    return codes.to(torch.uint8).view(spec.codes_dtype)


def _read_integer_codes(codes: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
    raw = codes.contiguous().view(torch.uint8).to(torch.int64)
    if spec.dtype == "int4":
        raw = torch.stack([raw % 16, raw // 16], -1).flatten(-2)
        raw = raw - 16 * (raw >= 8).to(torch.int64)
    elif spec.dtype == "int8":
        raw = raw - 256 * (raw >= 128).to(torch.int64)
    return (raw - spec.zero).double()


def _read_float_codes(codes: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
    raw = codes.contiguous().view(torch.uint8).to(torch.int64)
    value = _float_table(spec.dtype)[raw % 128]
    return torch.where(raw >= 128, -value, value)


def _float_table(dtype: str) -> torch.Tensor:
    """What the codes 0 to 127 mean: OCP 8-bit floating point, E4M3 and E5M2."""
    code = torch.arange(128)
    fraction_bits, bias = (3, 7) if dtype == "float8_e4m3fn" else (2, 15)
    fraction, exponent = code % (1 << fraction_bits), code >> fraction_bits
    normal = (exponent > 0).to(torch.int64)
    significand = (fraction + (normal << fraction_bits)).double()
    value = significand * _power_of_two(torch.maximum(exponent, _int(1)) - bias - fraction_bits)
    if dtype == "float8_e4m3fn":
        value[127] = torch.nan
    else:
        value[124:] = torch.tensor([torch.inf, torch.nan, torch.nan, torch.nan])
    return value


def _power_of_two(exponent: torch.Tensor) -> torch.Tensor:
    """Exact, by its bits."""
    return ((exponent + 1023) << 52).view(torch.float64)


def _nearest_integer(values: torch.Tensor) -> torch.Tensor:
    """To nearest, ties to even, for float64 of any size."""
    below = values.floor()
    rest = values - below
    odd = below % 2 != 0
    return below + ((rest > 0.5) | ((rest == 0.5) & odd)).double()


def _int(value: int) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.int64)
