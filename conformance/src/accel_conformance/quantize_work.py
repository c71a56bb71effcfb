"""The ``quant`` fixture: operands of quantize and dequantize in memory of any stride, compared.

A case module says ``quant = quant_work`` once and asks for ``quant``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import torch

from accel import Backend, Capability
from accel.kv import QuantSpec

from .byte_compare import assert_same_bytes, host_copy, random_bytes
from .guards import Guards
from .one_thread import one_thread
from .quantize_expected import expect_dequantized, expect_quantized

if TYPE_CHECKING:
    from accel.providers import Stream

__all__ = ["FORMS", "SPECS", "Operand", "QuantCall", "QuantWork", "quant_work", "spec_name"]

VALUE_DTYPES = (torch.float16, torch.bfloat16, torch.float32)

#: How a tensor lies in memory: contiguous; rows apart from one another; every second element;
#: the last two axes swapped; all axes in reverse; off its alignment.
FORMS = ("plain", "rows", "stepped", "swapped", "reversed", "shifted")

#: Those that leave the elements of a row side by side.
ROW_FORMS = ("plain", "rows", "shifted")


def _specs() -> tuple[QuantSpec, ...]:
    made = []
    for axis, size in (("token", 0), ("channel", 0), ("group", 32)):
        for symmetric in (True, False):
            for dtype, bins in (("int8", 0), ("int4", 0), ("uint8", 33), ("uint8", 256)):
                made.append(QuantSpec(dtype, axis, size, symmetric, bins))  # type: ignore[arg-type]
        for dtype in ("float8_e4m3fn", "float8_e5m2"):
            made.append(QuantSpec(dtype, axis, size))  # type: ignore[arg-type]
    return tuple(made)


#: Every code, shared along every axis, symmetric and asymmetric.
SPECS = _specs()


def spec_name(value: object) -> str:
    """A short name for an id of a case."""
    if not isinstance(value, QuantSpec):
        return str(value).removeprefix("torch.")
    bins = str(value.bins) if value.bins else ""
    size = str(value.group_size) if value.group_size else ""
    sides = "symmetric" if value.symmetric else "asymmetric"
    dtype = value.dtype.removeprefix("float8_")
    return f"{dtype}{'x' if bins else ''}{bins}-{value.axis}{size}-{sides}"


@dataclass
class Operand:
    """A tensor, the guarded memory under it, and what that must hold."""

    name: str
    view: torch.Tensor
    raw: torch.Tensor  #: flat, in the view's dtype, gaps and all
    expected: torch.Tensor  #: a copy of ``raw`` on the host

    def expect(self, values: torch.Tensor) -> None:
        """It must hold these; the gaps must stay as they are."""
        self._over(self.expected).copy_(values)

    def expected_values(self) -> torch.Tensor:
        """What the tensor must hold."""
        return self._over(self.expected).clone()

    @one_thread()
    def check(self) -> None:
        """Fail unless every byte is as expected; in ``out`` any NaN is as good as another."""
        got = host_copy(self.raw)
        if self.name == "out":
            wanted, given = self._over(self.expected), self._over(got)
            both = wanted.isnan() & given.isnan()
            wanted.copy_(torch.where(both, given, wanted))
        assert_same_bytes(got, self.expected, self.name)

    def _over(self, flat: torch.Tensor) -> torch.Tensor:
        start = self.view.storage_offset() - self.raw.storage_offset()
        return flat.as_strided(self.view.shape, self.view.stride(), start)


@dataclass
class QuantCall:
    """One ``quantize`` or ``dequantize``, its operands in place and its result known."""

    work: QuantWork
    spec: QuantSpec
    back: bool
    operands: dict[str, Operand]  #: x or out, codes, scales, offsets

    @property
    def inputs(self) -> list[Operand]:
        """What it reads."""
        names = ("codes", "scales", "offsets") if self.back else ("x",)
        return [self.operands[n] for n in names if n in self.operands]

    @property
    def outputs(self) -> list[Operand]:
        """What it writes."""
        read = [o.name for o in self.inputs]
        return [o for o in self.operands.values() if o.name not in read]

    def tensors(self) -> dict[str, torch.Tensor | None]:
        """The arguments by name, without ``spec``."""
        made: dict[str, torch.Tensor | None] = {n: o.view for n, o in self.operands.items()}
        return {"offsets": None, **made}

    def run(self, stream: Stream | None = None) -> None:
        """Make the call."""
        kernels = self.work.backend.kv
        method = kernels.dequantize if self.back else kernels.quantize
        method(**self.tensors(), spec=self.spec, stream=stream)  # type: ignore[arg-type]

    @one_thread()
    def expect(self, inputs: Mapping[str, torch.Tensor] | None = None) -> None:
        """Work out the result for these inputs, or for what they hold now."""
        given = inputs or {o.name: host_copy(o.view) for o in self.inputs}
        if self.back:
            out = self.operands["out"]
            out.expect(
                expect_dequantized(
                    given["codes"], given["scales"], given.get("offsets"), self.spec, out.view.dtype
                )
            )
            return
        for name, values in zip(
            ("codes", "scales", "offsets"), expect_quantized(given["x"], self.spec), strict=True
        ):
            if values is not None:
                self.operands[name].expect(values)

    def check(self) -> None:
        """Compare every byte of every operand, and of the gaps in them."""
        for operand in self.operands.values():
            operand.check()


class QuantWork:
    """One case's operands and calls."""

    def __init__(self, backend: Backend, guarded: Guards, rng: torch.Generator) -> None:
        self.backend = backend
        self.rng = rng
        self._guarded = guarded

    def settle(self) -> None:
        """Wait until the device is idle."""
        if Capability.STREAMS in self.backend.capabilities:
            self.backend.streams.synchronize()

    def values(self, shape: Sequence[int], dtype: torch.dtype, spread: float = 3.0) -> torch.Tensor:
        """Random values as keys have them: some channels larger than others, some apart from 0."""
        size, apart, noise = (
            torch.randn(s, generator=self.rng) for s in (shape[-1:], shape[-1:], tuple(shape))
        )
        return ((noise + apart) * (size * spread).exp2()).to(dtype)

    def place(
        self, name: str, values: torch.Tensor | None, shape: Sequence[int], dtype: torch.dtype,
        form: str = "plain",
    ) -> Operand:  # fmt: skip
        """An operand that holds ``values``, or poison, and lies in memory as ``form`` says."""
        strides, need, start = _lie(tuple(shape), form)
        raw = self._guarded(need, dtype)
        view = raw.as_strided(tuple(shape), strides, raw.storage_offset() + start)
        if values is not None:
            view.copy_(values)
        self.settle()
        return Operand(name, view, raw, host_copy(raw))

    def quantize(
        self, x: torch.Tensor, spec: QuantSpec, form: str = "plain", out_form: str = "plain"
    ) -> QuantCall:
        """The call, ready to be made; ``x`` is on the host."""
        made = {"x": self.place("x", x, x.shape, x.dtype, form)}
        made |= self._quantized(x.shape, spec, out_form)
        call = QuantCall(self, spec, False, made)
        call.expect()
        return call

    def dequantize(
        self, shape: Sequence[int], spec: QuantSpec, dtype: torch.dtype,
        form: str = "plain", in_form: str = "plain",
    ) -> QuantCall:  # fmt: skip
        """The call for random codes and scales; ``form`` is how ``out`` lies in memory."""
        made = self._quantized(shape, spec, in_form)
        for operand in made.values():
            filled = random_bytes(operand.view.shape, operand.view.dtype, self.rng)
            if operand.view.dtype == torch.float32:
                plain = torch.randn(filled.shape, generator=self.rng)
                wild = torch.rand(filled.shape, generator=self.rng) < 0.1
                filled = torch.where(wild, filled, plain)
            operand.view.copy_(filled)
            self.settle()
            operand.expect(filled)
        made["out"] = self.place("out", None, shape, dtype, form)
        call = QuantCall(self, spec, True, made)
        call.expect()
        return call

    def run(self, call: QuantCall) -> None:
        """Make the call and compare."""
        call.run()
        self.settle()
        call.check()

    def _quantized(self, shape: Sequence[int], spec: QuantSpec, form: str) -> dict[str, Operand]:
        row_form = form if spec.dtype != "int4" or form in ROW_FORMS else "rows"
        codes = self.place("codes", None, spec.codes_shape(shape), spec.codes_dtype, row_form)
        made = {"codes": codes}
        for name in ("scales",) if spec.symmetric else ("scales", "offsets"):
            made[name] = self.place(name, None, spec.scales_shape(shape), torch.float32, form)
        return made


def _lie(shape: tuple[int, ...], form: str) -> tuple[tuple[int, ...], int, int]:
    """Strides, elements needed in all, and the first one's place."""
    order = list(range(len(shape)))
    if form == "swapped" and len(order) > 1:
        order[-2:] = reversed(order[-2:])
    elif form == "reversed":
        order.reverse()
    strides, step = [0] * len(shape), 2 if form == "stepped" else 1
    for i in reversed(order):
        strides[i] = step
        step *= max(shape[i], 1)
        if form == "rows" and i == order[-1]:
            step += 3
    start = 1 if form == "shifted" else 0
    need = start + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1
    return tuple(strides), need if math.prod(shape) else start, start


@pytest.fixture
def quant_work(backend: Backend, guarded: Guards, rng: torch.Generator) -> QuantWork:
    """This case's operands and calls."""
    return QuantWork(backend, guarded, rng)
