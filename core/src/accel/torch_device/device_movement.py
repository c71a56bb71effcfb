"""KV movement on the device by a vendor's kernels: one launch for all layers and planes.

What is left to the classes behind it: caches in host memory, codes, and devices without kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from ..capabilities import Capabilities, Capability, Level
from ..kv.checks import check_cache
from ..kv.overlap import cache_shares, check_destination
from ..kv.slots import check_slots
from ..kv.write import plan_write
from ..torch_kernels.indices import check_lists
from ..torch_kernels.movement import Pair
from ..torch_kernels.queue import DeviceQueue, Queue
from ..torch_kernels.writing import TorchWriting, check_memory, count_tokens
from .device_kernels import DeviceKernels, NoKernelsError, raise_record
from .streams import TorchStreams

if TYPE_CHECKING:
    import torch

    from ..kv import KVCache
    from ..kv.plan import TransferPlan
    from ..providers import Stream

__all__ = ["DeviceMovement"]

#: What kernels serve where they are built.
_SERVED = (
    Capability.KV_TRANSFER,
    Capability.KV_TRANSFER_BLOCKS,
    Capability.KV_WRITE,
    Capability.KV_COPY_BLOCKS,
    Capability.KV_SWAP_BLOCKS,
    Capability.KV_GATHER,
)


class DeviceMovement(TorchWriting):
    """The first tier of ``transfer``, ``copy_blocks``, ``swap_blocks``, ``gather`` and ``write``.

    Attributes:
        device_kernels: None where there are none; `device_kernels_note` then says why.
    """

    device_kernels: DeviceKernels | None = None
    device_kernels_note: str = ""

    def find_device_kernels(self, index: int) -> DeviceKernels:
        """The plugin's, of a device. Raises `NoKernelsError`."""
        raise NotImplementedError

    def open_device_kernels(self, index: int) -> bool:
        """Look for the kernels of a device, which raise the levels of what they serve."""
        self._prepared: WeakKeyDictionary[Pair, Any] = WeakKeyDictionary()
        try:
            self.device_kernels = self.find_device_kernels(index)
        except NoKernelsError as missing:
            self.device_kernels_note = f"no kernels on the device: {missing}"
            return False
        self.device_kernels_note = self.device_kernels.notes
        levels = dict(self.capabilities.items()) | dict.fromkeys(_SERVED, Level.NATIVE)
        self.capabilities = Capabilities(levels)
        return True

    def look_for_kernels(self, index: int, tiers: Sequence[str], variable: str) -> None:
        """:meth:`open_device_kernels`, unless ``variable`` left kernels out of the tiers."""
        if "kernels" in tiers:
            self.open_device_kernels(index)
        else:
            self.device_kernels_note = f"no kernels on the device: switched off ({variable})"

    def movement_notes(self) -> tuple[str, str]:
        """Which tier moves on the device, and what there is to say of the first."""
        kernels = self.device_kernels
        by = "operators of torch" if kernels is None else f"{kernels.files.language} kernels"
        return f"movement on the device and plain writes: {by}", self.device_kernels_note

    def write(
        self,
        cache: KVCache,
        layer: int,
        key: torch.Tensor,
        value: torch.Tensor | None,
        slot_mapping: torch.Tensor,
        *,
        key_scale: float | torch.Tensor | None = None,
        value_scale: float | torch.Tensor | None = None,
        stream: Stream | None = None,
    ) -> None:
        kernels = self.device_kernels
        plain = key_scale is None is value_scale
        if kernels is None or not plain or not self._is_here(cache):
            super().write(
                cache, layer, key, value, slot_mapping,
                key_scale=key_scale, value_scale=value_scale, stream=stream,
            )  # fmt: skip
            return
        import torch

        queue = self._queue
        assert isinstance(queue, DeviceQueue)
        queue.check(stream)
        cache = check_cache("cache", cache, queue.device_types)
        made = plan_write(cache, layer, key, value)
        check_destination(cache, "cache")
        given = [t.detach() for t in (key, value) if t is not None]
        check_memory(given)
        count = count_tokens(slot_mapping, key)
        names = ("slot_mapping", "slot_mapping")
        away = check_lists(names, (slot_mapping, slot_mapping), queue.device)
        shared = any(
            cache_shares(cache, plane, [layer], t) is not None
            for t in given
            for plane, _ in made.target
        )
        if shared:  # what is read must be copied first
            super().write(cache, layer, key, value, slot_mapping, stream=stream)
            return
        plan = replace(made.plan, src_units=len(key))
        first = layer * cache.planes
        target = [cache.pointers[first + plane] + offset for plane, offset in made.target]
        prepared = kernels.plan(plan, [t.data_ptr() for t in given], target)
        held = [*given, *cache.views[layer]]
        if away and self._is_masked(slot_mapping, queue):
            told = ("key", "slot_mapping")
            self._launch_masked(prepared, None, slot_mapping, count, told, plan, stream)
            queue.keep(stream, [*held, slot_mapping])
            return
        if away:
            queue.wait(stream)
        rows, slots = check_slots(
            torch.arange(count),
            slot_mapping.cpu(),
            len(key),
            cache.slots,
            names=("key", "slot_mapping"),
        )
        if len(rows):
            kernels.copy(prepared, rows, slots, len(rows), self._handle(stream))
            queue.keep(stream, held)

    # How core's class moves, once it has checked everything.

    def _on_one_side(
        self,
        queue: Queue,
        pair: Pair,
        src: KVCache,
        dst: KVCache,
        read: torch.Tensor,
        write: torch.Tensor,
        stream: Stream | None,
    ) -> None:
        kernels = self.device_kernels
        if kernels is None or not isinstance(queue, DeviceQueue):
            super()._on_one_side(queue, pair, src, dst, read, write, stream)
            return
        prepared = self._plan_of(pair, src, dst)
        kernels.copy(prepared, read, write, len(read), self._handle(stream))
        self._keep(pair, src, dst, stream)

    def _move_masked(
        self,
        pair: Pair,
        src: KVCache,
        dst: KVCache,
        read: torch.Tensor,
        write: torch.Tensor,
        names: tuple[str, str],
        stream: Stream | None,
        *,
        told: bool = False,
    ) -> None:
        if self.device_kernels is None:
            super()._move_masked(pair, src, dst, read, write, names, stream, told=told)
            return
        if not len(read):
            return
        prepared = self._plan_of(pair, src, dst)
        wanted = None if told else names
        self._launch_masked(prepared, read, write, len(read), wanted, pair.plan, stream)
        queue = self._queue
        assert isinstance(queue, DeviceQueue)
        queue.keep(stream, [read, write])
        self._keep(pair, src, dst, stream)

    def _launch_masked(
        self,
        prepared: Any,
        read: torch.Tensor | None,
        write: torch.Tensor,
        count: int,
        names: tuple[str, str] | None,
        plan: TransferPlan,
        stream: Stream | None,
    ) -> None:
        """Lists on the device, which nobody looks at; ``names``: to tell of what is wrong."""
        import torch

        kernels, queue = self.device_kernels, self._queue
        assert kernels is not None
        assert isinstance(queue, DeviceQueue)
        if not count:
            return
        if names is None:
            kernels.copy(prepared, read, write, count, self._handle(stream))
            return
        made: list[torch.Tensor] = []
        size = kernels.record_count()
        queue.submit(
            stream, lambda: made.append(torch.zeros(size, dtype=torch.int64, device=queue.device))
        )
        records = made[0]
        kernels.copy(prepared, read, write, count, self._handle(stream), records=records)
        seen = queue.staging(records.shape, records.dtype)
        queue.to_host(seen, records, stream)
        units, wanted = (plan.src_units, plan.dst_units), names
        queue.host_part(stream, lambda: raise_record(seen, wanted, units))

    def _plan_of(self, pair: Pair, src: KVCache, dst: KVCache) -> Any:
        try:
            return self._prepared[pair]
        except KeyError:
            assert self.device_kernels is not None
            made = self.device_kernels.plan(pair.plan, src.pointers, dst.pointers)
            self._prepared[pair] = made
            return made

    def _handle(self, stream: Stream | None) -> int:
        """Of the stream, behind what torch has for it."""
        streams = cast(TorchStreams, self._backend.streams)
        return streams.resolve(stream).submit_handle()

    def _is_here(self, cache: object) -> bool:
        return getattr(cache, "device", None) == self._queue.device and isinstance(
            self._queue, DeviceQueue
        )
