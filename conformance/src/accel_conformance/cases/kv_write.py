"""Writing new keys and values into their slots."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from accel import Capability
from accel_conformance.case import case
from accel_conformance.kv_inputs import FORMS, Form, LabelledCache, distinct_layouts, join
from accel_conformance.kv_shapes import DTYPES, MODELS, ODD_SHAPES, SMALL, KVShape
from accel_conformance.kv_work import KVWork, kv_work

kv = kv_work

WRITE = [Capability.KV_WRITE]
LAST = SMALL.slots - 1
ROWS = ["plain", "fused", "heads-first", "stepped", "offset", "broadcast"]


def _name(value: object) -> str:
    return str(getattr(value, "name", value)).removeprefix("torch.")


def _slots(kv: KVWork, cache: LabelledCache) -> list[int]:
    """About half of the slots in random order, the last one among them, some of them padding."""
    slots = torch.randperm(cache.slots, generator=kv.rng)[: max(1, cache.slots // 2)].tolist()
    if cache.slots - 1 not in slots:
        slots[0] = cache.slots - 1
    if len(slots) > 3:
        slots[2] = -1
    return [int(s) for s in slots]


def _write(kv: KVWork, cache: LabelledCache, shape: KVShape, form: str = "plain") -> None:
    """Write new tokens into each of the first, a middle and the last layer."""
    dtype = cache.cache.dtype
    for layer in sorted({0, shape.layers // 2, shape.layers - 1}):
        slots = _slots(kv, cache)
        extents = (shape.heads, shape.head_dim)
        key = kv.rows(len(slots), extents, dtype, form)
        value = kv.rows(len(slots), extents, dtype, form) if len(cache.planes) == 2 else None
        kv.write(cache, layer, key, value, slots)


@case(level=2, needs=WRITE)
@pytest.mark.parametrize("layout", [*distinct_layouts(2), *distinct_layouts(1)])
def test_write_layout(kv: KVWork, layout: str) -> None:
    """Into every layout: only the written slots of one layer change."""
    shape = dataclasses.replace(SMALL, layers=3, planes=2 if layout in distinct_layouts(2) else 1)
    _write(kv, kv.make(layout, shape), shape)


@case(level=2, needs=WRITE)
@pytest.mark.parametrize("dtype", DTYPES, ids=_name)
def test_write_dtype(kv: KVWork, dtype: torch.dtype) -> None:
    """Random bytes of each dtype, NaNs included, arrive bit for bit."""
    for layout in ("vllm_nhd", "vllm_hnd"):
        _write(kv, kv.make(layout, SMALL, dtype), SMALL)


@case(level=2, needs=WRITE)
@pytest.mark.parametrize("shape", MODELS, ids=_name)
def test_write_model(kv: KVWork, shape: KVShape) -> None:
    """Into a real model's pages, a tensor for each layer."""
    layout = "vllm_nhd" if shape.planes == 2 else "vllm_mla"
    _write(kv, kv.make(layout, shape, separate=True), shape)


@case(level=2, needs=WRITE)
@pytest.mark.parametrize("shape", ODD_SHAPES, ids=_name)
def test_write_odd_shape(kv: KVWork, shape: KVShape) -> None:
    """One token, one element, block size 1, odd head sizes and head counts."""
    for layout in ("vllm_nhd", "vllm_hnd", "sglang_page_head"):
        _write(kv, kv.make(layout, shape), shape)


@case(level=2, needs=WRITE)
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("form", FORMS, ids=_name)
def test_write_strides(kv: KVWork, form: Form, rows: str) -> None:
    """Keys and values of any strides, into caches of any strides."""
    for layout in ("vllm_nhd", "sglang_page_head"):
        _write(kv, kv.make(layout, SMALL, form=form), SMALL, rows)


@case(level=2, needs=WRITE)
@pytest.mark.parametrize("layout", ["vllm_nhd", "vllm_hnd", "lmcache_object"])
def test_write_two_axes(kv: KVWork, layout: str) -> None:
    """Keys and values as ``[tokens, elements]``, one of them strided, into caches with heads."""
    cache = kv.make(layout, SMALL)
    slots = _slots(kv, cache)
    key = kv.rows(len(slots), (SMALL.hidden,), torch.bfloat16, "fused")
    value = kv.rows(len(slots), (SMALL.hidden,), torch.bfloat16)
    kv.write(cache, 1, key, value, slots)


