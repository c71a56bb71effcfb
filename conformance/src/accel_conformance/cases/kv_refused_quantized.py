"""Wrong quantised writes and conversions are refused by name, with every byte left as it was."""

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
from accel_conformance.refusals import as_double, assert_untouched

kv = kv_work

QUANTIZED = [Capability.KV_WRITE_QUANTIZED]
CONVERT = [Capability.KV_CONVERT]
E4M3, BF16 = torch.float8_e4m3fn, torch.bfloat16
N, H = 5, SMALL.heads
LAST = SMALL.slots - 1
NAN, INF = float("nan"), float("inf")

Errors = type[ArgumentError] | tuple[type[ArgumentError], ...]
Change = Callable[[KVWork, dict[str, Any]], None]


def _refused(
    kv: KVWork,
    error: Errors,
    argument: str | tuple[str, ...],
    call: Callable[[], object],
    *caches: LabelledCache,
) -> None:
    watched = [a.raw for c in caches for a in c.arenas]
    assert_untouched(error, argument, call, *watched, settle=kv.settle)


def _set(name: str, value: object) -> Change:
    def change(kv: KVWork, call: dict[str, Any]) -> None:
        call[name] = value

    return change


def _ones(name: str, *shape: int, dtype: torch.dtype = torch.float32, device: str = "") -> Change:
    def change(kv: KVWork, call: dict[str, Any]) -> None:
        call[name] = torch.ones(shape, dtype=dtype, device=device or kv.backend.device)

    return change


def _bad(name: str, value: float, at: tuple[int, ...], *shape: int) -> Change:
    """One of the scales is ``value``. In the memory of a device nobody looks at it."""

    def change(kv: KVWork, call: dict[str, Any]) -> None:
        if kv.backend.device.type != "cpu":
            pytest.skip("scales of a device are not looked at")
        call[name] = torch.ones(shape)
        call[name][at] = value

    return change


def _released(kv: KVWork, call: dict[str, Any]) -> None:
    call["key_scale"] = torch.ones(H, device=kv.backend.device)
    call["key_scale"].untyped_storage().resize_(0)


def _of(name: str, function: Callable[[torch.Tensor], object]) -> Change:
    def change(kv: KVWork, call: dict[str, Any]) -> None:
        call[name] = function(call[name])

    return change


def _slots(*values: int) -> Change:
    def change(kv: KVWork, call: dict[str, Any]) -> None:
        call["slot_mapping"] = kv.indices(values)

    return change


def _cache(dtype: torch.dtype) -> Change:
    def change(kv: KVWork, call: dict[str, Any]) -> None:
        call["cache"] = kv.make("vllm_nhd", SMALL, dtype).cache

    return change


