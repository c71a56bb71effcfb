"""``rope_reposition``: keys turned by the difference of their angles, in float32, in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, DeviceError, SlotError
from ..kv import KVCache
from ..kv.geometry import Geometry, Plane
from ..kv.plan import TransferPlan, plan_transfer
from ..kv.rope import MAX_POSITION
from ..kv.rope_arguments import check_positions, check_rope
from .angles import fixed_turns, host_angles, series_angles, table_angles
from .indices import reads_back
from .movement import TorchMovement
from .numbers import elements, from_float32, to_float32
from .queue import DeviceQueue
from .row_moves import index_of, pieces
from .rows import Place, groups_of, matrix_of, unit_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from ..kv import Rope
    from ..providers import Stream
    from .rows import Side

__all__ = ["TorchRope"]

#: Cosine and sine of tokens, ``[tokens, pairs]``; bool, which tokens keep their bits, or None.
_Turn = tuple["torch.Tensor", "torch.Tensor", "torch.Tensor | None"]


class TorchRope(TorchMovement):
    """Angles as :mod:`.angles` says; keys of a cache are gathered as rows, turned and put back.

    Lists on the host are checked there, and tokens that stay where they are left out. Those on the
    device are not read: what is out of range or padding is turned into a token that keeps its
    bits, and the stream's next synchronisation says what was wrong.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._sides: dict[object, list[tuple[Side, torch.Tensor]]] = {}

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
        queue = self._queue
        queue.check(stream)
        target = check_rope(
            keys, old_positions, new_positions, rope, slots, layer, (queue.device.type,)
        )
        if target.keys[0].device != queue.device:
            raise DeviceError("keys", f"keys on {queue.device}", target.keys[0].device)
        units = keys.slots if isinstance(keys, KVCache) else 0
        given = (old_positions, new_positions, slots)
        if old_positions.device.type != "cpu" and (reads_back() or not queue.callbacks):
            queue.wait(stream)
            given = tuple(None if t is None else t.cpu() for t in given)  # type: ignore[assignment]
        old, new, where = given
        assert old is not None
        assert new is not None
        if where is None and not target.keys[0].numel():
            if old.device.type == "cpu":
                check_positions(old, new, rope)
            return
        operands = [t for t in (*target.keys, *given, rope.cos_sin_cache) if t is not None]
        if isinstance(keys, KVCache):
            operands += keys.tensors
        if old.device.type == "cpu":
            places, old, new = check_positions(old, new, rope, where, units)
            moves = (old != new).nonzero().flatten()
            if not len(moves):
                return
            turn = self._listed(rope, target.rotary_dim, old[moves], new[moves], stream)
            if places is None:
                chosen = queue.upload(moves, stream)
            else:
                chosen = queue.upload(places[moves], stream)
        else:
            assert isinstance(queue, DeviceQueue)
            turn, chosen = self._unread(rope, target.rotary_dim, old, new, where, units, stream)
        sides = [] if where is None else self._key_sides(keys, target.keys)
        operands += [inner for _, inner in sides]
        offset, width = rope.offset, target.rotary_dim

        def work() -> None:
            turned = turn()
            if where is None:
                _turn_tensor(target.keys[0], chosen, turned, offset, width, rope.interleaved)
                return
            for side, inner in sides:
                view = target.keys[side.tensor]
                _turn_rows(side, inner, view, chosen, turned, offset, width, rope.interleaved)

        queue.submit(stream, work, operands)

    def _listed(
        self,
        rope: Rope,
        rotary_dim: int,
        old: torch.Tensor,
        new: torch.Tensor,
        stream: Stream | None,
    ) -> Callable[[], _Turn]:
        """The turns of host positions, which all move."""
        import torch

        queue = self._queue
        if rope.cos_sin_cache is not None:
            table = rope.cos_sin_cache
            rows = queue.upload(torch.stack([old, new]), stream)

            def from_table() -> _Turn:
                return (*_table_turns(table, rows[0], rows[1]), None)

            return from_table
        steps, which = torch.unique(new - old, return_inverse=True)
        angles = torch.stack(host_angles(steps, rope.inv_freq(rotary_dim)))
        there = queue.upload(angles, stream)
        index = queue.upload(which, stream)
        return lambda: (there[0].index_select(0, index), there[1].index_select(0, index), None)

    def _unread(
        self,
        rope: Rope,
        rotary_dim: int,
        old: torch.Tensor,
        new: torch.Tensor,
        slots: torch.Tensor | None,
        units: int,
        stream: Stream | None,
    ) -> tuple[Callable[[], _Turn], torch.Tensor]:
        """The turns of device positions, and which tokens: lists that are not looked at."""
        import torch

        queue = self._queue
        assert isinstance(queue, DeviceQueue)
        table = rope.cos_sin_cache
        end = MAX_POSITION + 1 if table is None else len(table)
        made: list[torch.Tensor] = []

        def mask() -> None:
            made.extend(_mask(old.flatten().long(), new.flatten().long(), slots, units, end))

        queue.submit(stream, mask)
        if made[3].numel():
            _report(queue, stream, made[3], end, units)
        chosen, first, last = made[:3]
        if table is not None:
            return lambda: (*_table_turns(table, first, last), first == last), chosen
        frequencies = fixed_turns(tuple(rope.inv_freq(rotary_dim)))
        turns = queue.upload(torch.tensor(frequencies, dtype=torch.int64), stream)
        return lambda: (*series_angles(last - first, turns), first == last), chosen

    def _key_sides(
        self, keys: torch.Tensor | KVCache, views: tuple[torch.Tensor, ...]
    ) -> list[tuple[Side, torch.Tensor]]:
        """The rows of a token's keys, by layer, in the order of heads and channels."""
        assert isinstance(keys, KVCache)
        key = (keys.uid, tuple(v.data_ptr() for v in views))
        kept = self._sides
        if key in kept:
            return kept[key]
        plan = _key_plan(keys)
        places = [Place(i, 0, v.data_ptr(), v.data_ptr()) for i, v in enumerate(views)]
        sides = []
        for place in places:
            (group,) = groups_of(plan, [[place]], [[Place(0, 1, 0, 0)]])
            on_device = isinstance(self._queue, DeviceQueue)
            sides.append((group.src, self._table(group.src, on_device)))
        self.settle_tables()
        while len(kept) >= 1024:
            kept.pop(next(iter(kept)))
        kept[key] = sides
        return sides

    def close(self) -> None:
        self._sides.clear()
        super().close()


