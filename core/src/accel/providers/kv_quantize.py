"""Quantising tensors of keys and values."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..capabilities import Capability
from .base import Provider

if TYPE_CHECKING:
    import torch

    from ..kv.quantization import QuantSpec
    from .streams import Stream

__all__ = ["KVQuantize"]


class KVQuantize(Provider):
    """Quantising to codes with scales, and back. Capability: ``KV_QUANTIZE``.

    :class:`accel.kv.QuantSpec` says what the codes are and what shares a scale;
    ``spec.allocate(x.shape)`` makes the tensors.

    * Work is queued on ``stream`` (the current stream if None); tensors are kept alive until it
      has run. Errors are raised before anything is written.
    * ``x`` and ``out`` are float16, bfloat16 or float32 ``[..., tokens, channels]``, any strides.
      ``codes``, ``scales`` and ``offsets`` may be strided too, but for packed int4, whose bytes lie
      side by side along channels. No operand that is written shares memory with another.

    Bit for bit the same on every backend, all arithmetic in IEEE float32 with subnormal numbers,
    rounded to nearest even after each operation:

    * A range is taken over the finite values that share a scale, zero if there are none.
      Symmetric: ``scale = max(|x|) / spec.steps``. Asymmetric: ``offset = min(x)`` (0.0 for -0.0),
      ``scale = (max(x) - offset) / spec.steps``, a difference that overflows taken as the largest
      finite float32. A scale that is not above zero becomes 1.0.
    * Integer codes: ``round(x / scale)`` or ``round((x - offset) / scale)``, to nearest even, plus
      ``spec.zero``, saturated to the codes' range (infinities too); NaN becomes ``spec.zero``.
    * fp8 codes: ``x / scale`` rounded to nearest even, saturated to the largest finite value
      (infinities too), zeros and what becomes zero keep their sign; NaN becomes 0x7F, which is NaN.
    * Back: ``(code - spec.zero) * scale``, then ``+ offset`` if asymmetric, then rounded to
      ``out``'s dtype (nearest even; what is too large for it becomes infinite; NaN stays NaN, with
      any payload).

    So finite values come back from integer codes within half a scale, and some units in the last
    place of float32 and of ``out``'s dtype. Not those whose distance from ``offset`` overflows, nor
    any where the scale is subnormal, which is too coarse.
    """

    area: ClassVar[str] = "kv"

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
        """Quantise ``x`` into ``codes``, and say how in ``scales`` and ``offsets``.

        Args:
            x: ``[..., tokens, channels]``; any extent may be 0.
            codes: ``spec.codes_shape(x.shape)``, ``spec.codes_dtype``.
            scales, offsets: ``spec.scales_shape(x.shape)``, float32; ``offsets`` is None when
                symmetric.

        Raises:
            ArgumentError: ``offsets`` missing, or given with a symmetric ``spec``.
            DTypeError, ShapeError, SizeError, DeviceError, FreedError: not such tensors.
            ShapeError: int4 codes whose bytes do not lie side by side along channels.
            OverlapError: operands share memory, or an operand that is written overlaps itself.
        """
        raise self.unsupported(Capability.KV_QUANTIZE)

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
        """The values that ``codes`` stand for, into ``out``.

        Args:
            codes, scales, offsets: as :meth:`quantize` left them; any float32 scales and offsets
                and any codes are taken as they are.
            out: ``[..., tokens, channels]``.

        Raises:
            As :meth:`quantize`.
        """
        raise self.unsupported(Capability.KV_QUANTIZE)