#: What is wrong -> the errors allowed, the names allowed, and how to make the call wrong.
WRITES: dict[str, tuple[Errors, str | tuple[str, ...], Change]] = {
    "value-scale-missing": (ArgumentError, "value_scale", _set("value_scale", None)),
    "key-scale-missing": (ArgumentError, "key_scale", _set("key_scale", None)),
    "zero": (ArgumentError, "key_scale", _set("key_scale", 0.0)),
    "negative": (ArgumentError, "value_scale", _set("value_scale", -0.5)),
    "nan": (ArgumentError, "key_scale", _set("key_scale", NAN)),
    "infinite": (ArgumentError, "key_scale", _set("key_scale", INF)),
    "too-large-for-float32": (ArgumentError, "key_scale", _set("key_scale", 1e39)),
    "far-too-large": (ArgumentError, "key_scale", _set("key_scale", 10**400)),
    "too-small-for-float32": (ArgumentError, "value_scale", _set("value_scale", 1e-46)),
    "tensor-zero": (ArgumentError, "key_scale", _bad("key_scale", 0.0, (0,), 1)),
    "tensor-nan": (ArgumentError, "key_scale", _bad("key_scale", NAN, ())),
    "head-negative": (ArgumentError, "value_scale", _bad("value_scale", -1.0, (H - 1,), H)),
    "token-infinite": (ArgumentError, "key_scale", _bad("key_scale", INF, (N - 1, 0), N, 1)),
    "both-nan": (ArgumentError, "value_scale", _bad("value_scale", NAN, (2, 1), N, H)),
    "text": (DTypeError, "key_scale", _set("key_scale", "0.5")),
    "boolean": (DTypeError, "key_scale", _set("key_scale", True)),
    "list": (DTypeError, "value_scale", _set("value_scale", [0.5] * H)),
    "float64": (DTypeError, "key_scale", _ones("key_scale", H, dtype=torch.float64)),
    "bfloat16": (DTypeError, "value_scale", _ones("value_scale", 1, dtype=BF16)),
    "too-many-heads": (ShapeError, "key_scale", _ones("key_scale", H + 1)),
    "a-scale-for-each-token": (ShapeError, "key_scale", _ones("key_scale", N)),
    "too-few-tokens": (ShapeError, "value_scale", _ones("value_scale", N - 1, 1)),
    "too-few-heads": (ShapeError, "value_scale", _ones("value_scale", N, H - 1)),
    "one-row": (ShapeError, "key_scale", _ones("key_scale", 1, H)),
    "three-axes": (ShapeError, "key_scale", _ones("key_scale", N, H, 1)),
    "scale-on-meta": (DeviceError, "key_scale", _ones("key_scale", 1, device="meta")),
    "scale-freed": (FreedError, "key_scale", _released),
    "key-of-codes": (DTypeError, "key", _of("key", lambda t: t.to(E4M3))),
    "key-float64": (DTypeError, "key", _of("key", as_double)),
    "value-integers": (DTypeError, "value", _of("value", lambda t: t.short())),
    "cache-of-values": (DTypeError, "cache", _cache(BF16)),
    "cache-of-bytes": (DTypeError, "cache", _cache(torch.uint8)),
    "cache-is-none": (DTypeError, "cache", _set("cache", None)),
    "layer-too-large": (ArgumentError, "layer", _set("layer", SMALL.layers)),
    "layer-no-integer": (ArgumentError, "layer", _set("layer", 0.5)),
    "stream-is-none-such": (ArgumentError, "stream", _set("stream", "main")),
    "key-is-a-list": (DTypeError, "key", _set("key", [1.0])),
    "key-one-axis": (ShapeError, "key", _of("key", lambda t: t[:, 0, 0])),
    "key-too-wide": (ShapeError, "key", _of("key", lambda t: torch.cat([t, t], -1))),
    "value-too-few-heads": (ShapeError, "value", _of("value", lambda t: t[:, 1:])),
    "value-too-short": ((ShapeError, SizeError), ("value", "key"), _of("value", lambda t: t[1:])),
    "value-missing": (ArgumentError, "value", _set("value", None)),
    "key-on-meta": (DeviceError, "key", _of("key", lambda t: t.to("meta"))),
    "mapping-too-long": ((ShapeError, SizeError), "slot_mapping", _slots(0, 1, 2, 3, 4, 5)),
    "mapping-float": (DTypeError, "slot_mapping", _of("slot_mapping", lambda t: t.float())),
    "mapping-list": (DTypeError, "slot_mapping", _set("slot_mapping", [0, 1, 2, 3, 4])),
    "mapping-on-meta": (DeviceError, "slot_mapping", _of("slot_mapping", lambda t: t.to("meta"))),
    "slot-too-large": (SlotError, "slot_mapping", _slots(0, 1, 2, 3, LAST + 1)),
    "slot-twice": (OverlapError, "slot_mapping", _slots(0, 7, 2, 7, 4)),
}


