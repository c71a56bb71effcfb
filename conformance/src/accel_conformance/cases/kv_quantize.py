"""Quantising and back: every code, scale, offset and value is exact, whatever lies where."""

from __future__ import annotations

import pytest
import torch

from accel import Capability
from accel.kv import QuantSpec
from accel_conformance.case import case
from accel_conformance.fixtures import Effort
from accel_conformance.quantize_work import (
    FORMS,
    SPECS,
    VALUE_DTYPES,
    QuantWork,
    quant_work,
    spec_name,
)

quant = quant_work

NEEDS = [Capability.KV_QUANTIZE]
INT8 = QuantSpec("int8")
BOTH = pytest.mark.parametrize("back", [False, True], ids=["quantize", "dequantize"])

#: [..., tokens, channels]: one of everything, odd sizes, none to three axes before them.
SHAPES = (
    (1, 1), (1, 2), (2, 1), (5, 3), (1, 512), (17, 1), (3, 15), (9, 33), (2, 1030), (300, 6),
    (3, 1, 16), (2, 7, 20), (4, 2, 3, 18), (2, 1, 3, 5, 34), (1, 1, 1, 1, 2),
)  # fmt: skip
EMPTY = ((0, 8), (4, 0), (0, 0), (2, 0, 8), (0, 3, 8), (2, 0, 3, 0))


def _shape_name(shape: object) -> str:
    return "x".join(map(str, shape)) if isinstance(shape, tuple) else spec_name(shape)


def _fits(shape: tuple[int, ...], spec: QuantSpec) -> bool:
    return not (spec.dtype == "int4" and shape[-1] % 2)


@case(level=2, needs=NEEDS)
@pytest.mark.parametrize("dtype", VALUE_DTYPES, ids=spec_name)
@pytest.mark.parametrize("spec", SPECS, ids=spec_name)
def test_quantize(quant: QuantWork, spec: QuantSpec, dtype: torch.dtype) -> None:
    """Codes, scales and offsets of every kind, from every dtype."""
    quant.run(quant.quantize(quant.values((3, 21, 96), dtype), spec))


@case(level=2, needs=NEEDS)
@pytest.mark.parametrize("dtype", VALUE_DTYPES, ids=spec_name)
@pytest.mark.parametrize("spec", SPECS, ids=spec_name)
def test_dequantize(quant: QuantWork, spec: QuantSpec, dtype: torch.dtype) -> None:
    """Any codes with any scales and offsets (NaN, infinite, negative, tiny), into every dtype."""
    quant.run(quant.dequantize((3, 21, 96), spec, dtype))


@case(level=2, needs=NEEDS)
@BOTH
@pytest.mark.parametrize("axis", ["token", "channel"])
@pytest.mark.parametrize("shape", [*SHAPES, *EMPTY], ids=_shape_name)
def test_quantize_shapes(quant: QuantWork, shape: tuple[int, ...], axis: str, back: bool) -> None:
    """One token, one channel, nothing at all, and sizes that no vector width divides."""
    for dtype, bins in (("int8", 0), ("int4", 0), ("uint8", 12), ("float8_e4m3fn", 0)):
        for symmetric in (True, False):
            if dtype == "float8_e4m3fn" and not symmetric:
                continue
            spec = QuantSpec(dtype, axis, 0, symmetric, bins)  # type: ignore[arg-type]
            if not _fits(shape, spec):
                continue
            if back:
                quant.run(quant.dequantize(shape, spec, torch.bfloat16))
            else:
                quant.run(quant.quantize(quant.values(shape, torch.bfloat16), spec))


@case(level=2, needs=NEEDS)
@BOTH
@pytest.mark.parametrize("size", [1, 2, 3, 17, 32, 48, 128, 131, 512, 600, 1400])
def test_quantize_groups(quant: QuantWork, size: int, back: bool) -> None:
    """Groups of one channel up to all, also across bytes of packed codes and odd in number."""
    for groups in (1, 2, 5) if size < 600 else (1, 2):
        for dtype, symmetric in (("int8", False), ("int4", True), ("float8_e5m2", True)):
            spec = QuantSpec(dtype, "group", size, symmetric)  # type: ignore[arg-type]
            shape = (2, 3, groups * size)
            if not _fits(shape, spec):
                continue
            if back:
                quant.run(quant.dequantize(shape, spec, torch.float16))
            else:
                quant.run(quant.quantize(quant.values(shape, torch.float16), spec))


