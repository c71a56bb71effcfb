"""Numbers of every dtype as float32 and back, by looking for the nearest one.

The 256 fp8 values are written out from their bits, and a value's code is found among them: there
is no rounding here that could be wrong in the same way as that of a kernel.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["from_float32", "to_float32"]

#: (exponent bits, mantissa bits, bias, code of the largest finite value)
_FORMATS = {"float8_e4m3fn": (4, 3, 7, 0x7E), "float8_e5m2": (5, 2, 15, 0x7B)}
_NAN = 0x7F


def to_float32(values: torch.Tensor) -> torch.Tensor:
    """Every element as float32, exactly."""
    import torch

    name = str(values.dtype).removeprefix("torch.")
    if name not in _FORMATS:
        return values.float()
    codes = values.contiguous().view(torch.uint8)
    return _all_values(name)[codes.long()]


def from_float32(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Rounded to nearest even, as :class:`~accel.providers.KVConvert` says."""
    import torch

    name = str(dtype).removeprefix("torch.")
    if name == "int8":
        rounded = torch.where(torch.isnan(x), torch.zeros_like(x), x).round()
        return rounded.clamp(-128, 127).to(torch.int8)
    if name not in _FORMATS:
        return x.to(dtype)
    largest = _FORMATS[name][3]
    # Halfway values of float64 are exact; what lies on one goes to the even of its neighbours.
    positive = _all_values(name)[: largest + 1].double()
    halfway = (positive[1:] + positive[:-1]) / 2
    magnitude = torch.where(torch.isnan(x), torch.zeros_like(x), x).abs().double()
    below = torch.searchsorted(halfway, magnitude.contiguous(), right=False)
    above = torch.searchsorted(halfway, magnitude.contiguous(), right=True)
    codes = torch.where(below % 2 == 0, below, above)
    codes = codes + 0x80 * torch.signbit(x)
    codes[torch.isnan(x)] = _NAN
    return codes.to(torch.uint8).view(dtype)


@lru_cache
def _all_values(name: str) -> torch.Tensor:
    """The value of each code, ``[256]`` float32."""
    import torch

    exponent_bits, mantissa_bits, bias, largest = _FORMATS[name]
    out = []
    for code in range(256):
        exponent = code >> mantissa_bits & (1 << exponent_bits) - 1
        mantissa = (code & (1 << mantissa_bits) - 1) / (1 << mantissa_bits)
        if code & 0x7F <= largest:
            power = 2.0 ** (max(exponent, 1) - bias)
            value = power * (mantissa + (1.0 if exponent else 0.0))
        else:
            has_infinity = name == "float8_e5m2" and code & 0x7F == largest + 1
            value = float("inf" if has_infinity else "nan")
        out.append(-value if code & 0x80 else value)
    return torch.tensor(out)