@case(level=2, needs=QUANTIZED)
@pytest.mark.parametrize("warm", [False, True], ids=["first", "later"])
@pytest.mark.parametrize("what", WRITES)
def test_quantized_refused(kv: KVWork, what: str, warm: bool) -> None:
    """Anything wrong with the scales or the rest, in the first call or after one that was right."""
    error, names, change = WRITES[what]
    cache = kv.make("vllm_nhd", SMALL, E4M3)
    arguments: dict[str, Any] = {
        "cache": cache.cache,
        "layer": 1,
        "key": kv.rows(N, (H, SMALL.head_dim), BF16),
        "value": kv.rows(N, (H, SMALL.head_dim), BF16),
        "slot_mapping": kv.indices([3, 0, LAST, -1, 9]),
        "key_scale": 0.5,
        "value_scale": 0.25,
    }
    if warm:
        kv.backend.kv.write(**arguments)
        kv.settle()
    change(kv, arguments)
    _refused(kv, error, names, lambda: kv.backend.kv.write(**arguments), cache)


@case(level=2, needs=QUANTIZED)
def test_quantized_value_scale_without_value(kv: KVWork) -> None:
    """MLA: a scale for a value that is not there."""
    cache = kv.make("vllm_mla", KVShape("mla", 2, 3, 4, 1, 576, planes=1), E4M3)
    key = kv.rows(2, (576,), BF16)
    call = lambda: kv.backend.kv.write(  # noqa: E731
        cache.cache, 0, key, None, kv.indices([0, 1]), key_scale=0.5, value_scale=0.5
    )
    _refused(kv, ArgumentError, "value_scale", call, cache)


@case(level=2, needs=QUANTIZED)
def test_quantized_heads_of_a_cache_without(kv: KVWork) -> None:
    """Scales by the key's heads, for a cache whose rows have none."""
    cache = kv.make("lmcache_object", SMALL, E4M3)
    key, value = (kv.rows(2, (H, SMALL.head_dim), BF16) for _ in range(2))
    scale = torch.ones(H, device=kv.backend.device)
    call = lambda: kv.backend.kv.write(  # noqa: E731
        cache.cache, 0, key, value, kv.indices([0, 1]), key_scale=scale, value_scale=1.0
    )
    _refused(kv, ShapeError, "key_scale", call, cache)


@case(level=2, needs=QUANTIZED)
@pytest.mark.parametrize("slots", [[5, 4], [1, 0]], ids=["its-own-slots", "its-neighbours"])
def test_quantized_over_its_own_key(kv: KVWork, slots: list[int]) -> None:
    """A key that lies in bytes of the cache that are written, though of another dtype."""
    cache = kv.make("vllm_nhd", SMALL, E4M3)
    block = cache.cache.tensors[0][0].reshape(-1)
    first = (cache.cache.tensors[0].data_ptr() - cache.arenas[0].raw.data_ptr()) % 2
    count = 2 * SMALL.hidden
    start = block.storage_offset() + first + (4 * SMALL.hidden if slots[0] == 5 else 0)
    key = cache.arenas[0].raw[start : start + 2 * count].view(BF16).view(2, H, SMALL.head_dim)
    call = lambda: kv.backend.kv.write(  # noqa: E731
        cache.cache, 0, key, key, kv.indices(slots), key_scale=0.5, value_scale=0.5
    )
    _refused(kv, OverlapError, ("key", "value", "slot_mapping", "cache"), call, cache)


@case(level=2, needs=QUANTIZED)
def test_quantized_to_a_freed_cache(kv: KVWork) -> None:
    """The cache's tensors gave their memory back, before the first write and after it."""
    key, value = (kv.rows(2, (H, SMALL.head_dim), BF16) for _ in range(2))
    for warm in (False, True):
        cache = kv.make("vllm_nhd", SMALL, E4M3, separate=True)

        def call(cache: KVCache = cache.cache) -> None:
            kv.backend.kv.write(
                cache, 1, key, value, kv.indices([0, 1]), key_scale=0.5, value_scale=0.5
            )

        if warm:
            call()
            kv.settle()
        cache.cache.tensors[1].untyped_storage().resize_(0)
        assert_untouched(FreedError, "cache", call, settle=kv.settle)


