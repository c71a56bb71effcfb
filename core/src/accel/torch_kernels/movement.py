"""KV data movement as gathers and scatters of rows: no loop over tokens."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import DeviceError, SlotError
from ..kv.checks import check_cache, check_mapping, check_transfer
from ..kv.overlap import Sharing, check_bytes, check_destination
from ..kv.slots import check_slots, gather_slots
from ..providers import KVKernels
from .gather_lists import device_gather_slots
from .host_caches import move_between
from .indices import check_lists, reads_back, report
from .queue import DeviceQueue, HostQueue, Queue
from .row_moves import GroupWork, flat_views, masked_move, move_rows, pieces
from .rows import Side, groups_of, places_of, unit_rows

if TYPE_CHECKING:
    import torch

    from ..backend import Backend
    from ..kv import KVCache
    from ..kv.plan import Grain, TransferPlan
    from ..providers import Stream

__all__ = ["Pair", "TorchMovement"]

#: Prepared pairs kept; the oldest goes first.
_MOST = 1024


@dataclass(eq=False)
class Pair:
    """What transfers between two caches of these uids need; keeps neither alive."""

    plan: TransferPlan
    shared: Sharing
    groups: list[GroupWork]
    on_device: tuple[bool, bool]
    seen: set[int] = field(default_factory=set)  #: streams that torch's allocator was told of

    @property
    def unit_bytes(self) -> int:
        """Payload of one unit."""
        return sum(g.group.unit_bytes for g in self.groups)


class TorchMovement(KVKernels):
    """``transfer``, ``copy_blocks``, ``swap_blocks`` and ``gather`` (``write`` is beside it).

    Caches on the device move by one ``index_select`` and one ``index_copy_`` for each pair of
    allocations: all layers at once where they share one, a layer at a time where each has its own.
    With a cache in host memory the device packs (or unpacks) rows beside one copy through pinned
    memory, and the host's part is a callback in the stream's order.
    """

    def __init__(self, backend: Backend, queue: Queue) -> None:
        super().__init__()
        self._backend, self._queue = backend, queue
        self._host = queue if isinstance(queue, HostQueue) else HostQueue(backend)
        self._pairs: dict[tuple[int, int, str], Pair] = {}
        self._lock = threading.Lock()
        self._setup: Stream | None = None

    def transfer(
        self,
        src: KVCache,
        dst: KVCache,
        src_slots: torch.Tensor,
        dst_slots: torch.Tensor,
        *,
        grain: Grain = "token",
        stream: Stream | None = None,
    ) -> None:
        self._queue.check(stream)
        pair = self._pair(src, dst, grain)
        self._move(pair, src, dst, src_slots, dst_slots, ("src_slots", "dst_slots"), stream)

    def copy_blocks(
        self, cache: KVCache, block_mapping: torch.Tensor, *, stream: Stream | None = None
    ) -> None:
        self._queue.check(stream)
        check_destination(check_cache("cache", cache, self._queue.device_types), "cache")
        self._map_blocks(cache, cache, block_mapping, stream)

    def swap_blocks(
        self,
        src: KVCache,
        dst: KVCache,
        block_mapping: torch.Tensor,
        *,
        stream: Stream | None = None,
    ) -> None:
        self._queue.check(stream)
        self._map_blocks(src, dst, block_mapping, stream)

    def gather(
        self,
        src: KVCache,
        dst: KVCache,
        block_table: torch.Tensor,
        seq_lens: torch.Tensor,
        *,
        seq_starts: torch.Tensor | None = None,
        stream: Stream | None = None,
    ) -> None:
        import torch

        self._queue.check(stream)
        pair = self._pair(src, dst, "token")
        lists = [block_table, seq_lens] + ([] if seq_starts is None else [seq_starts])
        names = ("block_table", "seq_lens")
        away = all(isinstance(t, torch.Tensor) and t.device == self._queue.device for t in lists)
        if away and isinstance(self._queue, DeviceQueue):
            if all(pair.on_device) and self._queue.callbacks and not reads_back():
                slots, count = device_gather_slots(
                    self._queue, block_table, seq_lens, seq_starts, src, dst, stream
                )
                if count:
                    places = torch.arange(count)
                    to = self._queue.upload(places, stream)
                    self._move_masked(pair, src, dst, slots, to, names, stream, told=True)
                return
            self._queue.wait(stream)
            block_table, seq_lens = block_table.cpu(), seq_lens.cpu()
            seq_starts = None if seq_starts is None else seq_starts.cpu()
        for name, given in zip((*names, "seq_starts"), lists, strict=False):
            if isinstance(given, torch.Tensor) and given.device.type not in (
                "cpu",
                self._queue.device.type,
            ):
                raise DeviceError(name, "an index tensor on the host or the device", given.device)
        slots = gather_slots(block_table, seq_lens, seq_starts, src.block_size, src.blocks)
        if len(slots) > dst.slots:
            raise SlotError("seq_lens", f"at most {dst.slots} tokens in all", len(slots))
        self._move(pair, src, dst, slots, torch.arange(len(slots)), names, stream)

    def close(self) -> None:
        self._pairs.clear()
        super().close()

    # Preparation, once per pair of caches.

    def _pair(self, src: KVCache, dst: KVCache, grain: Grain) -> Pair:
        try:
            pair = self._pairs[src.uid, dst.uid, grain]
            src.check_alive("src")
            dst.check_alive("dst")
            return pair
        except (KeyError, AttributeError, TypeError):
            return self._prepare(src, dst, grain)

    def _prepare(self, src: KVCache, dst: KVCache, grain: Grain) -> Pair:
        types = self._queue.device_types
        source, target, plan, shared = check_transfer(src, dst, grain, types)
        device = self._queue.device
        for name, cache in (("src", source), ("dst", target)):
            if cache.device.type == device.type and cache.device != device:
                raise DeviceError(name, f"a cache on {device} or in host memory", cache.device)
        on_device = (source.device.type == device.type, target.device.type == device.type)
        groups = [
            GroupWork(
                group,
                self._table(group.src, on_device[0]),
                self._table(group.dst, on_device[1]),
            )
            for group in groups_of(plan, places_of(source), places_of(target))
        ]
        self.settle_tables()
        pair = Pair(plan, shared, groups, on_device)
        with self._lock:
            while len(self._pairs) >= _MOST:
                self._pairs.pop(next(iter(self._pairs)))
            self._pairs[source.uid, target.uid, grain] = pair
        return pair

    def _table(self, side: Side, on_device: bool) -> torch.Tensor:
        """A side's rows of a unit where its matrix is."""
        if not on_device or not isinstance(self._queue, DeviceQueue):
            return side.inner
        if self._setup is None:
            # Tables are uploaded on a stream of their own: those of callers may be held up.
            self._setup = self._backend.streams.create()
        return self._queue.upload(side.inner, self._setup)

    def settle_tables(self) -> None:
        """Until tables that were uploaded can be used on any stream."""
        if self._setup is not None:
            self._setup.synchronize()

    # Calls.

    def _map_blocks(
        self, src: KVCache, dst: KVCache, mapping: torch.Tensor, stream: Stream | None
    ) -> None:
        pair = self._pair(src, dst, "block")
        old, new = check_mapping(mapping)
        names = ("block_mapping[:, 0]", "block_mapping[:, 1]")
        self._move(pair, src, dst, old, new, names, stream)

    def _move(
        self,
        pair: Pair,
        src: KVCache,
        dst: KVCache,
        read: torch.Tensor,
        write: torch.Tensor,
        names: tuple[str, str],
        stream: Stream | None,
    ) -> None:
        if check_lists(names, (read, write), self._queue.device):
            if self._masks(pair):
                self._move_masked(pair, src, dst, read, write, names, stream)
                return
            self._queue.wait(stream)
            read, write = read.cpu(), write.cpu()
        plan = pair.plan
        read, write = check_slots(
            read,
            write,
            plan.src_units,
            plan.dst_units,
            same_memory=pair.shared == "same",
            names=names,
        )
        if pair.shared == "partial":
            check_bytes(plan, src.pointers, dst.pointers, read, write, names[1])
        if len(read):
            self._move_listed(pair, src, dst, read, write, stream)

    def _masks(self, pair: Pair) -> bool:
        """Whether lists on the device stay there: both caches do, and errors can be told later."""
        return all(pair.on_device) and self._queue.callbacks and not reads_back()

    def _move_listed(
        self,
        pair: Pair,
        src: KVCache,
        dst: KVCache,
        read: torch.Tensor,
        write: torch.Tensor,
        stream: Stream | None,
    ) -> None:
        """Checked host lists without padding."""
        if all(pair.on_device):
            self._on_one_side(self._queue, pair, src, dst, read, write, stream)
        elif not any(pair.on_device):
            self._on_one_side(self._host, pair, src, dst, read, write, stream)
        else:
            assert isinstance(self._queue, DeviceQueue)
            move_between(self._queue, pair, src, dst, read, write, stream)
            self._keep(pair, src, dst, stream)

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
        """Both caches on the device, or both in host memory."""
        import torch

        # Rows are made on the host, for every paging once, and travel together.
        pagings = list(dict.fromkeys((0, g.group.src.paging) for g in pair.groups))
        pagings += list(dict.fromkeys((1, g.group.dst.paging) for g in pair.groups))
        rows = torch.stack([unit_rows((read, write)[side], p) for side, p in pagings])
        there = queue.upload(rows, stream)
        views = flat_views(src), flat_views(dst)

        def work() -> None:
            for g in pair.groups:
                sources = there[pagings.index((0, g.group.src.paging))]
                targets = there[pagings.index((1, g.group.dst.paging))]
                for part in pieces(len(read), g.group.unit_bytes):
                    move_rows(g, views, sources[part], targets[part])

        queue.submit(stream, work)
        if isinstance(queue, DeviceQueue):
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
        """Lists on the device; ``told``: their errors are reported elsewhere."""
        queue, plan = self._queue, pair.plan
        assert isinstance(queue, DeviceQueue)
        if not len(read):
            return
        units = (plan.src_units, plan.dst_units)
        views = flat_views(src), flat_views(dst)
        found: list[torch.Tensor] = []

        def work() -> None:
            found.append(masked_move(pair.groups, views, read, write, units))

        queue.submit(stream, work, (read, write))
        if not told:
            report(queue, stream, found[0], units, names)
        self._keep(pair, src, dst, stream)

    def _keep(self, pair: Pair, src: KVCache, dst: KVCache, stream: Stream | None) -> None:
        """Tell torch's allocator of a stream that it has not heard of for these caches."""
        queue = self._queue
        assert isinstance(queue, DeviceQueue)
        handle = (self._backend.streams.current() if stream is None else stream).handle
        if handle in pair.seen:
            return
        tables = [t for g in pair.groups for t in (g.src_inner, g.dst_inner)]
        queue.keep(stream, [*src.tensors, *dst.tensors, *tables])
        if queue.keeps_for_good:
            pair.seen.add(handle)
