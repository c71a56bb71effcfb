"""Argument checks of ``rope_reposition`` that every backend shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..errors import ArgumentError, DeviceError, DTypeError, FreedError, OverlapError, ShapeError
from ..tensor_overlap import overlaps_itself, share_bytes
from .cache import KVCache
from .checks import check_cache
from .overlap import cache_shares, check_destination
from .rope import MAX_POSITION, Rope
from .slots import check_slots

if TYPE_CHECKING:
    import torch

__all__ = ["RopeTarget", "check_positions", "check_rope"]


class RopeTarget(NamedTuple):
    """What a valid call rotates."""

    keys: tuple[torch.Tensor, ...]
    """The tensor; or of a cache, for each wanted layer, ``[blocks, block_size, heads, D1, D0]``."""
    rotary_dim: int


def check_rope(
    keys: object,
    old_positions: object,
    new_positions: object,
    rope: object,
    slots: object,
    layer: object,
    device_types: tuple[str, ...],
) -> RopeTarget:
    """Everything that can be said without reading positions and slots; see ``KVRope``.

    Args:
        device_types: where keys may lie. Positions and slots may lie there too, or on the host.

    Raises:
        ArgumentError and its kinds: as ``KVRope.rope_reposition`` says.
    """
    import torch

    if not isinstance(rope, Rope):
        raise DTypeError("rope", "a Rope", type(rope).__name__)
    if isinstance(keys, KVCache):
        cache = check_cache("keys", keys, device_types)
        wanted = _layers(cache, layer)
        if slots is None:
            raise ArgumentError(
                "slots", "which tokens of the cache to reposition", None, "pass slots=[n] tokens"
            )
        device, head_shape = cache.device, cache.views[0][0].shape[2:]
        head_dim = head_shape[1] * head_shape[2]
        views = tuple(cache.views[i][0] for i in wanted)
        _check_dtype("keys", "a cache with keys", views[0].dtype)
        check_destination(cache, "keys")
    else:
        tensor = _check_keys(keys, slots, layer, device_types)
        device, head_dim, views = tensor.device, tensor.shape[-1], (tensor,)
    rotary_dim = rope.dim_for(head_dim)

    indices = {"old_positions": old_positions, "new_positions": new_positions}
    if slots is not None:
        indices = {"slots": slots, **indices}
    shape = tuple(slots.shape) if isinstance(slots, torch.Tensor) else None
    if not isinstance(keys, KVCache):
        shape = tuple(views[0].shape[:-2])
    first: torch.Tensor | None = None
    for name, index in indices.items():
        tensor = _check_index(name, index, device)
        if name == "slots" and tensor.dim() != 1:
            raise ShapeError(name, "one axis", tuple(tensor.shape))
        if shape is not None and tuple(tensor.shape) != shape:
            like = "slots" if isinstance(keys, KVCache) else "keys without its last two axes"
            raise ShapeError(name, f"{list(shape)} as {like}", list(tensor.shape))
        first = tensor if first is None else first
        if tensor.device != first.device:
            raise DeviceError(name, f"device {first.device} as the others", tensor.device)

    others = {n: i for n, i in indices.items() if isinstance(i, torch.Tensor)}
    if rope.cos_sin_cache is not None:
        others["cos_sin_cache"] = rope.cos_sin_cache
        if rope.cos_sin_cache.device != device:
            raise DeviceError(
                "cos_sin_cache", f"device {device} as keys", rope.cos_sin_cache.device
            )
    for name, other in others.items():
        _check_memory(name, other)
    _check_apart(keys if isinstance(keys, KVCache) else views[0], layer, others)
    return RopeTarget(views, rotary_dim)


def check_positions(
    old_positions: torch.Tensor,
    new_positions: torch.Tensor,
    rope: Rope,
    slots: torch.Tensor | None = None,
    units: int = 0,
) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]:
    """Slots and both positions as flat int64 tensors, without padding.

    For what is in host memory, after :func:`check_rope`.

    Args:
        units: slots of the cache.

    Raises:
        ArgumentError: a position that is negative or too large.
        SlotError, OverlapError: a slot past the end, or twice.
    """
    import torch

    old, new = old_positions.flatten().long(), new_positions.flatten().long()
    if slots is not None:
        rows, slots = check_slots(
            torch.arange(len(slots)), slots, len(slots), units, names=("old_positions", "slots")
        )
        old, new = old[rows], new[rows]
    if rope.cos_sin_cache is None:
        end, cure = MAX_POSITION + 1, ""
    else:
        end, cure = len(rope.cos_sin_cache), "make cos_sin_cache for as many positions"
    for name, positions in (("old_positions", old), ("new_positions", new)):
        wrong = (positions < 0) | (positions >= end)
        if wrong.any():
            raise ArgumentError(
                name, f"positions from 0 to {end - 1}", int(positions[wrong][0]), cure
            )
    return slots, old, new


def _layers(cache: KVCache, layer: object) -> range:
    if layer is None:
        return range(cache.layers)
    if not isinstance(layer, int) or not 0 <= layer < cache.layers:
        raise ArgumentError("layer", f"0 to {cache.layers - 1}, or None", layer)
    return range(layer, layer + 1)


def _check_keys(
    keys: object, slots: object, layer: object, device_types: tuple[str, ...]
) -> torch.Tensor:
    import torch

    if not isinstance(keys, torch.Tensor):
        raise DTypeError("keys", "a tensor or a KVCache", type(keys).__name__)
    for name, value in (("slots", slots), ("layer", layer)):
        if value is not None:
            raise ArgumentError(name, "None, as keys is a tensor", value, "or pass a KVCache")
    if keys.layout is not torch.strided or keys.is_neg():
        given = "a lazily negated view" if keys.is_neg() else keys.layout
        raise DTypeError("keys", "a strided tensor whose bytes are its values", given)
    _check_dtype("keys", "a tensor", keys.dtype)
    if keys.dim() < 2:
        raise ShapeError("keys", "[..., heads, head_dim]", list(keys.shape))
    if keys.device.type not in device_types:
        raise DeviceError("keys", f"a tensor on {' or '.join(device_types)}", keys.device)
    _check_memory("keys", keys)
    if overlaps_itself(keys):
        raise OverlapError(
            "keys",
            "a tensor whose elements are distinct memory",
            f"shape {list(keys.shape)} with strides {list(keys.stride())}",
            "pass keys without expanded axes",
        )
    return keys


def _check_dtype(name: str, what: str, dtype: torch.dtype) -> None:
    import torch

    if dtype not in (torch.float16, torch.bfloat16, torch.float32):
        raise DTypeError(name, f"{what} of float16, bfloat16 or float32", dtype)


def _check_index(name: str, index: object, device: torch.device) -> torch.Tensor:
    import torch

    if not isinstance(index, torch.Tensor) or index.dtype not in (torch.int32, torch.int64):
        given = index.dtype if isinstance(index, torch.Tensor) else type(index).__name__
        raise DTypeError(name, "an int32 or int64 tensor", given)
    if index.layout is not torch.strided:
        raise DTypeError(name, "a strided tensor", index.layout)
    if index.device.type != "cpu" and index.device != device:
        raise DeviceError(name, f"a tensor on the host or on {device}", index.device)
    return index


def _check_memory(name: str, tensor: torch.Tensor) -> None:
    if not tensor.numel():
        return
    last = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    end = (tensor.storage_offset() + last + 1) * tensor.element_size()
    if end > tensor.untyped_storage().nbytes():
        raise FreedError(name, "a tensor that still has its memory", "a released storage")


def _check_apart(
    keys: KVCache | torch.Tensor, layer: object, others: dict[str, torch.Tensor]
) -> None:
    """No byte of the keys may belong to what the call reads."""
    for name, other in others.items():
        if isinstance(keys, KVCache):
            shares = cache_shares(keys, 0, _layers(keys, layer), other) is not None
        else:
            shares = share_bytes(keys, other)
        if shares:
            raise OverlapError(
                "keys", f"memory apart from {name}", "keys and it share some", f"clone {name}"
            )
