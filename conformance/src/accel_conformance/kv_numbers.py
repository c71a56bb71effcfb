"""Numbers as the contract rounds them, in float64 arithmetic on multiples of the last place.

float64 holds every number of these dtypes, every product of two float32 numbers, and every quotient
precisely enough to round it to float32 once. Nothing here uses torch's conversions to the smaller
dtypes, nor accel's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

__all__ = ["CODES", "DTYPES", "VALUES", "is_nan", "number_bits", "number_values", "scaled"]

VALUES = (torch.float16, torch.bfloat16, torch.float32)
CODES = (torch.float8_e4m3fn, torch.float8_e5m2, torch.int8)
DTYPES = (*VALUES, *CODES)


class _Format(NamedTuple):
    """A binary floating-point format; ``saturates`` where there is nothing above the largest."""

    integer: torch.dtype  #: of its bits
    mantissa: int  #: bits
    least: int  #: exponent of the smallest normal number
    largest: float
    infinity: int  #: bits; of fp8, what is never stored
    nan: int  #: bits
    saturates: bool


_FORMATS = {
    torch.float16: _Format(torch.int16, 10, -14, 65504.0, 0x7C00, 0x7E00, False),
    torch.bfloat16: _Format(
        torch.int16, 7, -126, (2 - 2**-7) * 2.0**127, 0x7F80, 0x7FC0, False
    ),
    torch.float32: _Format(
        torch.int32, 23, -126, (2 - 2**-23) * 2.0**127, 0x7F800000, 0x7FC00000, False
    ),
    torch.float8_e4m3fn: _Format(torch.uint8, 3, -6, 448.0, 0x7F, 0x7F, True),
    torch.float8_e5m2: _Format(torch.uint8, 2, -14, 57344.0, 0x7C, 0x7F, True),
}  # fmt: skip


def number_values(bits: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The float64 values of numbers given as integers of the same size."""
    if dtype == torch.int8:
        return bits.view(torch.int8).double()
    form = _FORMATS[dtype]
    size = 8 * dtype.itemsize
    raw = bits.long() & (1 << size) - 1
    rest = raw & (1 << size - 1) - 1
    exponent, mantissa = rest >> form.mantissa, rest & (1 << form.mantissa) - 1
    normal = exponent > 0
    power = exponent.clamp(min=1) + (form.least - 1 - form.mantissa)
    value = torch.ldexp((mantissa + (normal.long() << form.mantissa)).double(), power)
    value[rest >= form.infinity] = float("nan")
    if dtype != torch.float8_e4m3fn:  # which has no infinity: the bits are a NaN
        value[rest == form.infinity] = float("inf")
    return torch.where(raw >> size - 1 == 1, -value, value)


def number_bits(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """float64 values rounded to nearest even as ``dtype`` has them: integers of the same size.

    NaN becomes one NaN; what is too large saturates or becomes infinite, as the contract says.
    """
    missing = torch.isnan(x)
    if dtype == torch.int8:
        whole = torch.where(missing, torch.zeros_like(x), x).clamp(-128, 127).round()
        return whole.to(torch.int8).view(torch.uint8)
    form = _FORMATS[dtype]
    size = torch.where(missing, torch.zeros_like(x), x).abs().clamp(max=2.0**200)
    places = torch.ldexp(size, form.mantissa - _exponent(size, form)).round()  # last places, whole
    size = torch.ldexp(places, _exponent(size, form) - form.mantissa)
    beyond = size > form.largest
    size = size.clamp(max=form.largest)
    exponent = _exponent(size, form)
    places = torch.ldexp(size, form.mantissa - exponent).long()
    hidden = 1 << form.mantissa
    bits = torch.where(
        places < hidden, places, (exponent - form.least + 1 << form.mantissa) + places - hidden
    )
    if not form.saturates:
        bits[beyond] = form.infinity
    bits = bits | torch.signbit(x).long() << 8 * dtype.itemsize - 1
    bits[missing] = form.nan
    return bits.to(form.integer)


def is_nan(bits: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Which of these numbers, given as integers, are NaN."""
    return torch.isnan(number_values(bits, dtype))


def scaled(
    x: torch.Tensor, multiply: torch.Tensor | None = None, divide: torch.Tensor | None = None
) -> torch.Tensor:
    """float64 values times and over float32 scales, each step rounded to float32, as float64.

    The scales must broadcast with ``x``.
    """
    if multiply is not None:
        x = (x * multiply.double()).float().double()
    if divide is not None:
        x = (x / divide.double()).float().double()
    return x


def _exponent(size: torch.Tensor, form: _Format) -> torch.Tensor:
    """Of the power of two at or below each size, or of the smallest normal number."""
    return (torch.frexp(size).exponent.long() - 1).clamp(min=form.least)
