"""Caches of another dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..capabilities import Capability
from .base import Provider

if TYPE_CHECKING:
    import torch

    from ..kv import KVCache
    from .streams import Stream

__all__ = ["KVConvert"]


class KVConvert(Provider):
    """Converting whole caches between dtypes. Capability: ``KV_CONVERT``.

    The arithmetic, also of ``write`` with scales, is the same bit for bit on every backend: values
    go through IEEE float32. A quantised dtype (float8_e4m3fn, float8_e5m2, int8) stands for
    ``code * scale``.

    * To fp8: ``x / scale`` rounded to nearest even, saturated to the largest finite value (448,
      57344), infinities too; NaN becomes 0x7F, which is NaN.
    * To int8: ``x / scale`` rounded to nearest even, saturated to -128 and 127; NaN becomes 0.
    * To float16, bfloat16, float32: rounded to nearest even; what is too large becomes infinite;
      NaN stays NaN (with any payload).
    * From fp8 and int8: ``code * scale``. Between two quantised dtypes the product is rounded to
      float32 before it is divided.

    Zeros keep their sign where the dtype has one, and subnormal numbers are neither read nor
    written as zero.
    """

    area: ClassVar[str] = "kv"

    def convert(
        self,
        src: KVCache,
        dst: KVCache,
        *,
        src_scale: float | torch.Tensor | None = None,
        dst_scale: float | torch.Tensor | None = None,
        stream: Stream | None = None,
    ) -> None:
        """Convert every slot of ``src`` into the same slot of ``dst``.

        The caches may have any two layouts and any of float16, bfloat16, float32, float8_e4m3fn,
        float8_e5m2 and int8, with the same layers, planes and elements per token; slots are token
        indices, so block sizes may differ as long as the number of slots does not.

        Args:
            src_scale, dst_scale: for a quantised side, 1.0 if None; a number, or float32
                ``[]``, ``[planes]``, ``[planes, heads]`` or ``[layers, planes, heads]``; heads are
                those of that side's cache (1 without an axis H). Scales in host memory are read,
                and checked to be finite and above 0, before the call returns.

        Raises:
            ArgumentError: a scale for a side with a plane that is not quantised; a scale that is
                not finite and above 0.
            LayoutError, SizeError, ShapeError, DTypeError: the caches do not hold the same thing,
                or no such scale.
            OverlapError: the caches share memory.
            DeviceError, FreedError: not caches that this device can reach.
        """
        raise self.unsupported(Capability.KV_CONVERT)
