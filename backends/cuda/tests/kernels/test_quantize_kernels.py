"""Quantising kernels on the CPU: codes, axes, widths of loads, against float64 and integers.

Every combination of defines is a compilation, so tests share a few of them.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from cuda_shim import arith_args as aa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accel.kv import QuantSpec
from accel_conformance.quantize_expected import expect_dequantized, expect_quantized

KINDS = {torch.float32: aa.F32, torch.float16: aa.F16, torch.bfloat16: aa.BF16}
CODES = {
    "int8": aa.I8, "uint8": aa.U8, "int4": aa.I4,
    "float8_e4m3fn": aa.E4M3, "float8_e5m2": aa.E5M2,
}  # fmt: skip
BITS = {1: np.uint8, 2: np.uint16, 4: np.uint32}
MANY = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


class Case:
    """Operands in guarded memory, with room between rows that nobody may touch."""

    def __init__(self, memory: Any, spec: QuantSpec, shape: tuple[int, ...], dtype: torch.dtype,
                 pads: tuple[int, int, int], seed: int, special: bool) -> None:  # fmt: skip
        self.memory, self.spec = memory, spec
        generator = torch.Generator().manual_seed(seed)
        spread = 10.0 ** torch.empty(1).uniform_(-6, 4, generator=generator)
        x = torch.randn(shape, generator=generator) * spread
        if special:
            odd = [math.inf, -math.inf, math.nan, 0.0, -0.0, 3e38, -3e38, 1e-45, -1e-40, 6e-5]
            where = torch.rand(shape, generator=generator) < 0.02
            x[where] = torch.tensor(odd)[torch.randint(len(odd), shape, generator=generator)[where]]
        self.x = x.to(dtype)
        self.raws: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.values = self.place(self.x, pads[0])
        blank = spec.allocate(shape)
        self.codes = self.place(blank.codes, pads[1])
        self.scales = self.place(blank.scales, pads[2])
        self.offsets = None if blank.offsets is None else self.place(blank.offsets, pads[2])

    def place(self, tensor: torch.Tensor, pad: int) -> tuple[aa.Operand, torch.Tensor]:
        """A copy whose rows are ``pad`` elements apart, and a view of it."""
        size = tensor.element_size()
        *outer, last = tensor.shape
        raw = self.memory.empty((*outer, last + pad), BITS[size])
        within = np.zeros(raw.shape, bool)
        within[..., :last] = True
        signed = {1: np.uint8, 2: np.int16, 4: np.int32}[size]
        view = torch.from_numpy(raw.view(signed)).view(tensor.dtype)[..., :last]
        view.copy_(tensor)
        self.raws.append((raw, raw.copy(), within))
        strides = tuple(s * size for s in view.stride())
        return aa.Operand(raw.ctypes.data, tuple(view.shape), strides), view

    def check_padding(self) -> None:
        for raw, before, within in self.raws:
            assert np.array_equal(raw[~within], before[~within])

    def launch(
        self, shim: Any, back: bool, vector: int | None = None, strips: bool = False
    ) -> None:
        spec = self.spec
        kind, packed = KINDS[self.x.dtype], spec.dtype == "int4"
        codes = self.codes[0]
        group = self.x.shape[-1] if spec.axis != "group" else spec.group_size
        if vector is None:
            length = self.x.shape[-1] if spec.axis == "channel" else group
            vector = aa.quantize_vector(kind, packed, self.values[0], codes, length)
            if packed and group % 2:
                vector = 0
        native = aa.QuantizeSpec(spec.steps, spec.zero, spec.lowest, spec.highest)
        scales, offsets = self.scales[0], self.offsets and self.offsets[0]
        if strips:
            assert vector == 16
            made = aa.strip_launch(self.values[0], codes, scales, offsets, kind, packed,
                                   not spec.symmetric, native)  # fmt: skip
        elif spec.axis == "channel":
            made = aa.column_launch(self.values[0], codes, scales, offsets, kind, packed,
                                    not spec.symmetric, vector, native, back)  # fmt: skip
        else:
            if spec.axis == "token":
                scales, offsets = grouped(scales), offsets and grouped(offsets)
            made = aa.segment_launch(self.values[0], codes, scales, offsets, kind, packed, vector,
                                     native, group, back)  # fmt: skip
        files = ("dequantize", "quantize_rows", "quantize_columns", "quantize_strips")
        source = next(name for name in files if made.kernel.startswith(name))
        library = shim(
            f"{source}.cu",
            {
                "ACCEL_VALUE": kind,
                "ACCEL_CODE": CODES[spec.dtype],
                "ACCEL_SHIFTED": int(not spec.symmetric),
                "ACCEL_VECTOR": vector,
            },
        )
        if made.words:
            workspace = self.memory.put(np.zeros(made.words, np.uint32), "workspace")
            made.args.workspace = workspace.ctypes.data
        library.launch(made.kernel, made.args, grid=made.grid, block=made.block,
                       shared_bytes=made.shared_bytes)  # fmt: skip
        if made.words:
            assert not workspace.any(), "the workspace is left as it was"


def planned(case: Case, back: bool, cluster: int) -> list[Any]:
    """The launches that the backend's host code makes of these operands."""
    _native = pytest.importorskip("accel_cuda._native")
    spec = case.spec
    native = _native.quantize.Spec(
        None, spec.dtype, spec.axis, spec.group_size, spec.symmetric, spec.zero, spec.lowest,
        spec.highest, spec.steps,
    )  # fmt: skip
    workspace = case.memory.put(np.zeros(1 << 16, np.uint32), "workspace")
    offsets = None if case.offsets is None else case.offsets[1]
    tensors = (case.values[1], case.codes[1], case.scales[1], offsets)
    limits = {"multiprocessors": 4, "cluster": cluster, "shared_bytes": 64 << 10}
    launches = native.plan(*tensors, back=back, workspace=workspace.ctypes.data, **limits)
    assert launches is not None
    return list(launches)