def _make(side: str, layout: str, dtype: torch.dtype, shape: KVShape = SMALL) -> Change:
    def change(kv: KVWork, call: dict[str, Any]) -> None:
        call[side] = kv.make(layout, shape, dtype).cache

    return change


def _meta(kv: KVWork, call: dict[str, Any]) -> None:
    call["dst"] = KVCache.allocate(
        "vllm_nhd", layers=2, blocks=5, block_size=4, heads=3, head_dim=8, dtype=E4M3,
        device="meta",
    )  # fmt: skip


def _gone(side: str) -> Change:
    def change(kv: KVWork, call: dict[str, Any]) -> None:
        gone = kv.make("vllm_nhd", SMALL, BF16 if side == "src" else E4M3, separate=True)
        gone.cache.tensors[1].untyped_storage().resize_(0)
        call[side] = gone.cache

    return change


def _itself(kv: KVWork, call: dict[str, Any]) -> None:
    call["src"] = call["dst"]


def _same_bytes(kv: KVWork, call: dict[str, Any]) -> None:
    """The same memory under another dtype."""
    call["src"] = KVCache([t.view(torch.int8) for t in call["dst"].tensors], "vllm_nhd")


def _some_bytes(kv: KVWork, call: dict[str, Any]) -> None:
    """One layer of the destination as the source of another."""
    dst: KVCache = call["dst"]
    call["src"] = KVCache(
        [dst.tensors[1].view(torch.int8), dst.tensors[1].view(torch.int8)], "vllm_nhd"
    )


def _expanded(kv: KVWork, call: dict[str, Any]) -> None:
    one: torch.Tensor = call["dst"].tensors[0]
    call["dst"] = KVCache([one, one], "vllm_nhd")


CONVERTS: dict[str, tuple[Errors, str | tuple[str, ...], Change]] = {
    "src-is-none": (DTypeError, "src", _set("src", None)),
    "dst-is-a-tensor": (DTypeError, "dst", _of("dst", lambda c: c.tensors[0])),  # type: ignore[attr-defined]
    "stream-is-none-such": (ArgumentError, "stream", _set("stream", "main")),
    "scale-of-values": (ArgumentError, "src_scale", _set("src_scale", 0.5)),
    "zero": (ArgumentError, "dst_scale", _set("dst_scale", 0)),
    "nan": (ArgumentError, "dst_scale", _set("dst_scale", NAN)),
    "infinite": (ArgumentError, "dst_scale", _set("dst_scale", 1e39)),
    "plane-negative": (ArgumentError, "dst_scale", _bad("dst_scale", -1.0, (1,), 2)),
    "head-nan": (ArgumentError, "dst_scale", _bad("dst_scale", NAN, (1, H - 1), 2, H)),
    "layer-zero": (ArgumentError, "dst_scale", _bad("dst_scale", 0.0, (1, 0, 0), 2, 2, H)),
    "scale-text": (DTypeError, "dst_scale", _set("dst_scale", "1")),
    "scale-boolean": (DTypeError, "dst_scale", _set("dst_scale", False)),
    "scale-float16": (DTypeError, "dst_scale", _ones("dst_scale", 2, dtype=torch.float16)),
    "scale-on-meta": (DeviceError, "dst_scale", _ones("dst_scale", 2, device="meta")),
    "scale-by-head-alone": (ShapeError, "dst_scale", _ones("dst_scale", H)),
    "scale-of-one": (ShapeError, "dst_scale", _ones("dst_scale", 1)),
    "scale-planes": (ShapeError, "dst_scale", _ones("dst_scale", 3, H)),
    "scale-heads": (ShapeError, "dst_scale", _ones("dst_scale", 2, H + 1)),
    "scale-layers": (ShapeError, "dst_scale", _ones("dst_scale", 1, 2, H)),
    "scale-four-axes": (ShapeError, "dst_scale", _ones("dst_scale", 2, 2, H, 1)),
    "src-integers": (DTypeError, "src", _make("src", "vllm_nhd", torch.int64)),
    "dst-bytes": (DTypeError, "dst", _make("dst", "vllm_nhd", torch.uint8)),
    "layers": (LayoutError, ("src", "dst"), _make(
        "src", "vllm_nhd", BF16, dataclasses.replace(SMALL, layers=3))),
    "planes": (LayoutError, ("src", "dst"), _make(
        "src", "L | B S H D", BF16, dataclasses.replace(SMALL, planes=1))),
    "width": ((LayoutError, ShapeError, SizeError), ("src", "dst"), _make(
        "src", "vllm_nhd", BF16, dataclasses.replace(SMALL, head_dim=16))),
    "heads": ((LayoutError, ShapeError), ("src", "dst"), _make(
        "src", "vllm_nhd", BF16, dataclasses.replace(SMALL, heads=2, head_dim=12))),
    "slots": (SizeError, ("src", "dst"), _make(
        "src", "vllm_nhd", BF16, dataclasses.replace(SMALL, blocks=6))),
    "src-freed": (FreedError, "src", _gone("src")),
    "dst-freed": (FreedError, "dst", _gone("dst")),
    "dst-on-meta": (DeviceError, "dst", _meta),
    "into-itself": (OverlapError, ("src", "dst"), _itself),
    "same-bytes": (OverlapError, ("src", "dst"), _same_bytes),
    "some-bytes": (OverlapError, ("src", "dst"), _some_bytes),
    "dst-overlaps-itself": (OverlapError, "dst", _expanded),
}  # fmt: skip


