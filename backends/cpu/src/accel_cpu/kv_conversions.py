"""Writes of codes and conversions of caches by the native engine: its part of ``CpuKVKernels``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel.capabilities import Capability, Level
from accel.kv.convert import check_conversion, conversion_scales, plan_convert
from accel.kv.quantized_write import plan_quantized_write
from accel.native_kernels.prepared import Prepared
from accel.providers import KVConvert

from ._native import kv as _native

if TYPE_CHECKING:
    import torch

    from accel.kv import KVCache
    from accel.providers import Stream

__all__ = ["CONVERSIONS", "CpuConversions"]

#: What this adds to the capabilities.
CONVERSIONS = {
    Capability.KV_WRITE_QUANTIZED: Level.NATIVE,
    Capability.KV_CONVERT: Level.NATIVE,
}

_write_quantized = _native.write_quantized
_convert = _native.convert


class CpuConversions(Prepared, KVConvert):
    """Loads, arithmetic in float32 and stores on rows of elements, on all threads.

    As for transfers, a call looks up what was prepared and enters C++ once.
    """

    def __init__(self) -> None:
        super().__init__()
        # By pair of caches, then by whether either side's heads have scales of their own.
        self._converters: dict[tuple[int, int], dict[tuple[bool, bool], Any]] = {}

    def _write_quantized(
        self,
        cache: KVCache,
        layer: int,
        key: torch.Tensor,
        value: torch.Tensor | None,
        slots: torch.Tensor,
        key_scale: float | torch.Tensor | None,
        value_scale: float | torch.Tensor | None,
        stream: Stream | None,
    ) -> None:
        """``write`` with scales."""
        try:
            writer = self._writers[cache.uid]
            if _write_quantized(
                writer, cache, layer, key, value, slots, key_scale, value_scale, stream
            ):
                return
        except (KeyError, AttributeError):
            writer = self._prepare_writer(cache)
        except TypeError:
            if isinstance(layer, int):
                raise
        # Tensors of a new shape, other numbers than floats, or wrong ones: the plan knows.
        made, scales = plan_quantized_write(cache, layer, key, value, key_scale, value_scale)
        planes = made.plan.planes
        writer.add_quantized(
            key,
            value,
            made.plan.pack(),
            list(made.target),
            [p.src_dtype for p in planes],
            [p.dst_dtype for p in planes],
            [s.per_head for s in scales],
        )
        ours, theirs = _plain(key_scale), _plain(value_scale)
        if not _write_quantized(writer, cache, layer, key, value, slots, ours, theirs, stream):
            raise AssertionError("the plan just made does not fit its own tensors")

    def convert(
        self,
        src: KVCache,
        dst: KVCache,
        *,
        src_scale: float | torch.Tensor | None = None,
        dst_scale: float | torch.Tensor | None = None,
        stream: Stream | None = None,
    ) -> None:
        try:
            of_pair = self._converters[src.uid, dst.uid]
        except (KeyError, AttributeError):
            check_conversion(src, dst, self.devices)
            of_pair = {}
            self._keep(self._converters, (src.uid, dst.uid), of_pair)
        ours, theirs = conversion_scales(src, dst, src_scale, dst_scale)
        apart = (ours is not None and ours.per_head, theirs is not None and theirs.per_head)
        converter = of_pair.get(apart)
        if converter is None:
            plan = plan_convert(src, dst, ours, theirs)
            converter = of_pair[apart] = _native.Converter(
                plan.pack(),
                [p.src_dtype for p in plan.planes],
                [p.dst_dtype for p in plan.planes],
                list(src.pointers),
                list(dst.pointers),
                list(src.tensor_pointers),
                list(dst.tensor_pointers),
                plan.units,
            )
        _convert(
            converter,
            src,
            dst,
            None if ours is None else ours.values,
            apart[0],
            None if theirs is None else theirs.values,
            apart[1],
            stream,
        )

    def close(self) -> None:
        self._converters.clear()
        super().close()


def _plain(scale: Any) -> Any:
    """As the native part takes it: a tensor or None as it is, any number as a float."""
    import torch

    return scale if scale is None or isinstance(scale, torch.Tensor) else float(scale)