def _key_plan(cache: KVCache) -> TransferPlan:
    """One layer's keys to packed tokens: only the source's side is used."""
    geometry = cache.geometry
    plane = geometry.planes[0]
    dims, step = [], plane.itemsize
    for extent, _ in reversed(plane.dims):
        dims.append((extent, step))
        step *= extent
    packed = Plane(plane.dtype, plane.itemsize, step, 0, tuple(reversed(dims)))
    src = Geometry(1, geometry.blocks, geometry.block_size, geometry.paged, (plane,))
    return plan_transfer(src, Geometry(1, cache.slots, 1, False, (packed,)))


def _table_turns(
    table: torch.Tensor, old: torch.Tensor, new: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    bits, name = elements(table), str(table.dtype).removeprefix("torch.")
    rows = [to_float32(bits.index_select(0, at), name) for at in (old, new)]
    return table_angles(*rows)


def _turn_tensor(
    keys: torch.Tensor,
    chosen: torch.Tensor,
    turn: _Turn,
    offset: int,
    width: int,
    interleaved: bool,
) -> None:
    """Turn tokens ``chosen`` of ``[..., heads, head_dim]``."""
    import torch

    bits = elements(keys)[..., offset : offset + width]
    heads = keys.shape[-2]
    packed = bits.reshape(-1, heads, width)
    made = _turned(packed.index_select(0, chosen), keys.dtype, turn, interleaved)
    if len(chosen) == len(packed):
        # All of them, in order: lists are distinct and ascending.
        bits.copy_(made.view(bits.shape))
        return
    packed = packed.clone(memory_format=torch.contiguous_format)
    packed.index_copy_(0, chosen, made)
    bits.copy_(packed.view(bits.shape))


def _turn_rows(
    side: Side,
    inner: torch.Tensor,
    view: torch.Tensor,
    slots: torch.Tensor,
    turn: _Turn,
    offset: int,
    width: int,
    interleaved: bool,
) -> None:
    """Turn the keys of ``slots`` in one layer ``[blocks, block_size, heads, D1, D0]``."""
    heads, dim = view.shape[2], view.shape[3] * view.shape[4]
    kinds = elements(view[:0]).dtype
    matrix = matrix_of(side, view)
    for part in pieces(len(slots), heads * dim * 4):
        index = index_of(unit_rows(slots[part], side.paging), inner)
        rows = matrix.index_select(0, index)
        bits = rows.flatten().view(kinds).view(-1, heads, dim)
        cosine, sine, still = turn
        of_part = (cosine[part], sine[part], None if still is None else still[part])
        middle = bits[..., offset : offset + width].contiguous()
        bits[..., offset : offset + width] = _turned(middle, view.dtype, of_part, interleaved)
        matrix.index_copy_(0, index, rows)


def _turned(bits: torch.Tensor, dtype: torch.dtype, turn: _Turn, interleaved: bool) -> torch.Tensor:
    """The rotated bits of ``[tokens, heads, channels]``."""
    import torch

    name = str(dtype).removeprefix("torch.")
    x = to_float32(bits, name)
    cosine, sine, still = turn
    cosine, sine = cosine.unsqueeze(1), sine.unsqueeze(1)
    if interleaved:
        a, b = x[..., ::2], x[..., 1::2]
        made = torch.stack((a * cosine - b * sine, a * sine + b * cosine), dim=-1).flatten(-2)
    else:
        a, b = x.chunk(2, dim=-1)
        made = torch.cat((a * cosine - b * sine, a * sine + b * cosine), dim=-1)
    out = from_float32(made, name)
    return out if still is None else torch.where(still[:, None, None], bits, out)


def _mask(
    old: torch.Tensor, new: torch.Tensor, slots: torch.Tensor | None, units: int, end: int
) -> list[torch.Tensor]:
    """Which tokens, their positions, and what is wrong (int64 ``[6]``: counts and examples).

    Without slots a token to skip keeps its place, with equal positions; with slots it becomes a
    copy of one that counts, or of slot 0 with equal positions where there is none.
    """
    import torch

    places = torch.arange(len(old), device=old.device) if slots is None else slots.long()
    if not len(old):
        return [places, old, new, old]
    listed = places >= 0
    beyond = places >= units if slots is not None else torch.zeros_like(listed)
    bad_old = listed & ((old < 0) | (old >= end))
    bad_new = listed & ((new < 0) | (new >= end))
    found = []
    for bad, values in ((listed & beyond, places), (bad_old, old), (bad_new, new)):
        at = bad.int().argmax().reshape(1)
        found += [bad.any().long().reshape(1), values.index_select(0, at)]
    counts = listed & ~beyond & ~bad_old & ~bad_new
    zero = torch.zeros_like(old)
    if slots is None:
        old, new = torch.where(counts, old, zero), torch.where(counts, new, zero)
        return [places, old, new, torch.cat(found)]
    one = counts.int().argmax().reshape(1)
    any_counts = counts.any()
    out = []
    for values in (places, old, new):
        fill = torch.where(any_counts, values.index_select(0, one), zero[:1])
        out.append(torch.where(counts, values, fill))
    return [*out, torch.cat(found)]


def _report(
    queue: DeviceQueue, stream: Stream | None, found: torch.Tensor, end: int, units: int
) -> None:
    seen = queue.staging(found.shape, found.dtype)
    queue.to_host(seen, found, stream)

    def tell() -> None:
        bad_slot, slot, bad_old, old, bad_new, new = seen.tolist()
        if bad_slot:
            raise SlotError("slots", f"indices below {units}", slot)
        for name, bad, value in (("old_positions", bad_old, old), ("new_positions", bad_new, new)):
            if bad:
                raise ArgumentError(name, f"positions from 0 to {end - 1}", value)

    queue.host_part(stream, tell)