@case(level=2, needs=CONVERT)
@pytest.mark.parametrize("what", CONVERTS)
def test_convert_refused(kv: KVWork, what: str) -> None:
    """Anything wrong with the caches, their memory or the scales."""
    error, names, change = CONVERTS[what]
    src, dst = kv.make("vllm_hnd", SMALL, BF16), kv.make("vllm_nhd", SMALL, E4M3)
    arguments: dict[str, Any] = {"src": src.cache, "dst": dst.cache, "dst_scale": 0.5}
    change(kv, arguments)
    _refused(kv, error, names, lambda: kv.backend.kv.convert(**arguments), src, dst)


@case(level=2, needs=CONVERT)
def test_convert_freed_later(kv: KVWork) -> None:
    """Memory given back after a conversion between the same caches."""
    src, dst = (kv.make("vllm_nhd", SMALL, d, separate=True) for d in (BF16, E4M3))

    def call() -> None:
        kv.backend.kv.convert(src.cache, dst.cache, dst_scale=0.5)

    call()
    kv.settle()
    src.cache.tensors[1].untyped_storage().resize_(0)
    _refused(kv, FreedError, "src", call, dst)


@case(level=2, needs=CONVERT)
def test_convert_heads_that_differ(kv: KVWork) -> None:
    """Scales by head for planes that have not as many heads."""
    shapes = [dataclasses.replace(SMALL, heads=h, planes=1) for h in (2, 4)]
    src, dst = (join(*(kv.make("L | B S H D", s, d) for s in shapes)) for d in (BF16, E4M3))
    scale = torch.ones(2, 2, device=kv.backend.device)
    call = lambda: kv.backend.kv.convert(src.cache, dst.cache, dst_scale=scale)  # noqa: E731
    _refused(kv, ShapeError, "dst_scale", call, src, dst)


@case(level=2, needs=CONVERT)
def test_convert_scales_of_one_plane_of_codes(kv: KVWork) -> None:
    """Scales for a cache of which only one plane holds codes."""
    flat = dataclasses.replace(SMALL, planes=1)
    src, dst = (
        join(*(kv.make("L | B S H D", flat, d) for d in dtypes))
        for dtypes in ((BF16, BF16), (E4M3, BF16))
    )
    call = lambda: kv.backend.kv.convert(src.cache, dst.cache, dst_scale=0.5)  # noqa: E731
    _refused(kv, ArgumentError, "dst_scale", call, src, dst)
