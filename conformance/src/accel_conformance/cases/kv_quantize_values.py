"""Values that are hard to quantise, ties, and how far what comes back is from what was given."""

from __future__ import annotations

import pytest
import torch

from accel import Capability
from accel.kv import QuantSpec
from accel_conformance.byte_compare import random_bytes
from accel_conformance.case import case
from accel_conformance.fixtures import Effort
from accel_conformance.quantize_expected import FORMATS
from accel_conformance.quantize_work import (
    SPECS,
    VALUE_DTYPES,
    QuantWork,
    quant_work,
    spec_name,
)

quant = quant_work

NEEDS = [Capability.KV_QUANTIZE]
NAN, INF = float("nan"), float("inf")
SHAPE = (6, 64)
WIDE = (2, 2080)  #: rows that take several pieces

#: What is written over some of a tensor of ordinary values: everything, a token, a channel, a few.
HARD: dict[str, list[float]] = {
    "nan": [NAN],
    "infinities": [INF, -INF],
    "nan-and-infinities": [NAN, INF, -INF],
    "zero": [0.0],
    "negative-zero": [-0.0],
    "zeros-of-both-signs": [-0.0, 0.0],
    "constant": [1.7],
    "negative-constant": [-2.3],
    "huge": [3e38, -3e38, 1e38, 3.4028234e38, -1.0],
    "huge-one-sided": [3e38, 2.9e38, 3.4028234e38],
    "largest-of-float16": [65504.0, -65504.0, 12.0],
    "tiny": [1e-38, -2e-38, 3e-38, 1.2e-38],
    "subnormal": [1e-45, -1e-45, 3e-42, 1e-40, 0.0],
    "smallest": [1.4e-45, 0.0],
    "subnormal-of-float16": [6e-8, -6e-8, 3e-5, 0.0],
    "huge-and-tiny": [3e38, 1e-45, -1e-38, 0.0],
    "far-from-zero": [1e6, 1e6 + 1.0, 1e6 + 2.5],
}
WHERE = ("all", "token", "channel", "some")


@case(level=2, needs=NEEDS)
@pytest.mark.parametrize("dtype", VALUE_DTYPES, ids=spec_name)
@pytest.mark.parametrize("what", HARD)
def test_quantize_hard_values(
    quant: QuantWork, effort: Effort, what: str, dtype: torch.dtype
) -> None:
    """NaN, infinities, zeros, constants, huge and tiny ranges; alone and among ordinary values."""
    hard = torch.tensor(HARD[what], dtype=torch.float64).to(dtype)
    places = [*((SHAPE, where) for where in WHERE), (WIDE, "all"), (WIDE, "some")]
    for spec in SPECS:
        drawn = torch.randperm(len(places), generator=quant.rng)[: effort(len(places), 2)]
        for shape, where in (places[i] for i in drawn.tolist()):
            x = quant.values(shape, dtype)
            chosen = torch.zeros(shape, dtype=torch.bool)
            if where == "all":
                chosen[:] = True
            elif where == "token":
                chosen[2] = True
            elif where == "channel":
                chosen[:, 5] = True
            else:
                chosen = torch.rand(shape, generator=quant.rng) < 0.3
            picks = torch.randint(len(hard), shape, generator=quant.rng)
            quant.run(quant.quantize(torch.where(chosen, hard[picks], x), spec))


@case(level=2, needs=NEEDS)
@pytest.mark.parametrize("dtype", VALUE_DTYPES, ids=spec_name)
def test_quantize_any_bits(quant: QuantWork, dtype: torch.dtype) -> None:
    """Random bit patterns: every exponent, NaNs of every payload."""
    for spec in SPECS:
        quant.run(quant.quantize(random_bytes((24, 96), dtype, quant.rng), spec))


@case(level=2, needs=NEEDS)
@pytest.mark.parametrize("axis", ["token", "channel", "group"])
@pytest.mark.parametrize("symmetric", [True, False], ids=["symmetric", "asymmetric"])
@pytest.mark.parametrize(("dtype", "bins"), [("int8", 0), ("int4", 0), ("uint8", 200)])
def test_quantize_ties(quant: QuantWork, dtype: str, bins: int, symmetric: bool, axis: str) -> None:
    """Values exactly half-way between two codes go to the even step; their neighbours do not."""
    size = 1200 if axis == "group" else 0
    spec = QuantSpec(dtype, axis, size, symmetric, bins)  # type: ignore[arg-type]
    steps = int(spec.steps)
    for scale in (1.0, 2.0**-7, 2.0**40):
        low = 0 if not symmetric else -steps
        halves = (torch.arange(low, steps) + 0.5) * scale
        ends = torch.tensor([low, steps]) * scale
        beside = [torch.nextafter(halves, torch.tensor(v)) for v in (INF, -INF)]
        row = torch.cat([ends, halves, *beside])
        row = torch.cat([row, torch.zeros(1200 - len(row))])
        x = row[:, None].expand(1200, 2) if axis == "channel" else row[None].expand(3, 1200)
        quant.run(quant.quantize(x, spec))


