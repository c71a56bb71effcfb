"""Wrong repositions are refused by name, with every byte left as it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch

from accel import Backend, Capability
from accel.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    FreedError,
    OverlapError,
    ShapeError,
    SlotError,
)
from accel.kv import KVCache, Rope
from accel_conformance.case import case
from accel_conformance.gates import Gates
from accel_conformance.kv_shapes import SMALL
from accel_conformance.refusals import as_double, assert_untouched
from accel_conformance.rope_expected import RopeExpectation, Setting
from accel_conformance.rope_work import RopeWork, rope_work

rope = rope_work

ROPE = [Capability.KV_ROPE]
LAST = SMALL.slots - 1
N = 5

Errors = type[ArgumentError] | tuple[type[ArgumentError], ...]
Change = Callable[[RopeWork, dict[str, Any]], None]


def _set(name: str, value: object) -> Change:
    def change(rope: RopeWork, call: dict[str, Any]) -> None:
        call[name] = value

    return change


def _apply(name: str, function: Callable[[Any], object]) -> Change:
    def change(rope: RopeWork, call: dict[str, Any]) -> None:
        call[name] = function(call[name])

    return change


def _values(name: str, values: list[int]) -> Change:
    return _set(name, torch.tensor(values))


def _release(name: str) -> Change:
    def change(rope: RopeWork, call: dict[str, Any]) -> None:
        # A clone: what torch.tensor makes under a dispatch mode cannot be resized.
        call[name] = call[name].clone()
        call[name].untyped_storage().resize_(0)

    return change


def _table(**setting: Any) -> Change:
    def change(rope: RopeWork, call: dict[str, Any]) -> None:
        made = Setting(table=torch.float32, **setting)
        call["rope"] = made.rope(SMALL.head_dim, rope.backend.device)

    return change


def _table_and(change: Change) -> Change:
    def both(rope: RopeWork, call: dict[str, Any]) -> None:
        _table(positions=100)(rope, call)
        change(rope, call)

    return both


def _freed_table(rope: RopeWork, call: dict[str, Any]) -> None:
    _table()(rope, call)
    call["rope"].cos_sin_cache.untyped_storage().resize_(0)


def _table_on_meta(rope: RopeWork, call: dict[str, Any]) -> None:
    call["rope"] = Rope(cos_sin_cache=torch.ones(4096, 8, device="meta"))


#: What is wrong with any call -> the errors allowed, the names allowed, how to make it wrong.
COMMON: dict[str, tuple[Errors, tuple[str, ...], Change]] = {
    "rope-is-none": (DTypeError, ("rope",), _set("rope", None)),
    "rope-is-a-base": (DTypeError, ("rope",), _set("rope", 10000.0)),
    "keys-is-none": (DTypeError, ("keys",), _set("keys", None)),
    "stream-is-none-such": (ArgumentError, ("stream",), _set("stream", "main")),
    "rotation-too-wide": (ShapeError, ("rope",), _set("rope", Rope(rotary_dim=10))),
    "rotation-past-the-head": (ShapeError, ("rope",), _set("rope", Rope(rotary_dim=6, offset=4))),
    "rotation-odd": (ShapeError, ("rope",), _set("rope", Rope(offset=1))),
    "table-too-wide": (
        ShapeError, ("rope",), _set("rope", Rope(cos_sin_cache=torch.ones(4096, 10)))
    ),
    "table-on-meta": (DeviceError, ("cos_sin_cache",), _table_on_meta),
    "table-freed": (FreedError, ("cos_sin_cache",), _freed_table),
    "old-negative": (ArgumentError, ("old_positions",), _values("old_positions", [3, 0, -1, 5, 9])),
    "new-negative": (ArgumentError, ("new_positions",), _values("new_positions", [3, 0, 1, 5, -9])),
    "old-enormous": (
        ArgumentError, ("old_positions",), _values("old_positions", [3, 2**31, 1, 5, 9])
    ),
    "new-enormous": (
        ArgumentError, ("new_positions",), _values("new_positions", [2**62, 0, 1, 2, 9])
    ),
    "old-past-the-table": (
        ArgumentError, ("old_positions",),
        _table_and(_values("old_positions", [3, 0, 1, 5, 100])),
    ),
    "new-past-the-table": (
        ArgumentError, ("new_positions",),
        _table_and(_values("new_positions", [100, 0, 1, 5, 9])),
    ),
    "old-negative-with-a-table": (
        ArgumentError, ("old_positions",),
        _table_and(_values("old_positions", [3, -1, 1, 5, 9])),
    ),
    "old-float": (DTypeError, ("old_positions",), _apply("old_positions", lambda t: t.float())),
    "new-int16": (DTypeError, ("new_positions",), _apply("new_positions", lambda t: t.short())),
    "old-list": (DTypeError, ("old_positions",), _apply("old_positions", lambda t: t.tolist())),
    "new-none": (DTypeError, ("new_positions",), _set("new_positions", None)),
    "old-too-short": (ShapeError, ("old_positions",), _apply("old_positions", lambda t: t[:-1])),
    "new-too-long": (
        ShapeError, ("new_positions",), _apply("new_positions", lambda t: t.repeat(2))
    ),
    "old-two-axes": (ShapeError, ("old_positions",), _apply("old_positions", lambda t: t[None])),
    "old-on-meta": (
        DeviceError, ("old_positions",), _apply("old_positions", lambda t: t.to("meta"))
    ),
    "new-on-meta": (
        DeviceError, ("new_positions",), _apply("new_positions", lambda t: t.to("meta"))
    ),
    "old-freed": (FreedError, ("old_positions",), _release("old_positions")),
    "new-freed": (FreedError, ("new_positions",), _release("new_positions")),
}  # fmt: skip

TENSOR: dict[str, tuple[Errors, tuple[str, ...], Change]] = {
    **COMMON,
    "keys-is-a-list": (DTypeError, ("keys",), _apply("keys", lambda t: t.tolist())),
    "keys-int16": (DTypeError, ("keys",), _apply("keys", lambda t: t.view(torch.int16))),
    "keys-float64": (DTypeError, ("keys",), _apply("keys", as_double)),
    "keys-one-axis": (ShapeError, ("keys",), _apply("keys", lambda t: t[0, 0])),
    "keys-on-meta": (DeviceError, ("keys",), _apply("keys", lambda t: t.to("meta"))),
    "keys-freed": (FreedError, ("keys",), _release("keys")),
    "keys-expanded": (
        OverlapError, ("keys",), _apply("keys", lambda t: t[:1].expand(N, *t.shape[1:]))
    ),
    "keys-overlapping-tokens": (
        OverlapError, ("keys",), _apply("keys", lambda t: t.as_strided((N, 2, 8), (8, 8, 1)))
    ),
    "slots-without-a-cache": (ArgumentError, ("slots",), _values("slots", [0, 1, 2, 3, 4])),
    "layer-without-a-cache": (ArgumentError, ("layer",), _set("layer", 0)),
}  # fmt: skip

CACHE: dict[str, tuple[Errors, tuple[str, ...], Change]] = {
    **COMMON,
    "slots-missing": (ArgumentError, ("slots",), _set("slots", None)),
    "slots-list": (DTypeError, ("slots",), _set("slots", [0, 1, 2, 3, 4])),
    "slots-float": (DTypeError, ("slots",), _apply("slots", lambda t: t.float())),
    "slots-two-axes": (ShapeError, ("slots",), _apply("slots", lambda t: t[:, None])),
    "slots-fewer": (
        ShapeError, ("old_positions", "slots"), _apply("slots", lambda t: t[:-1])
    ),
    "slots-on-meta": (DeviceError, ("slots",), _apply("slots", lambda t: t.to("meta"))),
    "slots-freed": (FreedError, ("slots",), _release("slots")),
    "slot-too-large-first": (SlotError, ("slots",), _values("slots", [LAST + 1, 1, 2, 3, 4])),
    "slot-too-large-last": (SlotError, ("slots",), _values("slots", [0, 1, 2, 3, LAST + 1])),
    "slot-far-too-large": (SlotError, ("slots",), _values("slots", [0, 1, 2**40, 3, 4])),
    "slot-twice": (OverlapError, ("slots",), _values("slots", [0, 7, 2, 7, 4])),
    "slot-twice-among-padding": (OverlapError, ("slots",), _values("slots", [-1, 7, -1, 7, -1])),
    "layer-too-large": (ArgumentError, ("layer",), _set("layer", SMALL.layers)),
    "layer-negative": (ArgumentError, ("layer",), _set("layer", -1)),
    "layer-enormous": (ArgumentError, ("layer",), _set("layer", 2**70)),
    "layer-no-integer": (ArgumentError, ("layer",), _set("layer", 0.5)),
}  # fmt: skip


def _arguments(rope: RopeWork, **more: object) -> dict[str, Any]:
    old, new = (rope.positions((N,), 90) for _ in range(2))
    return {"old_positions": old, "new_positions": new, "rope": Rope(), **more}


def _refused(
    rope: RopeWork, given: tuple[Errors, tuple[str, ...], Change], raw: torch.Tensor,
    arguments: dict[str, Any],
) -> None:  # fmt: skip
    error, names, change = given
    kernels = rope.backend.kv
    change(rope, arguments)
    # What is released cannot be looked at.
    watched = [raw] if raw.untyped_storage().nbytes() else []

    def call() -> None:
        kernels.rope_reposition(**arguments)

    assert_untouched(error, names, call, *watched, settle=rope.kv.settle)
    # And again, when all that can be prepared was.
    assert_untouched(error, names, call, *watched, settle=rope.kv.settle)


@case(level=2, needs=ROPE)
@pytest.mark.parametrize("what", TENSOR)
def test_rope_refused(rope: RopeWork, what: str) -> None:
    """Anything wrong with keys, positions or the Rope: before and after a call that is right."""
    keys = rope.tensor((N,), 2, 8, torch.bfloat16)
    arguments = _arguments(rope, keys=keys.keys)
    rope.backend.kv.rope_reposition(**arguments)
    rope.kv.settle()
    _refused(rope, TENSOR[what], keys.raw, arguments)


@case(level=2, needs=ROPE)
@pytest.mark.parametrize("what", CACHE)
def test_rope_refused_in_a_cache(rope: RopeWork, what: str) -> None:
    """Anything wrong with positions, the Rope, the slots or the layer."""
    cache = rope.kv.make("vllm_nhd", SMALL)
    slots = rope.kv.indices([3, 0, LAST, -1, 9])
    arguments = _arguments(rope, keys=cache.cache, slots=slots)
    rope.backend.kv.rope_reposition(**arguments)
    rope.kv.settle()
    _refused(rope, CACHE[what], cache.arenas[0].raw, arguments)


@case(level=2, needs=ROPE)
def test_rope_refused_dtypes_of_caches(rope: RopeWork) -> None:
    """Quantised caches hold codes, not keys."""
    for dtype in (torch.int8, torch.float8_e4m3fn, torch.int64):
        cache = rope.kv.make("vllm_nhd", SMALL, dtype)
        arguments = _arguments(rope, keys=cache.cache, slots=rope.kv.indices([3, 0, LAST, -1, 9]))
        change = _set("layer", 0)
        _refused(rope, (DTypeError, ("keys",), change), cache.arenas[0].raw, arguments)


@case(level=2, needs=ROPE)
def test_rope_in_a_freed_cache(rope: RopeWork) -> None:
    """One of the cache's tensors gave its memory back, before the first call and after it."""
    for prepared in (False, True):
        cache = rope.kv.make("vllm_nhd", SMALL, separate=True)
        arguments = _arguments(rope, keys=cache.cache, slots=rope.kv.indices([3, 0, LAST, -1, 9]))
        if prepared:
            rope.backend.kv.rope_reposition(**arguments)
            rope.kv.settle()
        cache.cache.tensors[1].untyped_storage().resize_(0)
        call = lambda arguments=arguments: rope.backend.kv.rope_reposition(**arguments)  # noqa: E731
        assert_untouched(FreedError, "keys", call, cache.arenas[0].raw, settle=rope.kv.settle)


