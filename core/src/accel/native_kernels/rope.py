"""Keys at other positions, by a native engine: what a Rope and a cache mean is prepared once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

from ..kv import KVCache
from ..kv.rope_arguments import check_positions, check_rope
from ..providers import KVRope

if TYPE_CHECKING:
    import torch

    from ..kv import Rope
    from ..providers import Stream

__all__ = ["Rotating"]

#: Prepared caches kept; the oldest goes first.
_MOST = 1024


class Rotating(KVRope):
    """Cosines are computed once for all heads and layers.

    A call that finds everything prepared and right enters C++ once. Otherwise the native call
    returns False, having done nothing, and the checks of core say what is wrong, or else what is
    new is prepared. Positions and slots in a device's memory are left to the kernels.
    """

    #: The native submodule ``rope``.
    native_rope: ClassVar[Any]
    #: Device types whose keys these kernels reach.
    arithmetic_devices: ClassVar[tuple[str, ...]]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._rotations: WeakKeyDictionary[Rope, Any] = WeakKeyDictionary()
        self._key_caches: dict[int, Any] = {}
        self._of_cache = self.native_rope.reposition_cache
        self._of_tensor = self.native_rope.reposition_tensor

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
                done = self._of_cache(
                    rotation, self._key_caches[keys.uid], keys, old_positions, new_positions, table,
                    slots, layer, False, stream,
                )  # fmt: skip
            else:
                done = slots is None is layer and self._of_tensor(
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
        target = check_rope(
            keys, old_positions, new_positions, rope, slots, layer, self.arithmetic_devices
        )
        units = keys.slots if isinstance(keys, KVCache) else 0
        if old_positions.device.type == "cpu":
            check_positions(old_positions, new_positions, rope, slots, units)
        rotation = self._rotations.get(rope)
        if rotation is None:
            rotation = self._rotations[rope] = self._new_rotation(rope.offset, rope.interleaved)
        table = rope.cos_sin_cache
        if table is None:
            inv_freq = rope.inv_freq(target.rotary_dim)
        else:
            inv_freq = [0.0] * (target.rotary_dim // 2)
        if isinstance(keys, KVCache):
            view = keys.views[0][0]
            rotation.add(view.shape[3] * view.shape[4], inv_freq)
            done = self._of_cache(
                rotation, self._prepare_keys(keys), keys, old_positions, new_positions, table,
                slots, layer, True, stream,
            )  # fmt: skip
        else:
            rotation.add(keys.shape[-1], inv_freq)
            done = self._of_tensor(
                rotation, keys, old_positions, new_positions, table, True, stream
            )
        if not done:
            raise AssertionError("the native call refused arguments that core found right")

    def _new_rotation(self, *arguments: Any) -> Any:
        """``Rotation(*arguments)``; a backend that needs to know more overrides it."""
        return self.native_rope.Rotation(*arguments)

    def _new_key_cache(self, cache: KVCache, *arguments: Any) -> Any:
        """``KeyCache(*arguments)``; likewise."""
        return self.native_rope.KeyCache(*arguments)

    def close(self) -> None:
        self._rotations.clear()
        self._key_caches.clear()
        super().close()

    def _prepare_keys(self, cache: KVCache) -> Any:
        view = cache.views[0][0]
        size = view.element_size()
        strides = [s * size for s in view.stride()]
        last = sum((n - 1) * s for n, s in zip(view.shape, strides, strict=True))
        prepared = self._new_key_cache(
            cache,
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
