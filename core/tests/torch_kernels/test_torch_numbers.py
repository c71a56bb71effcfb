"""Codes and angles by torch operators against float64 and torch's own dtypes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accel.torch_kernels.angles import fixed_turns, series_angles, table_angles
from accel.torch_kernels.numbers import elements, from_float32, rounded, to_float32

FP8 = {"float8_e4m3fn": (torch.float8_e4m3fn, 448.0), "float8_e5m2": (torch.float8_e5m2, 57344.0)}


@pytest.mark.parametrize("name", FP8)
def test_every_fp8_code_is_its_value(name: str) -> None:
    """All 256 codes, against torch's own dtype."""
    codes = torch.arange(256, dtype=torch.int32).to(torch.uint8)
    expected = codes.view(FP8[name][0]).float()
    made = to_float32(codes, name)
    assert torch.equal(made.isnan(), expected.isnan())
    known = ~expected.isnan()
    assert torch.equal(made[known].view(torch.int32), expected[known].view(torch.int32))


@pytest.mark.parametrize("name", FP8)
def test_fp8_rounds_to_nearest_even(name: str) -> None:
    """Every value, every midpoint, and what is next to either; saturation, zeros, NaN."""
    dtype, largest = FP8[name]
    codes = torch.arange(256, dtype=torch.int32).to(torch.uint8)
    values = codes.view(dtype).float()
    values = values[values.isfinite()].sort().values
    middles = (values[1:] + values[:-1]) / 2
    x = torch.cat([values, middles, torch.tensor([1e-44, -1e-44, 3e38, -3e38])])
    x = torch.cat([x, x.nextafter(torch.tensor(math.inf)), x.nextafter(torch.tensor(-math.inf))])
    expected = x.clamp(-largest, largest).to(dtype).view(torch.uint8)
    assert torch.equal(from_float32(x, name), expected)
    special = torch.tensor([math.inf, -math.inf, math.nan, -math.nan, 0.0, -0.0])
    top = torch.tensor([largest]).to(dtype).view(torch.uint8).item()
    assert from_float32(special, name).tolist() == [top, top | 0x80, 0x7F, 0x7F, 0, 0x80]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=64))
def test_any_bits_become_codes(bits: list[int]) -> None:
    """Random float32 bit patterns."""
    x = torch.tensor(bits, dtype=torch.int32).view(torch.float32)
    known = ~x.isnan()
    for name, (dtype, largest) in FP8.items():
        made = from_float32(x, name)
        expected = x.clamp(-largest, largest).to(dtype).view(torch.uint8)
        assert torch.equal(made[known], expected[known])
        assert bool((made[~known] == 0x7F).all())
    whole = from_float32(x, "int8").view(torch.int8)
    rint = x.double().where(known, 0.0).round().clamp(-128, 127).to(torch.int8)
    assert torch.equal(whole, rint)
    assert torch.equal(from_float32(to_float32(elements(x), "float32"), "float32"), elements(x))


def test_bfloat16_keeps_every_bit_pattern() -> None:
    """All of them, NaN payloads and subnormal numbers among them."""
    bits = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16)
    made = to_float32(bits, "bfloat16")
    assert torch.equal(made.view(torch.int32) >> 16, bits.int())


def test_rounding_of_halves() -> None:
    """To even, on both sides of zero, and saturated."""
    x = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, 1e30, -1e30, 0.49999997])
    assert rounded(x, -7, 7).tolist() == [0, 2, 2, 0, -2, 7, -7, 0]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=50),
    st.floats(2.0, 1e8),
    st.sampled_from([2, 64, 128]),
)
def test_series_angles_are_exact_to_float32(steps: list[int], base: float, dim: int) -> None:
    """Within 1.1 units of 2**-24 of the cosine and sine in double precision."""
    inv_freq = tuple(base ** (-2 * i / dim) for i in range(dim // 2))
    turns = torch.tensor(fixed_turns(inv_freq), dtype=torch.int64)
    cosine, sine = series_angles(torch.tensor(steps), turns)
    angle = torch.tensor(steps).double()[:, None] * torch.tensor(inv_freq, dtype=torch.float64)
    assert float((cosine.double() - angle.cos()).abs().max()) <= 1.1 * 2**-24
    assert float((sine.double() - angle.sin()).abs().max()) <= 1.1 * 2**-24


def test_fixed_turns_hold_at_the_largest_positions() -> None:
    """A turn's fraction, against integers of any size."""
    from fractions import Fraction

    from accel.torch_kernels.angles import _PI

    inv_freq = (1.0, 0.3, 1e-4)
    for units, radians in zip(fixed_turns(inv_freq), inv_freq, strict=True):
        for step in (2**31 - 1, -(2**31) + 1, 12345):
            exact = Fraction(radians) * step / (2 * _PI)
            error = abs((exact - Fraction(units * step, 2**64)) % 1)
            assert min(error, 1 - error) < Fraction(1, 2**32)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([torch.float32, torch.float16, torch.bfloat16]))
def test_table_angles_are_the_nearest_float32(seed: int, dtype: torch.dtype) -> None:
    """Quotients of products of table rows, which no float32 expression gives, in pairs of them."""
    make = torch.Generator().manual_seed(seed)
    angle = torch.rand(20, 8, generator=make, dtype=torch.float64) * 1000
    table = torch.cat([angle.cos(), angle.sin()], 1).to(dtype).float() * 1.25
    old, new = table[:10], table[10:]
    cosine, sine = table_angles(old, new)
    c_old, s_old = old.double().chunk(2, -1)
    c_new, s_new = new.double().chunk(2, -1)
    norm = c_old**2 + s_old**2
    for made, exact in (
        (cosine, (c_new * c_old + s_new * s_old) / norm),
        (sine, (s_new * c_old - c_new * s_old) / norm),
    ):
        spacing = torch.maximum(exact.abs(), torch.tensor(2.0**-20).double()) * 2**-24
        assert bool(((made.double() - exact).abs() <= 1.01 * spacing + 1e-14).all()), seed
