"""QuantSpec: which combinations exist, what their codes are, and the tensors they need."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accel import ArgumentError, ShapeError, SizeError
from accel.kv import QuantSpec
from accel.kv.quantization import CODE_DTYPES

FLOATS = ("float8_e4m3fn", "float8_e5m2")


@st.composite
def specs(draw: Any) -> QuantSpec:
    """Every QuantSpec that exists, with groups of up to 200."""
    dtype = draw(st.sampled_from(CODE_DTYPES))
    axis = draw(st.sampled_from(["token", "channel", "group"]))
    symmetric = dtype in FLOATS or draw(st.booleans())
    bins = draw(st.integers(3 if symmetric else 2, 256)) if dtype == "uint8" else 0
    size = draw(st.integers(1, 200)) if axis == "group" else 0
    return QuantSpec(dtype, axis, size, symmetric, bins)


@settings(deadline=None)
@given(specs())
def test_codes_fit_their_bits(spec: QuantSpec) -> None:
    """All codes from ``lowest`` to ``highest`` are values of the dtype, and ``zero`` is one."""
    if spec.dtype in FLOATS:
        info = torch.finfo(spec.codes_dtype)
        assert spec.is_float
        assert (spec.lowest, spec.zero, spec.highest, spec.steps) == (0, 0, 0, info.max)
        return
    least, most = {
        "int8": (-128, 127), "int4": (-8, 7), "uint8": (0, spec.bins - 1),
    }[spec.dtype]  # fmt: skip
    assert not spec.is_float
    assert least <= spec.lowest <= spec.zero < spec.highest <= most
    assert spec.steps == spec.highest - spec.zero
    if spec.symmetric:
        assert spec.zero - spec.lowest == spec.highest - spec.zero
        assert (most - least) - (spec.highest - spec.lowest) in (0, 1)  # one code may be unused
    else:
        assert (spec.lowest, spec.zero, spec.highest) == (least, least, most)


@settings(deadline=None)
@given(specs(), st.lists(st.integers(0, 4), max_size=3), st.integers(0, 9), st.integers(0, 9))
def test_tensors_hold_a_code_and_a_scale_for_everything(
    spec: QuantSpec, outer: list[int], tokens: int, channels: int
) -> None:
    channels *= 2 * max(spec.group_size, 1)
    shape = (*outer, tokens, channels)
    made = spec.allocate(shape, "meta")
    values = torch.empty(shape, device="meta").numel()
    bits = 4 if spec.dtype == "int4" else 8
    assert made.codes.numel() * 8 == values * bits
    assert made.codes.element_size() == 1
    assert made.codes.device.type == "meta"
    assert made.scales.dtype == torch.float32
    sharing = {"token": channels, "channel": tokens, "group": spec.group_size}[spec.axis]
    if values:
        assert made.scales.numel() * sharing == values
    assert tuple(made.scales.shape) == spec.scales_shape(shape)
    assert (made.offsets is None) == spec.symmetric
    if made.offsets is not None:
        assert made.offsets.shape == made.scales.shape
        assert made.offsets.dtype == torch.float32


@settings(deadline=None)
@given(specs(), specs())
def test_specs_are_values(a: QuantSpec, b: QuantSpec) -> None:
    """Equal when their fields are, usable as keys, and through pickle."""
    same = pickle.loads(pickle.dumps(a))
    assert same == a
    assert {a: 1}[same] == 1
    assert (a == b) == (repr(a) == repr(b))


def test_shapes() -> None:
    shape = (2, 3, 5, 8)
    assert QuantSpec().codes_shape(shape) == shape
    assert QuantSpec("int4").codes_shape(shape) == (2, 3, 5, 4)
    assert QuantSpec(axis="token").scales_shape(shape) == (2, 3, 5)
    assert QuantSpec(axis="channel").scales_shape(shape) == (2, 3, 8)
    assert QuantSpec(axis="group", group_size=4).scales_shape(shape) == (2, 3, 5, 2)
    assert QuantSpec(axis="group", group_size=4).scales_shape((5, 0)) == (5, 0)


@pytest.mark.parametrize(
    ("fields", "argument"),
    [
        ({"dtype": "int16"}, "dtype"),
        ({"dtype": ["int8"]}, "dtype"),
        ({"dtype": torch.int8}, "dtype"),
        ({"axis": "head"}, "axis"),
        ({"axis": 1}, "axis"),
        ({"axis": "group"}, "group_size"),
        ({"axis": "group", "group_size": -2}, "group_size"),
        ({"axis": "group", "group_size": 2.0}, "group_size"),
        ({"axis": "group", "group_size": True}, "group_size"),
        ({"axis": "group", "group_size": "32"}, "group_size"),
        ({"axis": "token", "group_size": 32}, "group_size"),
        ({"axis": "channel", "group_size": -1}, "group_size"),
        ({"symmetric": None}, "symmetric"),
        ({"symmetric": 1}, "symmetric"),
        ({"dtype": "float8_e4m3fn", "symmetric": False}, "symmetric"),
        ({"dtype": "float8_e5m2", "symmetric": False}, "symmetric"),
        ({"dtype": "uint8"}, "bins"),
        ({"dtype": "uint8", "bins": 1, "symmetric": False}, "bins"),
        ({"dtype": "uint8", "bins": 2}, "bins"),
        ({"dtype": "uint8", "bins": 257}, "bins"),
        ({"dtype": "uint8", "bins": 16.0}, "bins"),
        ({"dtype": "int8", "bins": 16}, "bins"),
        ({"dtype": "int8", "bins": None}, "bins"),
    ],
)
def test_combinations_that_do_not_exist(fields: dict[str, Any], argument: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        QuantSpec(**fields)
    assert caught.value.argument == argument


def test_shapes_that_cannot_be_quantised() -> None:
    for shape in ((), (8,)):
        with pytest.raises(ShapeError, match="tokens, channels"):
            QuantSpec().codes_shape(shape)
        with pytest.raises(ShapeError, match=r"^out: "):
            QuantSpec().scales_shape(shape, "out")
    with pytest.raises(ShapeError, match="even number of channels"):
        QuantSpec("int4").allocate((4, 7))
    with pytest.raises(SizeError, match="divisor of 48 channels") as caught:
        QuantSpec(axis="group", group_size=32).allocate((4, 48))
    assert caught.value.argument == "group_size"