def grouped(operand: aa.Operand) -> aa.Operand:
    """A scale for each token as one for its only group."""
    return aa.Operand(operand.address, (*operand.shape, 1), (*operand.strides, 4))


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.is_floating_point():
        nan = a.isnan() & b.isnan()
        ints = {1: torch.uint8, 2: torch.int16, 4: torch.int32}[a.element_size()]
        return bool((nan | (a.contiguous().view(ints) == b.contiguous().view(ints))).all())
    return torch.equal(a, b)


def run(shim: Any, spec: QuantSpec, shape: tuple[int, ...], dtype: torch.dtype,
        pads: tuple[int, int, int] = (0, 0, 0), seed: int = 0, special: bool = False,
        vector: int | None = None, strips: bool = False) -> None:  # fmt: skip
    print(f"{spec} {shape} {dtype} {pads} seed {seed}")
    with shim("dequantize.cu", {"ACCEL_VALUE": 0, "ACCEL_CODE": 5, "ACCEL_SHIFTED": 0,
                                "ACCEL_VECTOR": 16}).memory() as memory:  # fmt: skip
        case = Case(memory, spec, shape, dtype, pads, seed, special)
        case.launch(shim, False, vector, strips)
        codes, scales, offsets = expect_quantized(case.x, spec)
        assert same_bits(case.scales[1], scales)
        assert offsets is None or same_bits(case.offsets[1], offsets)
        assert torch.equal(case.codes[1].view(torch.uint8), codes.view(torch.uint8))
        assert same_bits(case.values[1], case.x)

        # Any codes, scales and offsets are taken as they are.
        generator = torch.Generator().manual_seed(seed)
        if special:
            case.codes[1].view(torch.uint8).random_(0, 256, generator=generator)
        case.values[1].zero_()
        case.launch(shim, True, vector)
        want = expect_dequantized(
            case.codes[1], case.scales[1], case.offsets and case.offsets[1], spec, dtype
        )
        assert same_bits(case.values[1], want)
        case.check_padding()


SPECS = [
    QuantSpec("int8"), QuantSpec("int8", symmetric=False), QuantSpec("int4", "group", 32),
    QuantSpec("int4", "channel", symmetric=False), QuantSpec("uint8", bins=33),
    QuantSpec("uint8", "channel", bins=16, symmetric=False), QuantSpec("float8_e4m3fn"),
    QuantSpec("float8_e5m2", "group", 64), QuantSpec("int8", "channel"),
    QuantSpec("float8_e4m3fn", "channel"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "dtype"), list(zip(SPECS, itertools.cycle(KINDS))), ids=str)
def test_each_code(shim, spec, dtype):
    run(shim, spec, (2, 37, 192), dtype, seed=1)
    run(shim, spec, (2, 37, 192), dtype, seed=2, special=True)


