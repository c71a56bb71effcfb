"""What native KV kernels prepare for the caches they have seen, and keep under the caches' uids."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, ClassVar

from ..kv.checks import check_cache
from ..kv.overlap import check_destination
from ..kv.quantized_write import plane_heads

if TYPE_CHECKING:
    from ..kv import KVCache

__all__ = ["Prepared"]

#: Prepared objects kept of each sort; the oldest goes first. One takes some kilobytes.
_MOST = 1024


class Prepared:
    """Handles of the native part. Nothing that is kept keeps a cache alive."""

    #: The native submodule ``kv``.
    native: ClassVar[Any]
    #: Device types whose caches these kernels reach.
    devices: ClassVar[tuple[str, ...]]

    def __init__(self) -> None:
        super().__init__()
        self._writers: dict[int, Any] = {}
        self._lock = threading.Lock()

    def _prepare_writer(self, cache: KVCache) -> Any:
        writer = self._new_writer(cache, *self._writer_arguments(cache, self.devices))
        self._keep(self._writers, cache.uid, writer)
        return writer

    def _writer_arguments(self, cache: KVCache, devices: tuple[str, ...]) -> tuple[Any, ...]:
        """What a native writer is made of, for a cache on one of these device types."""
        cache = check_cache("cache", cache, devices)
        check_destination(cache, "cache")
        spans = [
            v.element_size()
            * (1 + sum((n - 1) * s for n, s in zip(v.shape, v.stride(), strict=True)))
            if cache.blocks
            else 0
            for v in cache.views[0]
        ]
        return (
            [plane_heads(cache, plane) for plane in range(cache.planes)],
            cache.slots,
            list(cache.pointers),
            spans,
            list(cache.tensor_pointers),
            [_tensors_behind(cache, layer) for layer in range(cache.layers)],
        )

    def _new_writer(self, cache: KVCache, *arguments: Any) -> Any:
        """``Writer(*arguments)``; a backend that needs to know more overrides it."""
        return self.native.Writer(*arguments)

    def _keep(self, kept: dict[Any, Any], key: Any, value: Any) -> None:
        with self._lock:
            while len(kept) >= _MOST:
                kept.pop(next(iter(kept)))
            kept[key] = value


def _tensors_behind(cache: KVCache, layer: int) -> list[int]:
    """Which of ``cache.tensors`` hold the memory of a layer."""
    storages = {v.untyped_storage().data_ptr() for v in cache.views[layer]}
    return [i for i, t in enumerate(cache.tensors) if t.untyped_storage().data_ptr() in storages]