@case(level=2, needs=WRITE)
@pytest.mark.parametrize(
    "slots",
    [[], [0], [LAST], [-1, -1, -1], [-1, 4, -(2**31), LAST], [5, 6, 7, 8], [9, 8, 7]],
    ids=["none", "first", "last", "all-padding", "padding", "run", "reversed"],
)
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=_name)
@pytest.mark.parametrize("on_device", [False, True], ids=["host", "device"])
def test_write_slots(kv: KVWork, slots: list[int], dtype: torch.dtype, on_device: bool) -> None:
    """Padding is skipped; no slots, no work."""
    cache = kv.make("vllm_nhd", SMALL)
    extents = (SMALL.heads, SMALL.head_dim)
    key, value = (kv.rows(len(slots), extents, torch.bfloat16) for _ in range(2))
    kv.write(cache, 1, key, value, slots, dtype=dtype, on_device=on_device)


@case(level=2, needs=WRITE)
@pytest.mark.parametrize("slots", [[], [7, LAST, -1, 2]], ids=["none", "some"])
def test_write_ignores_surplus_tokens(kv: KVWork, slots: list[int]) -> None:
    """A key longer than the slot mapping: the rest is not written anywhere."""
    cache = kv.make("vllm_nhd", SMALL)
    extents = (SMALL.heads, SMALL.head_dim)
    key, value = (kv.rows(len(slots) + 9, extents, torch.bfloat16) for _ in range(2))
    kv.write(cache, 0, key, value, slots)


@case(level=2, needs=WRITE)
@pytest.mark.parametrize("layout", ["vllm_mla", "sglang_mla", "| B L S D"])
@pytest.mark.parametrize("rope_axes", [2, 3])
def test_write_latent_and_rope(kv: KVWork, layout: str, rope_axes: int) -> None:
    """MLA: the latent and the rope part as key and value of one row of 576."""
    shape = KVShape("mla", 3, 3, 16, 1, 576, planes=1)
    cache = kv.make(layout, shape)
    slots = _slots(kv, cache)
    one = layout == "sglang_mla"  # its row has a head axis of one
    latent = kv.rows(len(slots), (1, 512) if one else (512,), torch.bfloat16)
    rope = kv.rows(len(slots), (64,) if rope_axes == 2 else (1, 64), torch.bfloat16)
    kv.write(cache, 1, latent, rope, slots)


@case(level=2, needs=WRITE)
def test_write_whole_mla_row(kv: KVWork) -> None:
    """MLA with one tensor and no value."""
    shape = KVShape("mla", 2, 3, 16, 1, 576, planes=1)
    cache = kv.make("vllm_mla", shape)
    slots = _slots(kv, cache)
    kv.write(cache, 1, kv.rows(len(slots), (576,), torch.bfloat16), None, slots)


@case(level=2, needs=WRITE)
@pytest.mark.parametrize("layout", ["L | B S H D", "L | B H S D"])
@pytest.mark.parametrize("widths", [(16, 16), (24, 8), (1, 31)], ids=str)
def test_write_packed_content(kv: KVWork, layout: str, widths: tuple[int, int]) -> None:
    """Packed content: K and V of a head side by side in one plane."""
    shape = dataclasses.replace(SMALL, head_dim=32, planes=1)
    cache = kv.make(layout, shape)
    slots = _slots(kv, cache)
    key, value = (kv.rows(len(slots), (shape.heads, w), torch.bfloat16) for w in widths)
    kv.write(cache, 1, key, value, slots)


@case(level=2, needs=WRITE)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.int8], ids=_name)
def test_write_paged_pair(kv: KVWork, dtype: torch.dtype) -> None:
    """vLLM's older pair: vectorised keys beside transposed values."""
    flat = dataclasses.replace(SMALL, head_dim=32, planes=1)
    pair = join(kv.make("vllm_paged_key", flat, dtype), kv.make("vllm_paged_value", flat, dtype))
    _write(kv, pair, flat)


@case(level=2, needs=WRITE)
def test_write_planes_of_different_widths(kv: KVWork) -> None:
    """Planes of 512 and 64, written as key and value."""
    parts = [dataclasses.replace(SMALL, heads=1, head_dim=d, planes=1) for d in (512, 64)]
    cache = join(*(kv.make("L | B S H D", p) for p in parts))
    slots = _slots(kv, cache)
    key, value = (kv.rows(len(slots), (1, d), torch.bfloat16) for d in (512, 64))
    kv.write(cache, 1, key, value, slots)


@case(level=2, needs=WRITE)
def test_write_from_the_cache_itself(kv: KVWork) -> None:
    """Keys that are a view of the same allocation, of slots that are not written."""
    cache = kv.make("vllm_nhd", SMALL)
    key, value = (cache.cache.view(0, plane)[1] for plane in range(2))
    before = [t.clone() for t in (key, value)]
    slots = [LAST, 0, 2, 9]
    kv.write(cache, 0, key, value, slots)
    for t, old in zip((key, value), before, strict=True):
        assert torch.equal(t.view(torch.int16), old.view(torch.int16))