@pytest.mark.parametrize("channels", [1, 2, 6, 40, 1000, 1024, 2056, 9000])
@pytest.mark.parametrize("axis", ["token", "channel"])
def test_rows_of_any_length(shim, channels, axis):
    spec = QuantSpec("int8", axis, symmetric=False)
    run(shim, spec, (3, channels), torch.bfloat16, seed=channels, special=True)


@pytest.mark.parametrize("tokens", [0, 1, 40, 200])
@pytest.mark.parametrize("spec", [s for s in SPECS if s.axis == "channel"], ids=str)
def test_strips(shim, tokens, spec):
    """Read once, kept in shared memory: a cluster of one block here."""
    for channels, special in ((16, False), (200, True)):
        run(shim, spec, (2, tokens, channels), torch.bfloat16, (8, 8, 1), tokens, special,
            strips=True)  # fmt: skip


@pytest.mark.parametrize("tokens", [0, 1, 63, 64, 65, 700])
def test_columns_of_any_length(shim, tokens):
    run(shim, QuantSpec("int8", "channel"), (2, tokens, 48), torch.float16, seed=tokens)


@pytest.mark.parametrize("pads", [(8, 8, 1), (2, 2, 0), (1, 3, 2), (4, 0, 0)])
@pytest.mark.parametrize("axis", ["group", "channel"])
def test_rows_apart(shim, pads, axis):
    spec = QuantSpec("int8", axis, 32 if axis == "group" else 0)
    run(shim, spec, (2, 9, 96), torch.bfloat16, pads, seed=5, special=True)


#: Codes, whether symmetric, and the values' dtype: with every axis, wide loads and single elements.
FORMS = [
    ("int8", False, torch.bfloat16),
    ("int4", True, torch.float16),
    ("uint8", True, torch.bfloat16),
    ("float8_e4m3fn", True, torch.float32),
]


@st.composite
def cases(draw: Any) -> tuple[QuantSpec, tuple[int, ...], torch.dtype]:
    codes, symmetric, dtype = draw(st.sampled_from(FORMS))
    axis = draw(st.sampled_from(["token", "channel", "group"]))
    bins = draw(st.integers(3, 256)) if codes == "uint8" else 0
    group = draw(st.sampled_from([3, 16, 24, 32, 128])) if axis == "group" else 0
    channels = 2 * (group or 8) * draw(st.integers(1, 9))
    shape = (*draw(st.lists(st.integers(1, 3), max_size=2)), draw(st.integers(0, 30)), channels)
    return QuantSpec(codes, axis, group, symmetric, bins), shape, dtype


@MANY
@given(
    cases(), st.tuples(*[st.sampled_from([0, 16, 1])] * 2), st.integers(0, 2),
    st.integers(0, 2**31), st.booleans(),
)  # fmt: skip
def test_any_case(shim, case, pads, scale_pad, seed, special):
    spec, shape, dtype = case
    run(shim, spec, shape, dtype, (*pads, scale_pad), seed, special)


@MANY
@given(
    cases(), st.tuples(*[st.sampled_from([0, 16, 1])] * 2), st.integers(0, 2),
    st.integers(0, 2**31), st.booleans(), st.sampled_from([0, 1]),
)  # fmt: skip
def test_launches_of_the_backend(shim, case, pads, scale_pad, seed, special, cluster):
    """As the host code cuts a call; a cluster of one block is all that runs here."""
    spec, shape, dtype = case
    print(f"{spec} {shape} {dtype} {pads} {scale_pad} seed {seed}")
    with shim("dequantize.cu").memory() as memory:
        made = Case(memory, spec, shape, dtype, (*pads, scale_pad), seed, special)
        for back in (False, True):
            if back:
                made.values[1].zero_()
            for file, kernel, defines, grid, block, shared, args in planned(made, back, cluster):
                library = shim(file, defines)
                library.launch(kernel, args, grid=grid, block=block, shared_bytes=shared)
        codes, scales, offsets = expect_quantized(made.x, spec)
        assert same_bits(made.scales[1], scales)
        assert offsets is None or same_bits(made.offsets[1], offsets)
        assert torch.equal(made.codes[1].view(torch.uint8), codes.view(torch.uint8))
        want = expect_dequantized(codes, scales, offsets, spec, dtype)
        assert same_bits(made.values[1], want)
        made.check_padding()
