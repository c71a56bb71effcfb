"""The arguments of ``KVKernels.convert``: two caches, their scales, and the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ArgumentError, OverlapError
from .cache import KVCache
from .checks import check_cache
from .conversion import CODES, ConversionPlan, plan_conversion
from .overlap import check_destination, sharing
from .quantized_write import plane_heads
from .scales import Scales, cache_scales, check_scales

if TYPE_CHECKING:
    import torch

__all__ = ["check_conversion", "conversion_scales", "plan_convert"]


def check_conversion(src: object, dst: object, device_types: tuple[str, ...]) -> None:
    """What does not depend on the scales; once per pair of caches is enough.

    Raises:
        DTypeError, DeviceError, FreedError: not caches that this device can reach.
        LayoutError, SizeError, DTypeError: they do not hold the same thing, or are of a dtype that
            is not converted.
        OverlapError: they share memory, or the destination overlaps itself.
    """
    source = check_cache("src", src, device_types)
    target = check_cache("dst", dst, device_types)
    plan_convert(source, target, None, None)
    check_destination(target)
    if sharing(source, target) != "none":
        raise OverlapError(
            "dst",
            "a cache that shares no memory with src",
            "one that does",
            "convert into a cache of its own",
        )


def conversion_scales(
    src: KVCache,
    dst: KVCache,
    src_scale: float | torch.Tensor | None,
    dst_scale: float | torch.Tensor | None,
) -> tuple[Scales | None, Scales | None]:
    """Either side's scales ``[layers, planes, heads]``, checked where they lie on the host.

    Raises:
        ArgumentError: a scale for a side that has a plane of no codes; one that is no scale.
        DTypeError, ShapeError, DeviceError, FreedError: no such scale.
    """
    return _scales("src", src, src_scale), _scales("dst", dst, dst_scale)


def plan_convert(
    src: KVCache, dst: KVCache, src_scales: Scales | None, dst_scales: Scales | None
) -> ConversionPlan:
    """The plan, with heads kept apart on the sides whose scales differ by head."""
    return plan_conversion(
        src.geometry, dst.geometry, _heads(src, src_scales), _heads(dst, dst_scales)
    )


def _scales(side: str, cache: KVCache, scale: float | torch.Tensor | None) -> Scales | None:
    if scale is None:
        return None
    name = f"{side}_scale"
    for i, plane in enumerate(cache.geometry.planes):
        if plane.dtype not in CODES:
            raise ArgumentError(
                name,
                f"None, as {side} does not hold codes",
                f"a scale for {plane.dtype} in plane {i}",
            )
    heads = [plane_heads(cache, i) for i in range(cache.planes)]
    scales = cache_scales(name, scale, cache.layers, heads, cache.device)
    if cache.device.type == "cpu":
        check_scales(name, scales)
    return scales


def _heads(cache: KVCache, scales: Scales | None) -> tuple[int, ...]:
    own = scales is not None and scales.per_head
    return tuple(plane_heads(cache, i) if own else 1 for i in range(cache.planes))
