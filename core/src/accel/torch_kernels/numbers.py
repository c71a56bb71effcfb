"""fp8, int8 and float numbers as float32 and back, by integer arithmetic on their bits.

NPUs have no fp8 dtypes, so codes are uint8 here, and int8 codes too are made as bytes. Rounding is
to nearest even: float32 addition rounds so, and adding ``2**23`` units of the last place wanted
leaves the rounded number in the low bits (for numbers that may be negative, one and a half times
that).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

__all__ = ["elements", "from_float32", "rounded", "to_float32"]

_INFINITY = 0x7F800000  #: bits of float32; what is above is NaN
_NAN = 0x7FC00000
_NAN_CODE = 0x7F


class _Format(NamedTuple):
    mantissa_bits: int
    bias: int
    largest: int  #: code of the largest finite value
    magic: float  #: 2**23 units of the last place of subnormal codes
    magic_bits: int


_FORMATS = {
    "float8_e4m3fn": _Format(3, 7, 0x7E, 2.0**14, 0x46800000),
    "float8_e5m2": _Format(2, 15, 0x7B, 2.0**7, 0x43000000),
}


def elements(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory as integers of the elements' size, which every device moves bit for bit."""
    import torch

    tensor = tensor.detach()
    if tensor.is_conj() or tensor.is_neg():
        tensor = tensor.resolve_conj().resolve_neg()
    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    kind = kinds.get(tensor.element_size())
    return tensor if kind is None else tensor.view(kind)


def to_float32(bits: torch.Tensor, dtype: str) -> torch.Tensor:
    """float32 of integers as :func:`elements` gives them (``dtype`` is torch's name for them)."""
    import torch

    if dtype == "float32":
        return bits.view(torch.float32)
    if dtype == "bfloat16":
        return (bits.int() << 16).view(torch.float32)
    if dtype == "float16":
        return bits.view(torch.float16).float()
    if dtype == "int8":
        return bits.view(torch.int8).float()
    form = _FORMATS[dtype]
    code = bits.int()
    low = code & 0x7F
    exponent, mantissa = low >> form.mantissa_bits, low & ((1 << form.mantissa_bits) - 1)
    shift = 23 - form.mantissa_bits
    normal = ((exponent + (127 - form.bias)) << 23) | (mantissa << shift)
    unit = 2.0 ** (1 - form.bias - form.mantissa_bits)
    subnormal = (mantissa.float() * unit).view(torch.int32)
    made = torch.where(exponent == 0, subnormal, normal)
    above = low > form.largest
    if dtype == "float8_e5m2":
        special = torch.where(mantissa == 0, _INFINITY, _NAN).int()
    else:
        special = torch.full_like(low, _NAN)
    made = torch.where(above, special, made)
    return (made | ((code & 0x80) << 24)).view(torch.float32)


def from_float32(x: torch.Tensor, dtype: str) -> torch.Tensor:
    """``x`` rounded to ``dtype`` as :class:`~accel.providers.KVConvert` says; integers of its size.

    float16 and bfloat16 are the device's own conversions, which round to nearest even.
    """
    import torch

    if dtype == "float32":
        return x.contiguous().view(torch.int32)
    if dtype in ("float16", "bfloat16"):
        return x.to(getattr(torch, dtype)).view(torch.int16)
    bits = x.contiguous().view(torch.int32)
    magnitude = bits & 0x7FFFFFFF
    nan = magnitude > _INFINITY
    if dtype == "int8":
        return rounded(torch.where(nan, 0.0, x).float(), -128, 127).to(torch.int8).view(torch.uint8)
    form = _FORMATS[dtype]
    shift = 23 - form.mantissa_bits
    finite = magnitude.clamp(max=_INFINITY)
    half = (1 << (shift - 1)) - 1
    normal = (finite + half + ((finite >> shift) & 1)) >> shift
    normal = (normal - ((127 - form.bias) << form.mantissa_bits)).clamp(max=form.largest)
    small = finite < ((128 - form.bias) << 23)
    subnormal = (finite.view(torch.float32) + form.magic).view(torch.int32) - form.magic_bits
    code = torch.where(small, subnormal, normal) | ((bits >> 24) & 0x80)
    return torch.where(nan, _NAN_CODE, code).to(torch.uint8)


def rounded(x: torch.Tensor, lowest: int, highest: int) -> torch.Tensor:
    """int32 of float32 numbers that are not NaN, to nearest even, saturated; bounds below 2**21."""
    import torch

    held = x.clamp(float(lowest), float(highest))
    return (held + 12582912.0).view(torch.int32) - 0x4B400000
