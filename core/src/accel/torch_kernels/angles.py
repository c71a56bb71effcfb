"""Cosines and sines of a rotation's angle, exact to float32, on devices without float64.

Where positions are on the host, angles are formed there in float64, as the contract has them, once
for every different step, and travel as float32. Where positions are on the device, an angle is a
number of turns in 64-bit fixed point: ``step * inv_freq / (2 pi)`` modulo one turn is one
multiplication of integers that wraps around, whatever the position. The rest of an eighth of a
turn, in two floats, goes through the Taylor series, whose error is below float32's.

A rotation by a table of cosines and sines is the quotient of products of its rows, formed in pairs
of floats (T. J. Dekker, "A floating-point technique for extending the available precision", 1971).
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["fixed_turns", "host_angles", "series_angles", "table_angles"]

#: pi, rounded down at the 50th digit.
_PI = Fraction(314159265358979323846264338327950288419716939937510, 10**50)

_Pair = tuple["torch.Tensor", "torch.Tensor"]


def host_angles(steps: torch.Tensor, inv_freq: list[float]) -> _Pair:
    """Cosine and sine ``[steps, pairs]`` of int64 steps on the host."""
    import torch

    angle = steps.double()[:, None] * torch.tensor(inv_freq, dtype=torch.float64)
    return angle.cos().float(), angle.sin().float()


@lru_cache(maxsize=64)
def fixed_turns(inv_freq: tuple[float, ...]) -> tuple[int, ...]:
    """Turns per position modulo one, in units of ``2**-64``, as signed 64-bit numbers."""
    out = []
    for radians in inv_freq:
        units = round(Fraction(radians) / (2 * _PI) * 2**64) % 2**64
        out.append(units - 2**64 if units >= 2**63 else units)
    return tuple(out)


def series_angles(steps: torch.Tensor, turns: torch.Tensor) -> _Pair:
    """Cosine and sine ``[steps, pairs]``; ``turns`` is int64 ``[pairs]``, on the steps' device."""
    import torch

    fixed = (steps.unsqueeze(1) * turns) >> 32  # of 2**32 units a turn, -2**31 to 2**31 - 1
    quarter = (fixed + (1 << 29)) >> 30
    rest = fixed - (quarter << 30)  # at most an eighth of a turn either way
    coarse = rest >> 12
    fine = (rest - (coarse << 12)).float()
    unit = 2 * math.pi / 2**32
    large = _float32(unit * 4096)
    product, error = _product(coarse.float(), torch.full_like(fine, large))
    low = error + coarse.float() * _float32(unit * 4096 - large) + fine * _float32(unit)
    x = product + low
    low = low - (x - product)
    cosine, sine = _cosine(x, low), _sine(x, low)
    odd = (quarter & 1) != 0
    near, far = torch.where(odd, sine, cosine), torch.where(odd, cosine, sine)
    # Quarters 1 and 2 turn the cosine's sign, 2 and 3 the sine's.
    near = torch.where(((quarter + 1) & 2) != 0, -near, near)
    far = torch.where((quarter & 2) != 0, -far, far)
    return near, far


def table_angles(old: torch.Tensor, new: torch.Tensor) -> _Pair:
    """Cosine and sine ``[tokens, pairs]`` of the rotations from ``old`` to ``new``: rows of a table
    of cosines and sines, float32 ``[tokens, 2 * pairs]``."""
    c_old, s_old = old.chunk(2, dim=-1)
    c_new, s_new = new.chunk(2, dim=-1)
    norm = _sum_of(_product(c_old, c_old), _product(s_old, s_old))
    cosine = _sum_of(_product(c_new, c_old), _product(s_new, s_old))
    sine = _sum_of(_product(s_new, c_old), _product(-c_new, s_old))
    return _quotient(cosine, norm), _quotient(sine, norm)


def _sine(x: torch.Tensor, low: torch.Tensor) -> torch.Tensor:
    z = x * x
    p = z * (-1 / 39916800) + 1 / 362880
    p = (z * p - 1 / 5040) * z + 1 / 120
    p = (p * z - 1 / 6) * z
    return x + (x * p + low * (1 - 0.5 * z))


def _cosine(x: torch.Tensor, low: torch.Tensor) -> torch.Tensor:
    z = x * x
    p = z * (-1 / 3628800) + 1 / 40320
    p = (z * p - 1 / 720) * z + 1 / 24
    half = 0.5 * z
    top = 1 - half
    # What 1 - half lost, and the rest of the series.
    return top + (((1 - top) - half) + (z * z * p - x * low))


def _float32(x: float) -> float:
    import struct

    return float(struct.unpack("f", struct.pack("f", x))[0])


def _split(a: torch.Tensor) -> _Pair:
    """Twelve bits and the rest (Veltkamp)."""
    scaled = a * 4097.0
    high = scaled - (scaled - a)
    return high, a - high


def _product(a: torch.Tensor, b: torch.Tensor) -> _Pair:
    """``a * b`` as a rounded product and its error, exactly (Dekker)."""
    product = a * b
    (a1, a2), (b1, b2) = _split(a), _split(b)
    return product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2


def _sum_of(a: _Pair, b: _Pair) -> _Pair:
    total = a[0] + b[0]
    part = total - a[0]
    error = (a[0] - (total - part)) + (b[0] - part)
    low = error + (a[1] + b[1])
    high = total + low
    return high, low - (high - total)


def _quotient(a: _Pair, b: _Pair) -> torch.Tensor:
    first = a[0] / b[0]
    product, error = _product(first, b[0])
    rest = ((a[0] - product) - error) + (a[1] - first * b[1])
    return first + rest / b[0]