@case(level=2, needs=ROPE)
def test_rope_in_a_cache_of_another_device(rope: RopeWork) -> None:
    """A cache on the meta device."""
    meta = KVCache.allocate(
        "vllm_nhd", layers=2, blocks=5, block_size=4, heads=3, head_dim=8,
        dtype=torch.bfloat16, device="meta",
    )  # fmt: skip
    arguments = _arguments(rope, keys=meta, slots=rope.kv.indices([3, 0, LAST, -1, 9]))
    call = lambda: rope.backend.kv.rope_reposition(**arguments)  # noqa: E731
    assert_untouched(DeviceError, "keys", call, settle=rope.kv.settle)


@case(level=2, needs=ROPE)
def test_rope_in_a_cache_that_overlaps(rope: RopeWork) -> None:
    """One tensor given for two layers."""
    one = rope.kv.make("vllm_nhd", dataclasses.replace(SMALL, layers=1))
    twice = KVCache([one.cache.tensors[0]] * 2, "vllm_nhd")
    arguments = _arguments(rope, keys=twice, slots=rope.kv.indices([3, 0, LAST, -1, 9]))
    call = lambda: rope.backend.kv.rope_reposition(**arguments)  # noqa: E731
    assert_untouched(OverlapError, "keys", call, one.arenas[0].raw, settle=rope.kv.settle)


