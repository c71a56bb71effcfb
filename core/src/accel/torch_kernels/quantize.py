"""``quantize`` and ``dequantize`` by float32 operators, one rounding each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import DeviceError
from ..kv.quantize_arguments import check_dequantize, check_quantize, check_spec
from ..providers.kv_quantize import KVQuantize
from .numbers import elements, from_float32, rounded, to_float32
from .queue import Queue

if TYPE_CHECKING:
    import torch

    from ..kv import QuantSpec
    from ..providers import Stream

__all__ = ["TorchQuantize"]

_LARGEST = 3.4028234663852886e38  #: the largest finite float32


class TorchQuantize(KVQuantize):
    """Ranges by reductions, then element by element; nothing in float64 or fp8."""

    _queue: Queue

    def quantize(
        self,
        x: torch.Tensor,
        codes: torch.Tensor,
        scales: torch.Tensor,
        offsets: torch.Tensor | None = None,
        *,
        spec: QuantSpec,
        stream: Stream | None = None,
    ) -> None:
        self._queue.check(stream)
        spec = check_spec(spec)
        check_quantize(x, codes, scales, offsets, spec, (self._queue.device.type,))
        self._check_device("x", x)
        given = [t.detach() for t in (x, codes, scales, offsets) if t is not None]
        self._queue.submit(stream, lambda: _quantize(given, spec), given)

    def dequantize(
        self,
        codes: torch.Tensor,
        scales: torch.Tensor,
        offsets: torch.Tensor | None,
        out: torch.Tensor,
        *,
        spec: QuantSpec,
        stream: Stream | None = None,
    ) -> None:
        self._queue.check(stream)
        spec = check_spec(spec)
        check_dequantize(codes, scales, offsets, out, spec, (self._queue.device.type,))
        self._check_device("out", out)
        given = [t.detach() for t in (out, codes, scales, offsets) if t is not None]
        self._queue.submit(stream, lambda: _dequantize(given, spec), given)

    def _check_device(self, name: str, tensor: torch.Tensor) -> None:
        if tensor.device != self._queue.device:
            raise DeviceError(name, f"a tensor on {self._queue.device}", tensor.device)


def _quantize(given: list[torch.Tensor], spec: QuantSpec) -> None:
    import torch

    x, codes, scales, *rest = given
    if not x.numel():
        scales.fill_(1.0)
        for offsets in rest:
            offsets.zero_()
        return
    values = _by_group(to_float32(elements(x).contiguous(), _name(x)), spec)
    axis = -2 if spec.axis == "channel" else -1
    finite = values.isfinite()
    none = ~finite.any(axis)
    high = torch.where(finite, values, -torch.inf).amax(axis)
    low = torch.where(finite, values, torch.inf).amin(axis)
    zero = torch.zeros_like(low)
    high, low = torch.where(none, zero, high), torch.where(none, zero, low)
    if spec.symmetric:
        width = torch.maximum(high, -low)
    else:
        low = torch.where(low == 0, zero, low)  # for -0.0 too
        width = (high - low).clamp(max=_LARGEST)
        values = values - low.unsqueeze(axis)
    # By a tensor: some devices multiply with a number's reciprocal instead.
    scale = width / torch.full_like(width, spec.steps)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    scaled = (values / scale.unsqueeze(axis)).reshape(x.shape)
    elements(codes).copy_(_codes(scaled, spec))
    scales.copy_(scale)
    for offsets in rest:
        offsets.copy_(low)


def _codes(scaled: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
    """Bytes of the codes."""
    import torch

    if spec.is_float:
        return from_float32(scaled, spec.dtype)
    held = torch.where(scaled.isnan(), torch.zeros_like(scaled), scaled)
    codes = rounded(held, spec.lowest - spec.zero, spec.highest - spec.zero) + spec.zero
    codes = codes & 0xFF
    if spec.dtype == "int4":
        codes = (codes[..., 0::2] & 0xF) | ((codes[..., 1::2] & 0xF) << 4)
    return codes.to(torch.uint8)


def _dequantize(given: list[torch.Tensor], spec: QuantSpec) -> None:
    import torch

    out, codes, scales, *rest = given
    if not out.numel():
        return
    bits = elements(codes).contiguous()
    if spec.dtype == "int4":
        pairs = bits.int()
        nibbles = torch.stack([pairs & 0xF, pairs >> 4], -1).flatten(-2)
        values = ((nibbles ^ 8) - 8).float()
    elif spec.dtype == "uint8":
        values = bits.float()
    else:
        values = to_float32(bits, spec.dtype)
    axis = -2 if spec.axis == "channel" else -1
    values = _by_group(values - float(spec.zero), spec) * scales.unsqueeze(axis)
    for offsets in rest:
        values = values + offsets.unsqueeze(axis)
    elements(out).copy_(from_float32(values.reshape(out.shape), _name(out)))


def _by_group(values: torch.Tensor, spec: QuantSpec) -> torch.Tensor:
    """With groups of channels on an axis of their own, where they share a scale."""
    if spec.axis != "group":
        return values
    return values.reshape(*values.shape[:-1], -1, spec.group_size)


def _name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
