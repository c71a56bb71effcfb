"""``write``: new keys and values scattered into their slots, plain or as codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import DeviceError, FreedError, ShapeError
from ..kv.checks import check_cache
from ..kv.overlap import cache_shares, check_bytes, check_destination
from ..kv.plan import TransferPlan, plan_transfer
from ..kv.quantized_write import plan_quantized_write
from ..kv.scales import Scales, check_scales
from ..kv.slots import check_slots
from ..kv.write import NAMES, both_sides, plan_write, target_parts
from .indices import check_lists, reads_back, report
from .movement import TorchMovement
from .numbers import elements, from_float32, to_float32
from .queue import DeviceQueue, HostQueue, Queue
from .row_moves import GroupWork, Views, masked_move, move_rows
from .rows import Group, Place, groups_of, unit_rows

if TYPE_CHECKING:
    import torch

    from ..kv import KVCache
    from ..providers import Stream

__all__ = ["TorchWriting", "check_memory", "count_tokens"]

#: Prepared writes kept; the oldest goes first.
_MOST = 1024


@dataclass(eq=False)
class _Write:
    """What writes of tensors of these shapes to a layer need: one group for each tensor."""

    groups: list[GroupWork]
    units: int


class TorchWriting(TorchMovement):
    """Rows of the new tensors, laid side by side, are scattered into the cache's rows."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._writes: dict[object, _Write] = {}

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
        import torch

        self._queue.check(stream)
        cache = check_cache("cache", cache, self._queue.device_types)
        scales: tuple[Scales, ...] = ()
        if key_scale is None and value_scale is None:
            made = plan_write(cache, layer, key, value)
            plan, read_plan, targets = made.plan, made.plan, made.target
        else:
            quantised, scales = plan_quantized_write(
                cache, layer, key, value, key_scale, value_scale
            )
            targets = quantised.target
            sizes = tuple(cache.geometry.planes[i].itemsize for i, _ in targets)
            plan = quantised.plan.bytes_of(sizes)
            read_plan = quantised.plan.bytes_of(
                tuple(t.element_size() for t in (key, value) if t is not None)
            )
        check_destination(cache, "cache")
        given = [t.detach() for t in (key, value) if t is not None]
        check_memory(given)
        on_device = cache.device.type == self._queue.device.type
        if on_device and cache.device != self._queue.device:
            raise DeviceError("cache", f"a cache on {self._queue.device}", cache.device)
        queue = self._queue if on_device else self._host
        count = count_tokens(slot_mapping, key)
        check_lists(("slot_mapping", "slot_mapping"), (slot_mapping, slot_mapping), queue.device)
        masked = self._is_masked(slot_mapping, queue)
        shares = any(
            cache_shares(cache, plane, [layer], t) is not None
            for t in given
            for plane, _ in targets
        )
        host_list = slot_mapping
        if masked and shares:
            masked = False
        if slot_mapping.device.type != "cpu" and not masked:
            self._queue.wait(stream)
            host_list = slot_mapping.cpu()
        packed = _packed_plan(cache, targets, given)
        work_of = self._prepared_write(cache, layer, packed, targets, on_device)
        dtypes = [cache.geometry.planes[plane].dtype for plane, _ in targets]
        views = list(cache.views[layer])
        tables = [t for g in work_of.groups for t in (g.src_inner, g.dst_inner)]
        operands = [*given, *views, *(s.values for s in scales), *tables]
        if masked:
            assert isinstance(queue, DeviceQueue)
            if count:
                sources = _Sources(queue, given, scales, dtypes, count, None, stream)
                operands.append(slot_mapping)
                self._write_masked(queue, work_of, sources, views, slot_mapping, operands, stream)
            return
        rows, slots = check_slots(
            torch.arange(count), host_list, len(key), cache.slots, names=("key", "slot_mapping")
        )
        for name, scale in zip(NAMES, scales, strict=False):
            if scale.values.device.type == "cpu":
                check_scales(f"{name}_scale", scale, rows)
        if shares:
            pointers = [
                cache.pointers[layer * cache.planes + plane] + offset for plane, offset in targets
            ]
            addresses = [t.data_ptr() for t in given]
            check_bytes(read_plan, addresses, pointers, rows, slots, "slot_mapping", plan)
        if not len(rows):
            return
        chosen = None if len(rows) == count else rows
        sources = _Sources(queue, given, scales, dtypes, count, chosen, stream)
        pagings = list(dict.fromkeys(g.group.dst.paging for g in work_of.groups))
        lists = torch.stack([torch.arange(len(rows)), *(unit_rows(slots, p) for p in pagings)])
        there = queue.upload(lists, stream)

        def work() -> None:
            both: Views = (sources.packed(), views)
            for g in work_of.groups:
                read = unit_rows(there[0], g.group.src.paging)
                move_rows(g, both, read, there[1 + pagings.index(g.group.dst.paging)])

        queue.submit(stream, work, operands)

    def _write_masked(
        self,
        queue: DeviceQueue,
        work_of: _Write,
        sources: _Sources,
        views: list[torch.Tensor],
        slot_mapping: torch.Tensor,
        operands: list[torch.Tensor],
        stream: Stream | None,
    ) -> None:
        """Slots that lie on the device and are not looked at."""
        import torch

        count = len(slot_mapping)
        units = (count, work_of.units)
        found: list[torch.Tensor] = []

        def work() -> None:
            places = torch.arange(count, device=queue.device)
            both: Views = (sources.packed(), views)
            found.append(masked_move(work_of.groups, both, places, slot_mapping, units))

        queue.submit(stream, work, operands)
        report(queue, stream, found[0], units, ("key", "slot_mapping"))

    def _is_masked(self, slots: torch.Tensor, queue: Queue) -> bool:
        """Whether slots that lie on the device stay there."""
        away = slots.device.type != "cpu" and isinstance(queue, DeviceQueue)
        return away and queue.callbacks and not reads_back()

    def _prepared_write(
        self,
        cache: KVCache,
        layer: int,
        plan: TransferPlan,
        targets: tuple[tuple[int, int], ...],
        on_device: bool,
    ) -> _Write:
        """Groups whose sources lie side by side, one tensor each."""
        key = (cache.uid, layer, plan, targets)
        try:
            return self._writes[key]
        except KeyError:
            pass
        groups = []
        for i, plane in enumerate(plan.planes):
            of_plane, offset = targets[i]
            pointer = cache.pointers[layer * cache.planes + of_plane]
            alone = TransferPlan(1, (plane,), 1, plan.dst_units)
            src = [[Place(i, -1 - i, 0, 0)]]
            dst = [[Place(of_plane, 0, pointer + offset, pointer)]]
            for g in groups_of(alone, src, dst):
                whole = Group(replace(g.src, rows=-1), g.dst, g.unit_bytes)
                tables = (self._table(g.src, on_device), self._table(g.dst, on_device))
                groups.append(GroupWork(whole, *tables))
        self.settle_tables()
        made = _Write(groups, plan.dst_units)
        with self._lock:
            while len(self._writes) >= _MOST:
                self._writes.pop(next(iter(self._writes)))
            self._writes[key] = made
        return made

    def close(self) -> None:
        self._writes.clear()
        super().close()


