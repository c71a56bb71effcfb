"""Keys at other positions: what a Rope and a cache mean is prepared once, calls go to C++."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from accel.kv import KVCache
from accel.kv.rope_arguments import check_positions, check_rope
from accel.providers import KVRope

from ._native import rope as _native

if TYPE_CHECKING:
    import torch

    from accel.kv import Rope
    from accel.providers import Stream

__all__ = ["CpuKVRope"]

_HOST = ("cpu",)

#: Prepared caches kept; the oldest goes first.
_MOST = 1024

_of_cache = _native.reposition_cache
_of_tensor = _native.reposition_tensor


class CpuKVRope(KVRope):
    """Turns rows of channels on all threads; cosines are computed once for all heads and layers.

    A call that finds everything prepared and right enters C++ once. Otherwise the native call
    returns False, having done nothing, and the checks of core say what is wrong, or else what is
    new is prepared.
    """

    def __init__(self) -> None:
        super().__init__()
        self._rotations: WeakKeyDictionary[Rope, Any] = WeakKeyDictionary()
        self._key_caches: dict[int, Any] = {}

    def rope_reposition(
        self,
        keys: torch.Tensor | KVCache,
        old_positions: torch.Tensor,
        new_positions: torch.Tensor,
        rope: Rope,
        *,
        slots: torch.Tensor | None = None,
        layer: int | None = None,
        stream: Stream | None = None,
    ) -> None:
        try:
            rotation, table = self._rotations[rope], rope.cos_sin_cache
            if isinstance(keys, KVCache):
                done = _of_cache(
                    rotation, self._key_caches[keys.uid], keys, old_positions, new_positions, table,
                    slots, layer, False, stream,
                )  # fmt: skip
            else:
                done = slots is None is layer and _of_tensor(
                    rotation, keys, old_positions, new_positions, table, False, stream
                )
            if done:
                return
        except (KeyError, TypeError):
            pass
        self._reposition(keys, old_positions, new_positions, rope, slots, layer, stream)

    def _reposition(
        self,
        keys: torch.Tensor | KVCache,
        old_positions: torch.Tensor,
        new_positions: torch.Tensor,
        rope: Rope,
        slots: torch.Tensor | None,
        layer: int | None,
        stream: Stream | None,
    ) -> None:
        target = check_rope(keys, old_positions, new_positions, rope, slots, layer, _HOST)
        units = keys.slots if isinstance(keys, KVCache) else 0
        check_positions(old_positions, new_positions, rope, slots, units)
        rotation = self._rotations.get(rope)
        if rotation is None:
            rotation = self._rotations[rope] = _native.Rotation(rope.offset, rope.interleaved)
        table = rope.cos_sin_cache
        if table is None:
            inv_freq = rope.inv_freq(target.rotary_dim)
        else:
            inv_freq = [0.0] * (target.rotary_dim // 2)
        if isinstance(keys, KVCache):
            view = keys.views[0][0]
            rotation.add(view.shape[3] * view.shape[4], inv_freq)
            done = _of_cache(
                rotation, self._prepare_keys(keys), keys, old_positions, new_positions, table,
                slots, layer, True, stream,
            )  # fmt: skip
        else:
            rotation.add(keys.shape[-1], inv_freq)
            done = _of_tensor(rotation, keys, old_positions, new_positions, table, True, stream)
        if not done:
            raise AssertionError("the native call refused arguments that core found right")

    def close(self) -> None:
        self._rotations.clear()
        self._key_caches.clear()
        super().close()

    def _prepare_keys(self, cache: KVCache) -> Any:
        view = cache.views[0][0]
        size = view.element_size()
        strides = [s * size for s in view.stride()]
        last = sum((n - 1) * s for n, s in zip(view.shape, strides, strict=True))
        prepared = _native.KeyCache(
            list(cache.pointers[:: cache.planes]),
            list(cache.tensor_pointers),
            str(view.dtype).removeprefix("torch."),
            list(view.shape),
            strides,
            last + size if cache.blocks else 0,
        )
        while len(self._key_caches) >= _MOST:
            self._key_caches.pop(next(iter(self._key_caches)), None)
        self._key_caches[cache.uid] = prepared
        return prepared
