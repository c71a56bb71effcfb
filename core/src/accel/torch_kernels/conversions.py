"""``convert``: whole caches to another dtype, some blocks of a plane at a time."""

from __future__ import annotations

from math import lcm
from typing import TYPE_CHECKING

from ..errors import DeviceError
from ..kv.convert import check_conversion, conversion_scales
from ..providers import KVConvert
from .numbers import elements, from_float32, to_float32
from .queue import HostQueue, Queue

if TYPE_CHECKING:
    import torch

    from ..kv import KVCache
    from ..kv.scales import Scales
    from ..providers import Stream

__all__ = ["TorchConversions"]

#: Elements that are converted at a time; some float32 and int32 copies of them live meanwhile.
_PIECE = 8 << 20


class TorchConversions(KVConvert):
    """Elements as float32, times one scale, divided by the other, rounded, and put in place."""

    _queue: Queue

    def convert(
        self,
        src: KVCache,
        dst: KVCache,
        *,
        src_scale: float | torch.Tensor | None = None,
        dst_scale: float | torch.Tensor | None = None,
        stream: Stream | None = None,
    ) -> None:
        queue = self._queue
        queue.check(stream)
        check_conversion(src, dst, (queue.device.type,))
        for name, cache in (("src", src), ("dst", dst)):
            if cache.device != queue.device:
                raise DeviceError(name, f"a cache on {queue.device}", cache.device)
        ours, theirs = conversion_scales(src, dst, src_scale, dst_scale)
        scales = [_ready(queue, s, stream) for s in (ours, theirs)]

        def work() -> None:
            for layer in range(src.layers):
                for plane in range(src.planes):
                    of_plane = [None if s is None else s[layer, plane] for s in scales]
                    _convert(src.views[layer][plane], dst.views[layer][plane], *of_plane)

        queue.submit(
            stream, work, [*src.tensors, *dst.tensors, *(s for s in scales if s is not None)]
        )


def _ready(queue: Queue, scales: Scales | None, stream: Stream | None) -> torch.Tensor | None:
    """``[layers, planes, heads]`` on the device; those in host memory as they are now."""
    if scales is None:
        return None
    values = scales.values
    if values.device != queue.device:  # a number
        return queue.upload(values[:1, :1, :1], stream).expand(values.shape)
    return values.clone() if isinstance(queue, HostQueue) else values


def _convert(
    source: torch.Tensor,
    target: torch.Tensor,
    src_scale: torch.Tensor | None,
    dst_scale: torch.Tensor | None,
) -> None:
    """One plane ``[blocks, block_size, heads, D1, D0]`` into another, token by token."""
    ours, theirs = elements(source), elements(target)
    tokens = lcm(source.shape[1], target.shape[1])
    each = max(1, _PIECE // max(1, tokens * source[0, 0].numel())) * tokens if len(source) else 1
    dtypes = [str(t.dtype).removeprefix("torch.") for t in (source, target)]
    for first in range(0, source.shape[0] * source.shape[1], each):
        part = slice(first // source.shape[1], (first + each) // source.shape[1])
        bits = ours[part].contiguous()
        count = bits.shape[0] * bits.shape[1]
        x = to_float32(bits, dtypes[0]).reshape(count, -1)
        if src_scale is not None:
            x = (x.view(count, len(src_scale), -1) * src_scale.view(1, -1, 1)).view(count, -1)
        if dst_scale is not None:
            x = (x.view(count, len(dst_scale), -1) / dst_scale.view(1, -1, 1)).view(count, -1)
        there = theirs[first // target.shape[1] : (first + each) // target.shape[1]]
        there.copy_(from_float32(x, dtypes[1]).view(there.shape))
