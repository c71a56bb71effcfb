"""Wrong writes and gathers are refused by name, with every byte left as it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch

from accel import Capability
from accel.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    FreedError,
    LayoutError,
    OverlapError,
    ShapeError,
    SizeError,
    SlotError,
)
from accel.kv import KVCache
from accel_conformance.case import case
from accel_conformance.kv_inputs import LabelledCache, join
from accel_conformance.kv_shapes import SMALL, KVShape
from accel_conformance.kv_work import KVWork, kv_work
from accel_conformance.refusals import assert_untouched

kv = kv_work

WRITE = [Capability.KV_WRITE]
GATHER = [Capability.KV_GATHER]
N = 5
LAST = SMALL.slots - 1
FLAT = dataclasses.replace(SMALL, blocks=12, block_size=1)

Errors = type[ArgumentError] | tuple[type[ArgumentError], ...]
Change = Callable[[KVWork, dict[str, Any]], None]


def _refused(
    kv: KVWork,
    error: Errors,
    argument: tuple[str, ...],
    call: Callable[[], object],
    *caches: LabelledCache,
) -> None:
    watched = [a.raw for c in caches for a in c.arenas]
    assert_untouched(error, argument, call, *watched, settle=kv.settle)


def _set(name: str, value: object) -> Change:
    def change(kv: KVWork, call: dict[str, Any]) -> None:
        call[name] = value

    return change


def _apply(name: str, function: Callable[[torch.Tensor], object]) -> Change:
    def change(kv: KVWork, call: dict[str, Any]) -> None:
        call[name] = function(call[name])

    return change


def _slots(values: list[int]) -> Change:
    def change(kv: KVWork, call: dict[str, Any]) -> None:
        call["slot_mapping"] = kv.indices(values)

    return change


def _release(name: str) -> Change:
    def change(kv: KVWork, call: dict[str, Any]) -> None:
        call[name].untyped_storage().resize_(0)

    return change


def _wide(t: torch.Tensor) -> torch.Tensor:
    return torch.cat([t, t], -1)


def _short(t: torch.Tensor) -> torch.Tensor:
    return t[:-1]


#: What is wrong -> the errors allowed, the names allowed, and how to make the call wrong.
WRITES: dict[str, tuple[Errors, tuple[str, ...], Change]] = {
    "layer-too-large": (ArgumentError, ("layer",), _set("layer", SMALL.layers)),
    "layer-negative": (ArgumentError, ("layer",), _set("layer", -1)),
    "layer-no-integer": (ArgumentError, ("layer",), _set("layer", 0.5)),
    "cache-is-none": (DTypeError, ("cache",), _set("cache", None)),
    "stream-is-none-such": (ArgumentError, ("stream",), _set("stream", "main")),
    "key-is-a-list": (DTypeError, ("key",), _set("key", [1.0])),
    "key-dtype": (DTypeError, ("key",), _apply("key", lambda t: t.float())),
    "key-dtype-of-one-size": (DTypeError, ("key",), _apply("key", lambda t: t.half())),
    "value-dtype": (DTypeError, ("value",), _apply("value", lambda t: t.float())),
    "key-one-axis": (ShapeError, ("key",), _apply("key", lambda t: t[:, 0, 0])),
    "key-too-wide": (ShapeError, ("key",), _apply("key", _wide)),
    "key-too-narrow": (ShapeError, ("key",), _apply("key", lambda t: t[..., 1:])),
    "value-too-wide": (ShapeError, ("value",), _apply("value", _wide)),
    "value-too-few-heads": (ShapeError, ("value",), _apply("value", lambda t: t[:, 1:])),
    "value-too-short": ((ShapeError, SizeError), ("value", "key"), _apply("value", _short)),
    "key-too-short": ((ShapeError, SizeError), ("value", "key"), _apply("key", _short)),
    "value-missing": (ArgumentError, ("value",), _set("value", None)),
    "key-on-meta": (DeviceError, ("key",), _apply("key", lambda t: t.to("meta"))),
    "value-on-meta": (DeviceError, ("value",), _apply("value", lambda t: t.to("meta"))),
    "key-freed": (FreedError, ("key",), _release("key")),
    "value-freed": (FreedError, ("value",), _release("value")),
    "mapping-too-long": (
        (ShapeError, SizeError), ("slot_mapping",), _slots([0, 1, 2, 3, 4, 5])
    ),
    "mapping-float": (
        DTypeError, ("slot_mapping",), _apply("slot_mapping", lambda t: t.float())
    ),
    "mapping-int16": (
        DTypeError, ("slot_mapping",), _apply("slot_mapping", lambda t: t.short())
    ),
    "mapping-list": (DTypeError, ("slot_mapping",), _set("slot_mapping", [0, 1, 2, 3, 4])),
    "mapping-two-axes": (
        ShapeError, ("slot_mapping",), _apply("slot_mapping", lambda t: t[:, None])
    ),
    "mapping-on-meta": (
        DeviceError, ("slot_mapping",), _apply("slot_mapping", lambda t: t.to("meta"))
    ),
    "slot-too-large-first": (SlotError, ("slot_mapping",), _slots([LAST + 1, 1, 2, 3, 4])),
    "slot-too-large-middle": (SlotError, ("slot_mapping",), _slots([0, 1, LAST + 1, 3, 4])),
    "slot-too-large-last": (SlotError, ("slot_mapping",), _slots([0, 1, 2, 3, LAST + 1])),
    "slot-far-too-large": (SlotError, ("slot_mapping",), _slots([0, 1, 2, 3, 2**40])),
    "slot-twice": (OverlapError, ("slot_mapping",), _slots([0, 7, 2, 7, 4])),
    "slot-twice-among-padding": (OverlapError, ("slot_mapping",), _slots([-1, 7, -1, 7, -1])),
}  # fmt: skip


@case(level=2, needs=WRITE)
@pytest.mark.parametrize("what", WRITES)
def test_write_refused(kv: KVWork, what: str) -> None:
    """Anything wrong with the layer, the key, the value or the slot mapping."""
    error, names, change = WRITES[what]
    cache = kv.make("vllm_nhd", SMALL)
    extents = (SMALL.heads, SMALL.head_dim)
    arguments: dict[str, Any] = {
        "cache": cache.cache,
        "layer": 1,
        "key": kv.rows(N, extents, torch.bfloat16),
        "value": kv.rows(N, extents, torch.bfloat16),
        "slot_mapping": kv.indices([3, 0, LAST, -1, 9]),
    }
    change(kv, arguments)
    _refused(kv, error, names, lambda: kv.backend.kv.write(**arguments), cache)


@case(level=2, needs=WRITE)
def test_write_to_a_freed_cache(kv: KVWork) -> None:
    """One of the cache's tensors gave its memory back, though it be of another layer."""
    cache = kv.make("vllm_nhd", SMALL, separate=True)
    rows = [kv.rows(2, (SMALL.heads, SMALL.head_dim), torch.bfloat16) for _ in range(2)]
    for layer in range(2):
        cache.cache.tensors[layer].untyped_storage().resize_(0)
        call = lambda layer=layer: kv.backend.kv.write(  # noqa: E731
            cache.cache, layer, rows[0], rows[1], kv.indices([0, 1])
        )
        assert_untouched(FreedError, "cache", call, settle=kv.settle)