def _packed_plan(
    cache: KVCache, targets: tuple[tuple[int, int], ...], given: Sequence[torch.Tensor]
) -> TransferPlan:
    """The plan whose sources hold the elements of the cache, one token after another."""
    sources = []
    for tensor, (plane, _) in zip(given, targets, strict=True):
        dtype, size = cache.geometry.planes[plane].dtype, cache.geometry.planes[plane].itemsize
        shape = tuple(tensor.shape[1:])
        strides, step = [], 1
        for extent in reversed(shape):
            strides.append(step)
            step *= extent
        sources.append((dtype, size, shape, (step, *reversed(strides))))
    parts = target_parts(cache.geometry, tuple(sources))
    return plan_transfer(*both_sides(cache.geometry, tuple(sources), parts))


def count_tokens(slot_mapping: torch.Tensor, key: torch.Tensor) -> int:
    """How many tokens are written."""
    import torch

    if not isinstance(slot_mapping, torch.Tensor) or slot_mapping.dim() != 1:
        return 0  # check_slots has the words for it
    if len(slot_mapping) > len(key):
        expected = f"at most {len(key)} indices as key has"
        raise ShapeError("slot_mapping", expected, len(slot_mapping))
    return len(slot_mapping)


class _Sources:
    """The new tensors as the call found them, for tokens to be laid side by side when it runs."""

    def __init__(
        self,
        queue: Queue,
        given: list[torch.Tensor],
        scales: tuple[Scales, ...],
        dtypes: list[str],
        count: int,
        rows: torch.Tensor | None,
        stream: Stream | None,
    ) -> None:
        """Args:
        rows: the tokens that are written, where all ``count`` of them are not.
        """
        self._given, self._dtypes, self._count = given, dtypes, count
        self._scales: list[torch.Tensor] = []
        self._heads = [s.values.shape[1] for s in scales]
        for scale in scales:
            values = scale.values
            if values.device != queue.device:
                values = queue.upload(values[:1, :1], stream)  # a number
            elif isinstance(queue, HostQueue):
                values = (values[:count] if rows is None else values[rows]).clone()
            self._scales.append(values)
        self._chosen = None if rows is None else queue.upload(rows, stream)
        self._scales_chosen = isinstance(queue, HostQueue)

    def packed(self) -> list[torch.Tensor]:
        """Contiguous integers, one row a token."""
        if not self._scales:
            return [self._rows(elements(t)) for t in self._given]
        made = []
        for i, tensor in enumerate(self._given):
            rows = self._rows(elements(tensor))
            x = to_float32(rows, _name(tensor.dtype)).reshape(len(rows), self._heads[i], -1)
            scale = self._scales[i]
            if not self._scales_chosen and scale.shape[0] > 1:
                scale = self._rows(scale)
            made.append(from_float32(x / scale.unsqueeze(-1), self._dtypes[i]))
        return made

    def _rows(self, tensor: torch.Tensor) -> torch.Tensor:
        if self._chosen is None:
            return tensor[: self._count].contiguous()
        return tensor.index_select(0, self._chosen)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def check_memory(given: Sequence[torch.Tensor], names: Sequence[str] = NAMES) -> None:
    for name, tensor in zip(names, given, strict=False):
        if not tensor.numel():
            continue
        last = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
        end = (tensor.storage_offset() + last + 1) * tensor.element_size()
        if end > tensor.untyped_storage().nbytes():
            raise FreedError(name, "a tensor that still has its memory", "a released storage")