@case(level=2, needs=NEEDS)
@pytest.mark.parametrize("axis", ["token", "channel"])
@pytest.mark.parametrize("dtype", ["int8", "int4", "float8_e4m3fn", "float8_e5m2"])
def test_quantize_near_ties(quant: QuantWork, dtype: str, axis: str) -> None:
    """Numbers about the midpoints of codes: a division, no product with the reciprocal."""
    spec = QuantSpec(dtype, axis)  # type: ignore[arg-type]
    if spec.is_float:
        codes = torch.arange(128, dtype=torch.uint8).view(spec.codes_dtype).float()
        codes = codes[codes <= spec.steps]
        middles = (codes[1:] + codes[:-1]) / 2
    else:
        middles = torch.arange(int(spec.steps)) + 0.5
    for top in (torch.rand(8, generator=quant.rng) + 0.5).tolist():
        near = (middles.double() * (top / spec.steps)).float()
        beside = [torch.nextafter(near, torch.tensor(v)) for v in (INF, -INF)]
        row = torch.cat([torch.tensor([top]), near, *beside])
        row = torch.cat([row, -row])
        x = row[:, None].expand(-1, 2) if axis == "channel" else row[None]
        quant.run(quant.quantize(x, spec))


@case(level=2, needs=NEEDS)
@pytest.mark.parametrize("axis", ["token", "channel"])
@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_quantize_float_ties(quant: QuantWork, dtype: str, axis: str) -> None:
    """fp8: all values, all midpoints between two, and the float32 numbers beside each."""
    spec = QuantSpec(dtype, axis)  # type: ignore[arg-type]
    largest = FORMATS[dtype].largest
    codes = torch.arange(128, dtype=torch.uint8).view(spec.codes_dtype).float()
    values = codes[codes <= largest]
    middles = (values[1:] + values[:-1]) / 2
    exact = torch.cat([values, middles])
    beside = [torch.nextafter(exact, torch.tensor(v)) for v in (INF, -INF)]
    row = torch.cat([exact, *beside])
    row = row[row <= largest]
    row = torch.cat([row, -row])
    for scale in (1.0, 2.0**-9):
        x = (row * scale)[:, None] if axis == "channel" else (row * scale)[None]
        quant.run(quant.quantize(x, spec))


@case(level=2, needs=NEEDS)
@pytest.mark.parametrize("dtype", VALUE_DTYPES, ids=spec_name)
@pytest.mark.parametrize("spec", [s for s in SPECS if not s.is_float], ids=spec_name)
def test_quantize_round_trip(quant: QuantWork, spec: QuantSpec, dtype: torch.dtype) -> None:
    """Integer codes: what comes back is within half a scale, up to rounding of the result."""
    for spread, apart in ((2.0, 0.0), (0.5, 40.0), (4.0, -3.0)):
        x = (quant.values((2, 40, 64), torch.float32, spread) + apart).clamp(-3e4, 3e4).to(dtype)
        first = quant.quantize(x, spec)
        quant.run(first)
        second = quant.dequantize(x.shape, spec, dtype)
        for name in ("codes", "scales", "offsets"):
            if name in first.operands:
                second.operands[name] = first.operands[name]
        second.expect()
        quant.run(second)
        given, got = (t.cpu().double() for t in (x, second.operands["out"].view))
        scale = first.operands["scales"].view.cpu().double()
        if spec.axis == "group":
            scale = scale.repeat_interleave(spec.group_size, -1)
        else:
            scale = scale[..., None] if spec.axis == "token" else scale[..., None, :]
        # One rounding to the dtype, four to float32 of numbers up to the range and the value.
        place = 2.0 ** -FORMATS[spec_name(dtype)].digits
        float32 = 4 * 2.0**-24 * (given.abs() + 2 * spec.steps * scale)
        bound = scale / 2 + place * (given.abs() + scale) + float32
        worst = ((given - got).abs() - bound).max()
        assert float(worst) <= 0, f"{float(worst)} more than half a scale and the roundings"


@case(level=2, needs=NEEDS)
@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_dequantize_every_float_code(quant: QuantWork, dtype: str) -> None:
    """All 256 codes of fp8, NaNs and infinities among them, into every dtype."""
    spec = QuantSpec(dtype)  # type: ignore[arg-type]
    for into in VALUE_DTYPES:
        call = quant.dequantize((3, 256), spec, into)
        codes = torch.arange(256).to(torch.uint8).view(spec.codes_dtype).expand(3, 256)
        scales = torch.tensor([1.0, 0.37, 3e38])
        for name, values in (("codes", codes), ("scales", scales)):
            call.operands[name].view.copy_(values)
            call.operands[name].expect(values)
        call.expect()
        quant.run(call)


@case(level=2, needs=NEEDS)
@pytest.mark.parametrize("dtype", ["int8", "int4", "uint8"])
def test_dequantize_every_code(quant: QuantWork, dtype: str) -> None:
    """All 256 bytes, also those that quantize never writes, symmetric and asymmetric."""
    for symmetric in (True, False):
        spec = QuantSpec(dtype, symmetric=symmetric, bins=9 if dtype == "uint8" else 0)  # type: ignore[arg-type]
        for into in VALUE_DTYPES:
            channels = 512 if dtype == "int4" else 256
            call = quant.dequantize((2, channels), spec, into)
            codes = torch.arange(256).to(torch.uint8).view(spec.codes_dtype).expand(2, 256)
            call.operands["codes"].view.copy_(codes)
            call.operands["codes"].expect(codes)
            call.expect()
            quant.run(call)
