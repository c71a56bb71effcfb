"""Writes of codes and conversions of caches, by indexing and float32 operators."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from accel.capabilities import Capability, Level
from accel.kv.checks import check_cache
from accel.kv.convert import check_conversion, conversion_scales
from accel.kv.overlap import check_bytes, check_destination
from accel.kv.quantized_write import plan_quantized_write
from accel.kv.scales import Scales, check_scales
from accel.kv.write import NAMES
from accel.providers import KVConvert

from .bytes import elements
from .numbers import from_float32, to_float32
from .slots import load, store, written_tokens
from .streams import check_stream

if TYPE_CHECKING:
    import torch

    from accel.kv import KVCache
    from accel.providers import Stream

__all__ = ["CONVERSIONS", "ReferenceConversions"]

_HOST = ("cpu",)

#: What this adds to the capabilities.
CONVERSIONS = {
    Capability.KV_WRITE_QUANTIZED: Level.COMPOSED,
    Capability.KV_CONVERT: Level.COMPOSED,
}


class ReferenceConversions(KVConvert):
    """All values of a call in float32, divided and multiplied there, then stored as they are."""

    def _write_quantized(
        self,
        cache: KVCache,
        layer: int,
        key: torch.Tensor,
        value: torch.Tensor | None,
        slot_mapping: torch.Tensor,
        key_scale: float | torch.Tensor | None,
        value_scale: float | torch.Tensor | None,
    ) -> None:
        """``write`` with scales."""
        import torch

        cache = check_cache("cache", cache, _HOST)
        plan, scales = plan_quantized_write(cache, layer, key, value, key_scale, value_scale)
        check_destination(cache, "cache")
        given = [t for t in (key, value) if t is not None]
        tokens, slots = written_tokens(cache, given, slot_mapping)
        for name, scale in zip(NAMES, scales, strict=False):
            check_scales(f"{name}_scale", scale, tokens)
        planes = [plane for plane, _ in plan.target]
        check_bytes(
            plan.plan.bytes_of(tuple(t.element_size() for t in given)),
            [t.data_ptr() for t in given],
            [cache.pointers[layer * cache.planes + plane] + at for plane, at in plan.target],
            tokens,
            slots,
            "slot_mapping",
            plan.plan.bytes_of(tuple(cache.geometry.planes[p].itemsize for p in planes)),
        )
        parts = []
        for tensor, scale, plane in zip(given, scales, planes, strict=True):
            heads = scale.values.shape[1]
            extents = (len(tokens), heads, math.prod(tensor.shape[1:]) // heads)
            rows = to_float32(tensor.detach()[tokens]).reshape(extents)
            codes = from_float32(
                rows / scale.values[tokens].unsqueeze(-1), cache.views[layer][plane].dtype
            )
            parts.append(elements(codes))
        if cache.planes < len(parts):  # the two parts of one plane's head dim
            parts = [torch.cat(parts, dim=-1)]
        for view, part in zip(cache.views[layer], parts, strict=True):
            store(view, slots, part)

    def convert(
        self,
        src: KVCache,
        dst: KVCache,
        *,
        src_scale: float | torch.Tensor | None = None,
        dst_scale: float | torch.Tensor | None = None,
        stream: Stream | None = None,
    ) -> None:
        import torch

        check_stream(stream)
        check_conversion(src, dst, _HOST)
        ours, theirs = conversion_scales(src, dst, src_scale, dst_scale)
        every = torch.arange(src.slots)
        for layer in range(src.layers):
            for plane in range(src.planes):
                source, target = src.views[layer][plane], dst.views[layer][plane]
                x = to_float32(load(source, every).view(source.dtype))
                if ours is not None:
                    x = x.flatten(1) * _of_elements(ours, layer, plane, math.prod(x.shape[1:]))
                if theirs is not None:
                    x = x.flatten(1) / _of_elements(theirs, layer, plane, math.prod(x.shape[1:]))
                store(target, every, elements(from_float32(x.contiguous(), target.dtype)))


def _of_elements(scales: Scales, layer: int, plane: int, elements: int) -> torch.Tensor:
    """The scale of every element of a token."""
    of_heads = scales.values[layer, plane]
    return of_heads.repeat_interleave(elements // len(of_heads))