@case(level=2, needs=NEEDS)
@BOTH
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=spec_name)
@pytest.mark.parametrize("form", FORMS)
def test_quantize_strides(quant: QuantWork, form: str, dtype: torch.dtype, back: bool) -> None:
    """Values in memory of every stride; codes, scales and offsets likewise; gaps stay."""
    shape = (2, 3, 5, 64)
    for spec in SPECS:
        for other in ("plain", form):
            if back:
                quant.run(quant.dequantize(shape, spec, dtype, form, other))
            else:
                quant.run(quant.quantize(quant.values(shape, dtype), spec, form, other))


@case(level=2, needs=NEEDS)
def test_quantize_expanded(quant: QuantWork) -> None:
    """What is only read may be expanded: one token for all, one channel for all, one scale."""
    for axis in ("token", "channel"):
        spec = QuantSpec("int8", axis, symmetric=False)
        for index in ((0, 1), (1, 0)):
            call = quant.quantize(quant.values((3, 9, 40), torch.bfloat16), spec)
            x = call.operands["x"]
            x.view = x.view.narrow(1 + index[1], 0, 1).expand(x.view.shape)
            call.expect()
            quant.run(call)
        call = quant.dequantize((3, 9, 40), spec, torch.bfloat16)
        for name in ("scales", "offsets"):
            t = call.operands[name]
            t.view = t.view[:1, :1].expand(t.view.shape)
        call.expect()
        quant.run(call)


@case(level=2, needs=NEEDS)
@pytest.mark.parametrize("symmetric", [True, False], ids=["symmetric", "asymmetric"])
def test_quantize_every_number_of_bins(quant: QuantWork, symmetric: bool) -> None:
    """uint8 with 2 to 256 bins: the symbols of the entropy coder."""
    for bins in range(3 if symmetric else 2, 257):
        spec = QuantSpec("uint8", "channel", symmetric=symmetric, bins=bins)
        call = quant.quantize(quant.values((7, 24), torch.bfloat16), spec)
        quant.run(call)
        codes = call.operands["codes"].view
        assert int(codes.max()) < bins
        quant.run(quant.dequantize((7, 24), spec, torch.bfloat16))


@case(level=2, needs=NEEDS)
@BOTH
@pytest.mark.parametrize("shape", [(4, 600, 256), (2500, 136), (3, 1100), (70, 5000)], ids=str)
@pytest.mark.parametrize("axis", ["token", "channel", "group"])
def test_quantize_many(quant: QuantWork, axis: str, shape: tuple[int, ...], back: bool) -> None:
    """Sizes at which work is split: by tokens, by channels, by the axes before them."""
    spec = QuantSpec("int8", axis, 4 if axis == "group" else 0, False)  # type: ignore[arg-type]
    if back:
        quant.run(quant.dequantize(shape, spec, torch.bfloat16))
    else:
        quant.run(quant.quantize(quant.values(shape, torch.bfloat16), spec))


@case(level=2, needs=NEEDS)
def test_quantize_random(quant: QuantWork, effort: Effort) -> None:
    """Random specs, shapes, dtypes and strides."""

    def draw(least: int, most: int) -> int:
        return int(torch.randint(least, most + 1, (), generator=quant.rng))

    for _ in range(effort(150, 30)):
        spec = SPECS[draw(0, len(SPECS) - 1)]
        channels = 32 * draw(1, 4) if spec.axis == "group" else 2 * draw(0, 70)
        shape = (*(draw(1, 3) for _ in range(draw(0, 3))), draw(0, 12), channels)
        dtype = VALUE_DTYPES[draw(0, 2)]
        forms = [FORMS[draw(0, len(FORMS) - 1)] for _ in range(2)]
        quant.run(quant.quantize(quant.values(shape, dtype), spec, *forms))
        quant.run(quant.dequantize(shape, spec, dtype, *forms))
