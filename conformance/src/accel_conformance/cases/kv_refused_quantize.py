"""Wrong calls of quantize and dequantize are refused by name, with every byte left as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from accel import Capability
from accel.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    FreedError,
    OverlapError,
    ShapeError,
    SizeError,
)
from accel.kv import QuantSpec
from accel_conformance.case import case
from accel_conformance.quantize_work import QuantCall, QuantWork, quant_work
from accel_conformance.refusals import as_double, assert_untouched

quant = quant_work

NEEDS = [Capability.KV_QUANTIZE]
BOTH = pytest.mark.parametrize("back", [False, True], ids=["quantize", "dequantize"])
SPEC = QuantSpec("int8", "group", group_size=8, symmetric=False)
INT4 = QuantSpec("int4", "channel")
SHAPE = (2, 5, 32)

Errors = type[ArgumentError] | tuple[type[ArgumentError], ...]
Change = Callable[[dict[str, Any]], object]

#: ``values`` stands for x and for out.
VALUES = ("x", "out")


def _set(name: str, value: object) -> Change:
    return lambda call: call.update({name: value})


def _apply(name: str, function: Callable[[torch.Tensor], object]) -> Change:
    return lambda call: call.update({name: function(call[name])})


#: What is wrong -> the errors allowed, the argument, and how to make the call wrong.
WRONG: dict[str, tuple[Errors, str, Change]] = {
    "values-none": (DTypeError, "values", _set("values", None)),
    "values-list": (DTypeError, "values", _set("values", [[1.0]])),
    "values-double": (DTypeError, "values", _apply("values", as_double)),
    "values-int": (DTypeError, "values", _apply("values", lambda t: t.to(torch.int16))),
    "values-on-meta": (DeviceError, "values", _apply("values", lambda t: t.to("meta"))),
    "values-sparse": (DTypeError, "values", _apply("values", lambda t: t.cpu().to_sparse())),
    "values-one-axis": (ShapeError, "values", _apply("values", lambda t: t[0, 0])),
    "values-no-axis": (ShapeError, "values", _apply("values", lambda t: t[0, 0, 0])),
    "values-narrow": (ShapeError, "codes", _apply("values", lambda t: t[..., :24])),
    "values-no-multiple": (
        (SizeError, ShapeError), "group_size", _apply("values", lambda t: t[..., :31])
    ),
    "codes-none": (DTypeError, "codes", _set("codes", None)),
    "codes-dtype": (DTypeError, "codes", _apply("codes", lambda t: t.view(torch.uint8))),
    "codes-float": (DTypeError, "codes", _apply("codes", lambda t: t.float())),
    "codes-on-meta": (DeviceError, "codes", _apply("codes", lambda t: t.to("meta"))),
    "codes-narrow": (ShapeError, "codes", _apply("codes", lambda t: t[..., 1:])),
    "codes-short": (ShapeError, "codes", _apply("codes", lambda t: t[:, 1:])),
    "codes-flat": (ShapeError, "codes", _apply("codes", lambda t: t.flatten(0, 1))),
    "scales-none": (DTypeError, "scales", _set("scales", None)),
    "scales-number": (DTypeError, "scales", _set("scales", 1.0)),
    "scales-half": (DTypeError, "scales", _apply("scales", lambda t: t.half())),
    "scales-double": (DTypeError, "scales", _apply("scales", as_double)),
    "scales-on-meta": (DeviceError, "scales", _apply("scales", lambda t: t.to("meta"))),
    "scales-narrow": (ShapeError, "scales", _apply("scales", lambda t: t[..., 1:])),
    "scales-per-token": (ShapeError, "scales", _apply("scales", lambda t: t[..., 0])),
    "offsets-missing": (ArgumentError, "offsets", _set("offsets", None)),
    "offsets-half": (DTypeError, "offsets", _apply("offsets", lambda t: t.half())),
    "offsets-on-meta": (DeviceError, "offsets", _apply("offsets", lambda t: t.to("meta"))),
    "offsets-narrow": (ShapeError, "offsets", _apply("offsets", lambda t: t[..., 1:])),
    "offsets-short": (ShapeError, "offsets", _apply("offsets", lambda t: t[1:])),
    "spec-none": (DTypeError, "spec", _set("spec", None)),
    "spec-name": (DTypeError, "spec", _set("spec", "int8")),
    "spec-dict": (DTypeError, "spec", _set("spec", {"dtype": "int8"})),
    "spec-symmetric": (
        ArgumentError, "offsets", _set("spec", QuantSpec("int8", "group", group_size=8))
    ),
    "spec-other-size": (
        ShapeError, "scales",
        _set("spec", QuantSpec("int8", "group", group_size=16, symmetric=False)),
    ),
    "spec-other-axis": (
        ShapeError, "scales", _set("spec", QuantSpec("int8", "channel", symmetric=False))
    ),
    "spec-other-codes": (
        (DTypeError, ShapeError), "codes",
        _set("spec", QuantSpec("int4", "group", group_size=8, symmetric=False)),
    ),
    "stream-no-stream": (ArgumentError, "stream", _set("stream", "main")),
}  # fmt: skip


def _call(quant: QuantWork, back: bool, spec: QuantSpec = SPEC) -> QuantCall:
    if back:
        return quant.dequantize(SHAPE, spec, torch.float16)
    return quant.quantize(quant.values(SHAPE, torch.float16), spec)


def _refused(
    quant: QuantWork, call: QuantCall, error: Errors, argument: tuple[str, ...],
    arguments: dict[str, Any],
) -> None:  # fmt: skip
    """``arguments`` has ``values`` for x or out, and may have spec and stream."""
    given = {"spec": call.spec, **arguments}
    given["out" if call.back else "x"] = given.pop("values")
    kernels = quant.backend.kv
    method: Callable[..., None] = kernels.dequantize if call.back else kernels.quantize
    watched = [o.raw for o in call.operands.values() if o.raw.untyped_storage().nbytes()]
    assert_untouched(error, argument, lambda: method(**given), *watched, settle=quant.settle)


def _arguments(call: QuantCall) -> dict[str, Any]:
    made: dict[str, Any] = dict(call.tensors())
    made["values"] = made.pop("out" if call.back else "x")
    return made


@case(level=2, needs=NEEDS)
@BOTH
@pytest.mark.parametrize("what", WRONG)
def test_quantize_refused(quant: QuantWork, what: str, back: bool) -> None:
    """Anything wrong with a tensor, the spec or the stream."""
    error, argument, change = WRONG[what]
    call = _call(quant, back)
    arguments = _arguments(call)
    change(arguments)
    names = VALUES if argument == "values" else (argument,)
    _refused(quant, call, error, names, arguments)


@case(level=2, needs=NEEDS)
@BOTH
def test_quantize_refused_offsets_of_symmetric(quant: QuantWork, back: bool) -> None:
    """Offsets where the spec has none."""
    call = _call(quant, back, INT4)
    arguments = _arguments(call)
    arguments["offsets"] = torch.zeros_like(arguments["scales"])
    _refused(quant, call, ArgumentError, ("offsets",), arguments)


@case(level=2, needs=NEEDS)
@BOTH
def test_quantize_refused_int4(quant: QuantWork, back: bool) -> None:
    """int4: an odd number of channels; bytes that do not lie side by side."""
    call = _call(quant, back, INT4)
    arguments = _arguments(call)
    odd = {**arguments, "values": arguments["values"][..., 1:]}
    _refused(quant, call, ShapeError, VALUES, odd)
    codes = arguments["codes"]
    spread = torch.zeros((*codes.shape, 2), dtype=codes.dtype, device=codes.device)
    _refused(quant, call, ShapeError, ("codes",), {**arguments, "codes": spread[..., 0]})


@case(level=2, needs=NEEDS)
@BOTH
@pytest.mark.parametrize("name", ["values", "codes", "scales", "offsets"])
def test_quantize_refused_freed(quant: QuantWork, name: str, back: bool) -> None:
    """Tensors whose memory was released."""
    call = _call(quant, back)
    arguments = _arguments(call)
    gone = arguments[name].clone()
    gone.untyped_storage().resize_(0)
    names = VALUES if name == "values" else (name,)
    _refused(quant, call, FreedError, names, {**arguments, name: gone})


@case(level=2, needs=NEEDS)
@pytest.mark.parametrize("name", ["codes", "scales", "offsets", "out"])
def test_quantize_refused_expanded(quant: QuantWork, name: str) -> None:
    """A tensor that is written and has two elements in one place."""
    back = name == "out"
    call = _call(quant, back)
    arguments = _arguments(call)
    key = "values" if back else name
    t = arguments[key]
    for wrong in (t[:1].expand(t.shape), t[:, :, :1].expand(t.shape)):
        _refused(quant, call, OverlapError, (name,), {**arguments, key: wrong})
    flat = t.new_empty(t.numel())
    folded = flat.as_strided(t.shape, (t.shape[1] * t.shape[2] // 2, t.shape[2], 1))
    _refused(quant, call, OverlapError, (name,), {**arguments, key: folded})


@case(level=2, needs=NEEDS)
@BOTH
@pytest.mark.parametrize("by", ["all", "one-byte"])
@pytest.mark.parametrize(
    ("first", "second"),
    [("values", "codes"), ("values", "scales"), ("values", "offsets"), ("codes", "scales"),
     ("codes", "offsets"), ("scales", "offsets")],
)  # fmt: skip
def test_quantize_refused_overlap(
    quant: QuantWork, first: str, second: str, by: str, back: bool
) -> None:
    """Two operands that share memory, one of them written."""
    if back and first != "values":  # it only reads those
        first, second = "values", first
    call = _call(quant, back)
    arguments = _arguments(call)
    sizes = [arguments[n].numel() * arguments[n].element_size() for n in (first, second)]
    raw = torch.zeros(sum(sizes) + 16, dtype=torch.uint8, device=quant.backend.device)
    # The second one begins in the first, or on its last element of four bytes.
    start = 0 if by == "all" else sizes[0] - 4
    for name, size, at in zip((first, second), sizes, (0, start), strict=True):
        t = arguments[name]
        arguments[name] = raw[at : at + size].view(t.dtype).view(t.shape)
    names = (*VALUES, "codes", "scales", "offsets")
    _refused(quant, call, OverlapError, names, arguments)
    assert not raw.any()


@case(level=2, needs=NEEDS)
@BOTH
def test_quantize_shared_allocation(quant: QuantWork, back: bool) -> None:
    """Operands of one allocation that interleave without a common byte are no mistake."""
    for spec in (SPEC, INT4):
        call = _call(quant, back, spec)
        expected = {n: o.expected_values() for n, o in call.operands.items()}
        # Rows of one token each: its values, codes, scales and offsets, padded to whole float32.
        tensors = {n: t for n, t in call.tensors().items() if t is not None}
        width = {n: -(-t.shape[-1] * t.element_size() // 4) * 4 for n, t in tensors.items()}
        step, at = sum(width.values()), 0
        raw = quant.place("all operands", None, (SHAPE[0] * SHAPE[1] * step,), torch.uint8).view
        for name, t in tensors.items():
            size = t.element_size()
            strides = tuple(step // size * s for s in ((SHAPE[1], 1) if t.dim() == 3 else (1,)))
            flat = raw.view(t.dtype)
            moved = flat.as_strided(t.shape, (*strides, 1), flat.storage_offset() + at // size)
            moved.copy_(t)
            call.operands[name].view = moved
            at += width[name]
        quant.settle()
        call.run()
        quant.settle()
        for name, operand in call.operands.items():
            got, wanted = (t.double().nan_to_num(7.0) for t in (operand.view.cpu(), expected[name]))
            assert torch.equal(got, wanted), name