@case(level=2, needs=WRITE)
def test_write_to_a_cache_of_another_device(kv: KVWork) -> None:
    """A cache on the meta device, with keys that lie there too or here."""
    meta = KVCache.allocate(
        "vllm_nhd", layers=2, blocks=5, block_size=4, heads=3, head_dim=8,
        dtype=torch.bfloat16, device="meta",
    )  # fmt: skip
    rows = [kv.rows(2, (SMALL.heads, SMALL.head_dim), torch.bfloat16) for _ in range(2)]
    for key, value in (rows, [t.to("meta") for t in rows]):
        call = lambda k=key, v=value: kv.backend.kv.write(meta, 0, k, v, kv.indices([0, 1]))  # noqa: E731
        assert_untouched(DeviceError, ("cache", "key"), call, settle=kv.settle)


@case(level=2, needs=WRITE)
@pytest.mark.parametrize("widths", [(512, 32), (500, 64), (576, 64)], ids=str)
def test_write_parts_that_do_not_add_up(kv: KVWork, widths: tuple[int, int]) -> None:
    """MLA: a latent and a rope part that are not as wide together as the row."""
    cache = kv.make("vllm_mla", KVShape("mla", 2, 3, 4, 1, 576, planes=1))
    key, value = (kv.rows(2, (w,), torch.bfloat16) for w in widths)
    call = lambda: kv.backend.kv.write(cache.cache, 0, key, value, kv.indices([0, 1]))  # noqa: E731
    _refused(kv, ShapeError, ("key", "value"), call, cache)


@case(level=2, needs=WRITE)
def test_write_to_three_planes(kv: KVWork) -> None:
    """A cache with more planes than there are sources."""
    flat = dataclasses.replace(SMALL, planes=1)
    cache = join(*(kv.make("L | B S H D", flat) for _ in range(3)))
    key, value = (kv.rows(2, (SMALL.heads, SMALL.head_dim), torch.bfloat16) for _ in range(2))
    call = lambda: kv.backend.kv.write(cache.cache, 0, key, value, kv.indices([0, 1]))  # noqa: E731
    _refused(kv, LayoutError, ("cache",), call, cache)


@case(level=2, needs=WRITE)
def test_write_over_its_own_key(kv: KVWork) -> None:
    """A key that is a view of a block that is written."""
    cache = kv.make("vllm_nhd", SMALL)
    key, value = (cache.cache.view(0, plane)[1] for plane in range(2))
    names = ("key", "value", "slot_mapping", "cache")
    call = lambda: kv.backend.kv.write(cache.cache, 0, key, value, kv.indices([5, 4, 7, 6]))  # noqa: E731
    _refused(kv, OverlapError, names, call, cache)


def _gather_table(values: object, dtype: torch.dtype = torch.int64) -> Change:
    return _set("block_table", torch.tensor(values, dtype=dtype))


