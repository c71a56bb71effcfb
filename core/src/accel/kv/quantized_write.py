"""QuantizedWritePlan: new keys and values as codes, one more conversion into the cache."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, DTypeError
from .conversion import CODES, VALUES, ConversionPlan, plan_units
from .geometry import Geometry
from .scales import Scales, token_scales
from .write import NAMES, Source, both_sides, read_sources, target_parts

if TYPE_CHECKING:
    import torch

    from .cache import KVCache

__all__ = ["QuantizedWritePlan", "plan_quantized_write", "plane_heads"]


@dataclass(frozen=True)
class QuantizedWritePlan:
    """What :class:`~accel.kv.write.WritePlan` is, with ``plan`` in elements; ``target`` in bytes.

    Only the destination has scales; a plane of ``plan`` has steps of heads where they differ.
    """

    plan: ConversionPlan
    target: tuple[tuple[int, int], ...]  #: (plane of the cache, byte offset within it)


def plan_quantized_write(
    cache: KVCache,
    layer: int,
    key: torch.Tensor,
    value: torch.Tensor | None,
    key_scale: float | torch.Tensor | None,
    value_scale: float | torch.Tensor | None,
) -> tuple[QuantizedWritePlan, tuple[Scales, ...]]:
    """The plan for ``KVKernels.write`` with scales, and the scales of every source.

    The plan is made once per combination of strides. Scales in tensors are not looked at:
    :func:`~accel.kv.scales.check_scales` is for those of the tokens that are written.

    Raises:
        ArgumentError: no such layer; one scale without the other; a number that is no scale.
        ShapeError, DTypeError, DeviceError, FreedError: ``key``, ``value`` or a scale does not fit
            the cache, a tensor is none of float32, float16 and bfloat16, or the cache does not
            hold codes.
    """
    sources = read_sources(cache, layer, key, value)
    planes = [i for i, _, _ in target_parts(cache.geometry, sources)]
    for name, given, wanted in (
        ("key_scale", key_scale, True), ("value_scale", value_scale, value is not None)
    ):  # fmt: skip
        if wanted and given is None:
            raise ArgumentError(name, "a scale, as the other one is given", None)
        if not wanted and given is not None:
            raise ArgumentError(name, "None, as there is no value", _kind(given))
    _check_dtypes(cache.geometry, sources)
    scales = tuple(
        token_scales(f"{name}_scale", scale, len(key), plane_heads(cache, plane), cache.device)
        for name, scale, plane in zip(NAMES, (key_scale, value_scale), planes, strict=False)
        if scale is not None
    )
    apart = tuple(
        plane_heads(cache, plane) if scale.per_head else 1
        for plane, scale in zip(planes, scales, strict=True)
    )
    return _plan(cache.geometry, sources, apart), scales


def plane_heads(cache: KVCache, plane: int) -> int:
    """The heads of a plane: 1 where its layout has no axis H."""
    return cache.views[0][plane].shape[2]


def _kind(scale: Any) -> str:
    return type(scale).__name__


def _check_dtypes(geometry: Geometry, sources: tuple[Source, ...]) -> None:
    for name, (dtype, *_), (_, _, target) in zip(
        NAMES, sources, target_parts(geometry, sources), strict=False
    ):
        if target.dtype not in CODES:
            raise DTypeError(
                "cache",
                f"a cache of {', '.join(CODES)}, as there are scales",
                target.dtype,
                "view a cache that is kept as uint8 as the dtype that its codes have",
            )
        if dtype not in VALUES:
            raise DTypeError(name, f"one of {', '.join(VALUES)}", dtype)


@lru_cache(maxsize=1024)
def _plan(
    geometry: Geometry, sources: tuple[Source, ...], heads: tuple[int, ...]
) -> QuantizedWritePlan:
    parts = target_parts(geometry, sources)
    src, dst = both_sides(geometry, sources, parts)
    plan = plan_units(src, dst, (1,) * len(parts), heads, 1)
    return QuantizedWritePlan(plan, tuple((i, offset) for i, offset, _ in parts))
