"""Quantising by the native row loops."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from accel.kv.quantize_arguments import check_dequantize, check_quantize, check_spec
from accel.providers.kv_quantize import KVQuantize

from ._native import quantize as _native

if TYPE_CHECKING:
    import torch

    from accel.kv import QuantSpec
    from accel.providers import Stream

__all__ = ["CpuKVQuantize"]

_HOST = ("cpu",)


class CpuKVQuantize(KVQuantize):
    """A row at a time through the first-level cache, on all threads.

    A call enters C++ once, which sees for itself that the operands are right and apart from one
    another. Where it does not, the shared checks of core decide.
    """

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
        native = _resolved(spec)
        if not native.quantize(x, codes, scales, offsets, stream, False):
            check_quantize(x, codes, scales, offsets, spec, _HOST)
            native.quantize(x, codes, scales, offsets, stream, True)

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
        native = _resolved(spec)
        if not native.dequantize(codes, scales, offsets, out, stream, False):
            check_dequantize(codes, scales, offsets, out, spec, _HOST)
            native.dequantize(codes, scales, offsets, out, stream, True)


def _resolved(spec: QuantSpec) -> Any:
    try:
        return _made(spec)
    except TypeError:
        check_spec(spec)  # what cannot be hashed is none
        raise


@lru_cache(maxsize=256)
def _made(spec: QuantSpec) -> Any:
    check_spec(spec)
    return _native.Spec(
        spec.dtype, spec.axis, spec.group_size, spec.symmetric,
        spec.zero, spec.lowest, spec.highest, spec.steps,
    )  # fmt: skip