GATHERS: dict[str, tuple[Errors, tuple[str, ...], Change]] = {
    "src-is-none": (DTypeError, ("src",), _set("src", None)),
    "dst-is-a-tensor": (DTypeError, ("dst",), _apply("dst", lambda c: c.tensors[0])),  # type: ignore[attr-defined]
    "stream-is-none-such": (ArgumentError, ("stream",), _set("stream", "main")),
    "table-float": (DTypeError, ("block_table",), _apply("block_table", lambda t: t.float())),
    "table-int16": (DTypeError, ("block_table",), _apply("block_table", lambda t: t.short())),
    "table-list": (DTypeError, ("block_table",), _apply("block_table", lambda t: t.tolist())),
    "table-one-axis": (ShapeError, ("block_table",), _apply("block_table", lambda t: t[0])),
    "table-on-meta": (
        DeviceError, ("block_table", "seq_lens", "seq_starts"),
        _apply("block_table", lambda t: t.to("meta")),
    ),
    "lens-float": (DTypeError, ("seq_lens",), _apply("seq_lens", lambda t: t.float())),
    "lens-two-axes": (ShapeError, ("seq_lens",), _apply("seq_lens", lambda t: t[:, None])),
    "lens-too-few": (ShapeError, ("seq_lens", "block_table"), _apply("seq_lens", _short)),
    "lens-on-meta": (DeviceError, ("seq_lens",), _apply("seq_lens", lambda t: t.to("meta"))),
    "lens-negative": (SlotError, ("seq_lens",), _set("seq_lens", torch.tensor([5, -1]))),
    "starts-bool": (DTypeError, ("seq_starts",), _set("seq_starts", torch.tensor([True, False]))),
    "starts-too-many": (ShapeError, ("seq_starts",), _set("seq_starts", torch.tensor([0, 1, 2]))),
    "starts-negative": (SlotError, ("seq_starts",), _set("seq_starts", torch.tensor([0, -2]))),
    "row-too-short": (
        SlotError, ("seq_lens", "block_table"), _set("seq_lens", torch.tensor([9, 1]))
    ),
    "row-too-short-with-starts": (
        SlotError, ("seq_lens", "seq_starts", "block_table"),
        _set("seq_starts", torch.tensor([0, 5])),
    ),
    "block-too-large-first": (SlotError, ("block_table",), _gather_table([[5, 1], [0, 3]])),
    "block-too-large-last": (SlotError, ("block_table",), _gather_table([[4, 1], [0, 5]])),
    "block-far-too-large": (SlotError, ("block_table",), _gather_table([[4, 2**40], [0, 3]])),
    "too-many-tokens": (
        SlotError, ("seq_lens", "dst"), _set("seq_lens", torch.tensor([7, 6]))
    ),
}  # fmt: skip


@case(level=2, needs=GATHER)
@pytest.mark.parametrize("what", GATHERS)
def test_gather_refused(kv: KVWork, what: str) -> None:
    """Anything wrong with the table, the lengths, the starts, or the room in the destination."""
    error, names, change = GATHERS[what]
    src, dst = kv.make("vllm_nhd", SMALL), kv.make("contiguous", FLAT)
    arguments: dict[str, Any] = {
        "src": src.cache,
        "dst": dst.cache,
        "block_table": torch.tensor([[4, 1], [0, 3]]),
        "seq_lens": torch.tensor([6, 5]),
        "seq_starts": None,
    }
    change(kv, arguments)
    _refused(kv, error, names, lambda: kv.backend.kv.gather(**arguments), src, dst)


@case(level=2, needs=GATHER)
def test_gather_of_wrong_caches(kv: KVWork) -> None:
    """Caches that do not hold the same, lie nowhere, were freed, or are one and the same."""
    src, dst = kv.make("vllm_nhd", SMALL), kv.make("contiguous", FLAT)
    gone = kv.make("vllm_nhd", SMALL, separate=True)
    gone.cache.tensors[1].untyped_storage().resize_(0)
    meta = KVCache.allocate(
        "contiguous", layers=2, blocks=12, block_size=1, heads=3, head_dim=8,
        dtype=torch.bfloat16, device="meta",
    )  # fmt: skip
    other = kv.make("contiguous", FLAT, torch.float16)
    deeper = kv.make("contiguous", dataclasses.replace(FLAT, layers=3))
    calls: list[tuple[Errors, tuple[str, ...], KVCache, KVCache]] = [
        (DTypeError, ("src", "dst"), src.cache, other.cache),
        (LayoutError, ("src", "dst"), src.cache, deeper.cache),
        (FreedError, ("src",), gone.cache, dst.cache),
        (FreedError, ("dst",), src.cache, gone.cache),
        (DeviceError, ("dst",), src.cache, meta),
        (OverlapError, ("dst", "block_table", "seq_lens"), src.cache, src.cache),
    ]
    for error, names, a, b in calls:
        call = lambda a=a, b=b: kv.backend.kv.gather(  # noqa: E731
            a, b, torch.tensor([[0, 1]]), torch.tensor([5])
        )
        _refused(kv, error, names, call, src, dst, other, deeper)