@case(level=2, needs=ROPE)
@pytest.mark.parametrize("what", ["old_positions", "new_positions", "cos_sin_cache"])
def test_rope_keys_overlap(rope: RopeWork, what: str) -> None:
    """Keys in the memory of the positions or of the table."""
    shared = torch.zeros(4096, dtype=torch.uint8, device=rope.backend.device)
    keys = shared[: N * 2 * 8 * 4].view(torch.float32).view(N, 2, 8)
    arguments = _arguments(rope, keys=keys)
    if what == "cos_sin_cache":
        table = shared[16 : 16 + 8 * 100 * 4].view(torch.float32).view(100, 8)
        arguments["rope"] = Rope(cos_sin_cache=table)
    else:
        arguments[what] = shared[40 : 40 + 8 * N].view(torch.int64)
        if rope.backend.device.type != "cpu":  # all positions on one device
            for name in ("old_positions", "new_positions"):
                arguments[name] = arguments[name].to(rope.backend.device)
    call = lambda: rope.backend.kv.rope_reposition(**arguments)  # noqa: E731
    assert_untouched(OverlapError, ("keys", what), call, shared, settle=rope.kv.settle)


@case(level=2, needs=ROPE)
def test_rope_keys_beside_positions(rope: RopeWork) -> None:
    """Keys, positions and table that interleave in one allocation, but share no byte."""
    width = 2 * 8 * 4 + 8  # of a row: two heads of 8 float32 channels, then a position
    raw = torch.zeros(N * width, dtype=torch.uint8, device=rope.backend.device)
    keys = raw.view(torch.float32).as_strided((N, 2, 8), (width // 4, 8, 1))
    old = raw.view(torch.int64).as_strided((N,), (width // 8,), 8)
    old.copy_(rope.positions((N,)))
    new = rope.positions((N,)).to(rope.backend.device)
    index = torch.arange(N)[:, None, None] * (width // 4) + torch.arange(16).view(2, 8)
    setting = Setting()
    scratch = rope.fill(raw, torch.float32, index, old.cpu(), setting)
    expected = RopeExpectation([raw])
    expected.turned(raw, torch.float32, index, old.cpu(), new.cpu(), setting, scratch)
    rope.backend.kv.rope_reposition(keys, old, new, setting.rope(8, raw.device))
    rope.kv.settle()
    expected.check()


@case(level=2, needs=[*ROPE, Capability.STREAMS, Capability.COPY])
def test_rope_refused_while_the_stream_is_held(
    rope: RopeWork, backend: Backend, gate: Gates
) -> None:
    """A wrong call raises at once, whatever the stream is doing, and the stream stays usable."""
    cache, setting = rope.kv.make("vllm_nhd", SMALL), Setting()
    slots = [3, 0, LAST, 9]
    old, new = (rope.positions((4,)) for _ in range(2))
    expected = rope.prepare_cache(cache, SMALL.heads, setting, slots, old, new)
    given, reposition = Rope(), backend.kv.rope_reposition
    stream = backend.streams.create()
    with gate(stream):
        for wrong in ([3, 0, LAST + 1, 9], [3, 0, 3, 9]):
            with pytest.raises((SlotError, OverlapError)):
                reposition(
                    cache.cache, old, new, given, slots=rope.kv.indices(wrong), stream=stream
                )
        reposition(cache.cache, old, new, given, slots=rope.kv.indices(slots), stream=stream)
        with pytest.raises(ArgumentError):
            reposition(cache.cache, old - 5000, new, given, slots=rope.kv.indices(slots),
                       stream=stream)  # fmt: skip
    stream.synchronize()
    expected.check()
