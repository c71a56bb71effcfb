"""Stream order of quantize and dequantize: they run where they were queued, on what was there."""

from __future__ import annotations

import gc

import pytest
import torch

from accel import Backend, Capability
from accel.errors import ShapeError
from accel.kv import QuantSpec
from accel_conformance.case import case
from accel_conformance.gates import Gates
from accel_conformance.quantize_work import QuantCall, QuantWork, quant_work

quant = quant_work

NEEDS = [Capability.KV_QUANTIZE, Capability.STREAMS, Capability.COPY]
BOTH = pytest.mark.parametrize("back", [False, True], ids=["quantize", "dequantize"])
SPEC = QuantSpec("int8", "channel", symmetric=False)
SHAPE = (2, 30, 64)


def _call(quant: QuantWork, back: bool) -> QuantCall:
    if back:
        return quant.dequantize(SHAPE, SPEC, torch.bfloat16)
    return quant.quantize(quant.values(SHAPE, torch.bfloat16), SPEC)


def _other_contents(quant: QuantWork, call: QuantCall) -> list[torch.Tensor]:
    """Other contents for the inputs, on the device."""
    other = _call(quant, call.back)
    return [operand.view for operand in other.inputs]


@case(level=2, needs=NEEDS)
@BOTH
def test_quantize_between_two_copies(
    quant: QuantWork, backend: Backend, gate: Gates, back: bool
) -> None:
    """Behind a copy that fills its input, and ahead of one that spoils it, on one stream."""
    call = _call(quant, back)
    final = [operand.view.clone() for operand in call.inputs]
    spoilt = _other_contents(quant, call)
    for operand, wrong in zip(call.inputs, spoilt, strict=True):
        operand.view.copy_(wrong)
    quant.settle()
    stream = backend.streams.create()
    with gate(stream):
        for contents in (final, spoilt):
            for operand, values in zip(call.inputs, contents, strict=True):
                backend.memcpy.copy_async(operand.view, values, stream)
            if contents is final:
                call.run(stream)
        for operand, values in zip(call.inputs, final, strict=True):  # as they are compared
            backend.memcpy.copy_async(operand.view, values, stream)
    stream.synchronize()
    call.check()


@case(level=2, needs=NEEDS)
@BOTH
def test_quantize_keeps_operands(
    quant: QuantWork, backend: Backend, gate: Gates, back: bool
) -> None:
    """Tensors dropped while the work is queued are not reused before it ran."""
    call = _call(quant, back)
    inputs = {o.name: o.view.clone() for o in call.inputs}  # memory that nobody else holds
    arguments = {**call.tensors(), **inputs}
    sizes = [(t.numel(), t.dtype) for t in inputs.values()]
    kernels = backend.kv
    method = kernels.dequantize if back else kernels.quantize
    quant.settle()
    stream = backend.streams.create()
    with gate(stream):
        method(**arguments, spec=SPEC, stream=stream)  # type: ignore[arg-type]
        del inputs, arguments
        gc.collect()
        # Whoever allocates now must not get memory that queued work still reads.
        scribble = [
            torch.full((n,), 1, dtype=torch.uint8, device=backend.device).to(dtype)
            for n, dtype in sizes
            for _ in range(4)
        ]
    stream.synchronize()
    call.check()
    del scribble


@case(level=2, needs=NEEDS)
@BOTH
def test_quantize_dropped_altogether(
    quant: QuantWork, backend: Backend, gate: Gates, back: bool
) -> None:
    """Nobody holds any operand any more: the work still has memory to run on."""
    shape = (64, 128)
    x = torch.ones(shape, device=backend.device)
    made = SPEC.allocate(shape, backend.device)
    for t in made:
        if t is not None:
            t.zero_()
    quant.settle()
    stream = backend.streams.create()
    with gate(stream):
        if back:
            backend.kv.dequantize(*made, x, spec=SPEC, stream=stream)
        else:
            backend.kv.quantize(x, *made, spec=SPEC, stream=stream)
        del x, made
        gc.collect()
    stream.synchronize()


@case(level=2, needs=NEEDS)
@BOTH
@pytest.mark.parametrize("which", ["default", "created"])
def test_quantize_current_stream(
    quant: QuantWork, backend: Backend, which: str, back: bool
) -> None:
    """Without a stream the call goes to the current one, between eager torch operations."""
    call = _call(quant, back)
    final = [operand.view.clone() for operand in call.inputs]
    spoilt = _other_contents(quant, call)
    for operand, wrong in zip(call.inputs, spoilt, strict=True):
        operand.view.copy_(wrong)
    quant.settle()
    streams = backend.streams
    stream = streams.default() if which == "default" else streams.create()
    with backend.stream(stream):
        for contents in (final, spoilt, final):
            for operand, values in zip(call.inputs, contents, strict=True):
                operand.view.copy_(values)
            if contents is final:
                call.run()
    stream.synchronize()
    call.check()


@case(level=2, needs=NEEDS)
def test_quantize_then_dequantize(quant: QuantWork, backend: Backend, gate: Gates) -> None:
    """One after the other on one stream, and on two that are ordered."""
    for streams in (1, 2):
        first = _call(quant, False)
        out = quant.place("out", None, SHAPE, torch.bfloat16)
        middle = {n: o for n, o in first.operands.items() if n != "x"}
        second = QuantCall(quant, SPEC, True, {**middle, "out": out})
        second.expect({n: o.expected_values() for n, o in middle.items()})
        one = backend.streams.create()
        other = one if streams == 1 else backend.streams.create()
        with gate(one):
            first.run(one)
            if other is not one:
                other.wait_stream(one)
            second.run(other)
        for stream in (one, other):
            stream.synchronize()
        first.check()
        second.check()


@case(level=2, needs=NEEDS)
@BOTH
def test_quantize_refused_while_held(
    quant: QuantWork, backend: Backend, gate: Gates, back: bool
) -> None:
    """A wrong call raises at once, whatever the stream is doing, and the stream stays usable."""
    call = _call(quant, back)
    wrong = _call(quant, back)
    wrong.operands["scales"].view = wrong.operands["scales"].view[..., :-1]
    quant.settle()
    stream = backend.streams.create()
    with gate(stream):
        for _ in range(2):
            with pytest.raises(ShapeError, match="scales"):
                wrong.run(stream)
            call.run(stream)
    stream.synchronize()
    call.check()
