"""Writing new keys and values as fp8 or int8 codes: arithmetic, scales, places."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from accel import Backend, Capability
from accel_conformance.case import case
from accel_conformance.gates import Gates
from accel_conformance.kv_expected import Expectation
from accel_conformance.kv_inputs import FORMS, Form, LabelledCache, distinct_layouts, join
from accel_conformance.kv_numbers import CODES, VALUES, number_values
from accel_conformance.kv_quantized import expect_codes, heads_of, rows_of, write_codes
from accel_conformance.kv_shapes import MODELS, ODD_SHAPES, SMALL, KVShape
from accel_conformance.kv_work import KVWork, kv_work

kv = kv_work

QUANTIZED = [Capability.KV_WRITE_QUANTIZED]
E4M3 = torch.float8_e4m3fn
LAST = SMALL.slots - 1
#: Powers of two, which keep ties ties; ordinary scales; and the ends of float32.
SCALES = (1.0, 0.25, 0.37, 0.0117, 2.0**-100, 3e35, 2.0**-140)


def _name(value: object) -> str:
    return str(getattr(value, "name", value)).removeprefix("torch.")


def _scale(kv: KVWork, shape: tuple[int, ...] = ()) -> torch.Tensor:
    """Scales from 2^-6 to 2^2 on the device, every one another."""
    exponent = torch.rand(shape, generator=kv.rng) * 8 - 6
    return torch.exp2(exponent).to(kv.backend.device)


def _slots(kv: KVWork, cache: LabelledCache) -> list[int]:
    """About half of the slots in random order, the last one among them, some of them padding."""
    slots = torch.randperm(cache.slots, generator=kv.rng)[: max(1, cache.slots // 2)].tolist()
    if cache.slots - 1 not in slots:
        slots[0] = cache.slots - 1
    if len(slots) > 3:
        slots[2] = -1
    return [int(s) for s in slots]


def _write(kv: KVWork, cache: LabelledCache, shape: KVShape, form: str = "plain") -> None:
    """New tokens into the first and the last layer, with scales of their own for K and V: by token
    and head in one layer, by head in the other."""
    for layer in sorted({0, shape.layers - 1}):
        slots = _slots(kv, cache)
        extents, n = (shape.heads, shape.head_dim), len(slots)
        key = rows_of(kv, n, extents, torch.bfloat16, form)
        heads = heads_of(cache)
        scales: list[Any] = [_scale(kv, (n, heads) if layer == 0 else (heads,))]
        value = None
        if len(cache.planes) == 2:
            value = rows_of(kv, n, extents, torch.bfloat16, form)
            scales.append(_scale(kv, (heads,) if layer == 0 else (n, 1)))
        write_codes(kv, cache, layer, key, value, slots, *scales)


def _into_rows(kv: KVWork, x: torch.Tensor, dtype: torch.dtype, scale: float) -> None:
    """Write ``x [tokens, 8, 128]`` and its negative with one scale."""
    cache = kv.make("vllm_nhd", KVShape("patterns", 1, -(-len(x) // 16), 16, 8, 128), dtype)
    key = x.to(kv.backend.device)
    write_codes(kv, cache, 0, key, -key, list(range(len(x))), scale, scale)


@case(level=2, needs=QUANTIZED)
@pytest.mark.parametrize("dtype", CODES, ids=_name)
@pytest.mark.parametrize("source", [torch.float16, torch.bfloat16], ids=_name)
@pytest.mark.parametrize("scale", SCALES)
def test_quantized_every_pattern(
    kv: KVWork, source: torch.dtype, dtype: torch.dtype, scale: float
) -> None:
    """All 65536 values of a 16-bit dtype: NaN, infinities, subnormals and both zeros among them."""
    bits = torch.arange(-(2**15), 2**15).to(torch.int16)
    _into_rows(kv, bits.view(source).view(64, 8, 128), dtype, scale)


@case(level=2, needs=QUANTIZED)
@pytest.mark.parametrize("dtype", CODES, ids=_name)
@pytest.mark.parametrize("scale", [1.0, 2.0**-20, 2.0**100, 0.3, 49.0])
def test_quantized_ties(kv: KVWork, dtype: torch.dtype, scale: float) -> None:
    """float32 at every value a code can have, halfway between two, and just beside both.

    49 times its reciprocal in float32 is not 1: nothing but a division keeps the ties there.
    """
    codes = number_values(torch.arange(256, dtype=torch.uint8), dtype)
    codes = torch.unique(codes[codes.isfinite()])
    edges = torch.cat([codes, (codes[1:] + codes[:-1]) / 2, codes[[0, -1]] * 1.5]) * scale
    exact = edges.float()
    beside = [torch.nextafter(exact, torch.tensor(to)) for to in (torch.inf, -torch.inf)]
    special = torch.tensor([0.0, -0.0, torch.nan, torch.inf, -torch.inf, 1e-45, 3e38])
    x = torch.cat([exact, *beside, special])
    rows = torch.zeros(-(-len(x) // 1024) * 1024)
    rows[: len(x)] = x
    _into_rows(kv, rows.view(-1, 8, 128), dtype, scale)


@case(level=2, needs=QUANTIZED)
@pytest.mark.parametrize("dtype", CODES, ids=_name)
def test_quantized_random_bits(kv: KVWork, dtype: torch.dtype) -> None:
    """Random float32 bit patterns, over scales that nearly leave float32."""
    for scale in SCALES:
        x = kv.rows(8, (8, 128), torch.float32).cpu()
        _into_rows(kv, x, dtype, scale)


@case(level=2, needs=QUANTIZED)
@pytest.mark.parametrize("source", VALUES, ids=_name)
@pytest.mark.parametrize("dtype", CODES, ids=_name)
def test_quantized_dtypes(kv: KVWork, source: torch.dtype, dtype: torch.dtype) -> None:
    """Every source into every code, in two layouts; keys and values of different dtypes too."""
    extents, n = (SMALL.heads, SMALL.head_dim), 7
    for layout in ("vllm_nhd", "vllm_hnd"):
        cache = kv.make(layout, SMALL, dtype)
        key = rows_of(kv, n, extents, source)
        value = rows_of(kv, n, extents, VALUES[0] if layout == "vllm_nhd" else source)
        slots = [3, LAST, -1, 0, 9, 8, 1]
        write_codes(kv, cache, 1, key, value, slots, 0.5, _scale(kv, (SMALL.heads,)))


#: Name -> the scale for so many tokens and heads.
KINDS: dict[str, Any] = {
    "number": lambda kv, n, h: 0.125,
    "integer": lambda kv, n, h: 2,
    "no-axis": lambda kv, n, h: _scale(kv),
    "one": lambda kv, n, h: _scale(kv, (1,)),
    "head": lambda kv, n, h: _scale(kv, (h,)),
    "token": lambda kv, n, h: _scale(kv, (n, 1)),
    "token-and-head": lambda kv, n, h: _scale(kv, (n, h)),
    "head-strided": lambda kv, n, h: _scale(kv, (h, 3))[:, 1],
    "token-strided": lambda kv, n, h: _scale(kv, (n, 4))[:, 2:3],
    "token-and-head-transposed": lambda kv, n, h: _scale(kv, (h, n)).T,
    "token-expanded": lambda kv, n, h: _scale(kv, (1, h)).expand(n, h),
}


@case(level=2, needs=QUANTIZED)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", ["vllm_nhd", "vllm_hnd", "lmcache_object"])
def test_quantized_scales(kv: KVWork, layout: str, kind: str) -> None:
    """A scale for all, by head, by token and by both, of any strides, one for K and one for V."""
    cache = kv.make(layout, SMALL, E4M3)
    extents, n, heads = (SMALL.heads, SMALL.head_dim), 9, heads_of(cache)
    key, value = (rows_of(kv, n, extents, torch.float16) for _ in range(2))
    slots = [4, 0, -1, LAST, 7, 6, 11, 1, 13]
    scale, other = KINDS[kind](kv, n, heads), _scale(kv, (heads,))
    write_codes(kv, cache, 0, key, value, slots, scale, other)
    write_codes(kv, cache, 1, key, value, slots, other, scale)


@case(level=2, needs=QUANTIZED)
@pytest.mark.parametrize("layout", [*distinct_layouts(2), *distinct_layouts(1)])
def test_quantized_layout(kv: KVWork, layout: str) -> None:
    """Into every layout, with scales by head: only the written slots of one layer change."""
    shape = dataclasses.replace(SMALL, layers=3, planes=2 if layout in distinct_layouts(2) else 1)
    _write(kv, kv.make(layout, shape, E4M3), shape)


@case(level=2, needs=QUANTIZED)
@pytest.mark.parametrize("shape", MODELS, ids=_name)
def test_quantized_model(kv: KVWork, shape: KVShape) -> None:
    """Into a real model's pages, a tensor for each layer."""
    layout = "vllm_nhd" if shape.planes == 2 else "vllm_mla"
    _write(kv, kv.make(layout, shape, E4M3, separate=True), shape)


@case(level=2, needs=QUANTIZED)
@pytest.mark.parametrize("shape", ODD_SHAPES, ids=_name)
def test_quantized_odd_shape(kv: KVWork, shape: KVShape) -> None:
    """One token, one element, block size 1, odd head sizes and head counts."""
    for layout in ("vllm_nhd", "vllm_hnd", "sglang_page_head"):
        _write(kv, kv.make(layout, shape, torch.int8), shape)


@case(level=2, needs=QUANTIZED)
@pytest.mark.parametrize(
    "rows", ["plain", "fused", "heads-first", "stepped", "offset", "broadcast"]
)
@pytest.mark.parametrize("form", FORMS, ids=_name)
def test_quantized_strides(kv: KVWork, form: Form, rows: str) -> None:
    """Keys and values of any strides, into caches of any strides."""
    for layout in ("vllm_nhd", "sglang_page_head"):
        _write(kv, kv.make(layout, SMALL, E4M3, form=form), SMALL, rows)


@case(level=2, needs=QUANTIZED)
@pytest.mark.parametrize("width", [512, 544, 1536])
def test_quantized_wide_rows(kv: KVWork, width: int) -> None:
    """Rows longer than any vector loop, contiguous and not, on either side."""
    shape = KVShape("wide", 1, 3, 4, 1, width)
    for layout in ("vllm_nhd", "L | K B H D S"):
        cache = kv.make(layout, shape, E4M3)
        for form in ("plain", "stepped"):
            key, value = (rows_of(kv, 5, (1, width), torch.bfloat16, form) for _ in range(2))
            write_codes(kv, cache, 0, key, value, [3, 1, 11, 0, 7], _scale(kv, (5, 1)), 0.5)


@case(level=2, needs=QUANTIZED)
def test_quantized_two_axes(kv: KVWork) -> None:
    """Keys and values as ``[tokens, elements]`` into caches with heads, scales by head."""
    for layout in ("vllm_nhd", "vllm_hnd"):
        cache = kv.make(layout, SMALL, E4M3)
        key, value = (
            rows_of(kv, 5, (SMALL.hidden,), torch.bfloat16, f) for f in ("fused", "plain")
        )
        scales = [_scale(kv, (SMALL.heads,)) for _ in range(2)]
        write_codes(kv, cache, 1, key, value, [8, 0, LAST, -1, 5], *scales)


@case(level=2, needs=QUANTIZED)
@pytest.mark.parametrize(
    "slots",
    [[], [0], [LAST], [-1, -1, -1], [-1, 4, -(2**31), LAST], [5, 6, 7, 8], [9, 8, 7]],
    ids=["none", "first", "last", "all-padding", "padding", "run", "reversed"],
)
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=_name)
@pytest.mark.parametrize("on_device", [False, True], ids=["host", "device"])
def test_quantized_slots(kv: KVWork, slots: list[int], dtype: torch.dtype, on_device: bool) -> None:
    """Padding is skipped; no slots, no work. Scales belong to rows, not to slots."""
    cache, n = kv.make("vllm_nhd", SMALL, E4M3), len(slots)
    key, value = (rows_of(kv, n, (SMALL.heads, SMALL.head_dim), torch.bfloat16) for _ in range(2))
    scales = _scale(kv, (n, 1)), _scale(kv, (n, SMALL.heads))
    write_codes(kv, cache, 1, key, value, slots, *scales, dtype=dtype, on_device=on_device)


@case(level=2, needs=QUANTIZED)
@pytest.mark.parametrize("slots", [[], [7, LAST, -1, 2]], ids=["none", "some"])
def test_quantized_ignores_surplus_tokens(kv: KVWork, slots: list[int]) -> None:
    """A key longer than the slot mapping: the rest is not written, nor are its scales looked at."""
    cache, n = kv.make("vllm_nhd", SMALL, E4M3), len(slots) + 9
    key, value = (rows_of(kv, n, (SMALL.heads, SMALL.head_dim), torch.bfloat16) for _ in range(2))
    scale = _scale(kv, (n, 1))
    scale[len(slots) :] = torch.nan
    write_codes(kv, cache, 0, key, value, slots, scale, 1.0)


@case(level=2, needs=QUANTIZED)
def test_quantized_scales_of_padding(kv: KVWork) -> None:
    """The scales of skipped tokens are not looked at, and no others take their place."""
    cache = kv.make("vllm_nhd", SMALL, E4M3)
    key, value = (rows_of(kv, 5, (SMALL.heads, SMALL.head_dim), torch.bfloat16) for _ in range(2))
    scales = [_scale(kv, (5, 1)), _scale(kv, (5, SMALL.heads))]
    for scale, bad in zip(scales, (torch.nan, 0.0), strict=True):
        scale[[1, 3]] = bad
    write_codes(kv, cache, 0, key, value, [9, -1, 0, -7, LAST], *scales)


@case(level=2, needs=QUANTIZED)
@pytest.mark.parametrize("layout", ["vllm_mla", "sglang_mla", "| B L S D"])
@pytest.mark.parametrize("rope_axes", [2, 3])
def test_quantized_latent_and_rope(kv: KVWork, layout: str, rope_axes: int) -> None:
    """MLA: the latent and the rope part of one row of 576, each with its scale."""
    cache = kv.make(layout, KVShape("mla", 3, 3, 16, 1, 576, planes=1), E4M3)
    slots = _slots(kv, cache)
    n, one = len(slots), layout == "sglang_mla"  # its row has a head axis of one
    latent = rows_of(kv, n, (1, 512) if one else (512,), torch.bfloat16)
    rope = rows_of(kv, n, (64,) if rope_axes == 2 else (1, 64), torch.bfloat16)
    write_codes(kv, cache, 1, latent, rope, slots, _scale(kv, (n, 1)), 0.03)


@case(level=2, needs=QUANTIZED)
def test_quantized_whole_mla_row(kv: KVWork) -> None:
    """MLA with one tensor, no value and no scale for it."""
    cache = kv.make("vllm_mla", KVShape("mla", 2, 3, 16, 1, 576, planes=1), E4M3)
    slots = _slots(kv, cache)
    key = rows_of(kv, len(slots), (576,), torch.bfloat16)
    for scale in (0.5, _scale(kv, (1,)), _scale(kv, (len(slots), 1))):
        write_codes(kv, cache, 0, key, None, slots, scale)


@case(level=2, needs=QUANTIZED)
@pytest.mark.parametrize("layout", ["L | B S H D", "L | B H S D"])
@pytest.mark.parametrize("widths", [(16, 16), (24, 8), (1, 31)], ids=str)
def test_quantized_packed_content(kv: KVWork, layout: str, widths: tuple[int, int]) -> None:
    """Packed content: K and V of a head side by side in one plane, scales by head."""
    shape = dataclasses.replace(SMALL, head_dim=32, planes=1)
    cache = kv.make(layout, shape, E4M3)
    slots = _slots(kv, cache)
    key, value = (rows_of(kv, len(slots), (shape.heads, w), torch.bfloat16) for w in widths)
    scales = _scale(kv, (shape.heads,)), _scale(kv, (len(slots), shape.heads))
    write_codes(kv, cache, 1, key, value, slots, *scales)


@case(level=2, needs=QUANTIZED)
@pytest.mark.parametrize("dtype", CODES, ids=_name)
def test_quantized_paged_pair(kv: KVWork, dtype: torch.dtype) -> None:
    """vLLM's older pair: vectorised keys beside transposed values."""
    flat = dataclasses.replace(SMALL, head_dim=32, planes=1)
    _write(kv, join(*(kv.make(f"vllm_paged_{p}", flat, dtype) for p in ("key", "value"))), flat)


@case(level=2, needs=QUANTIZED)
def test_quantized_planes_that_differ(kv: KVWork) -> None:
    """Planes of other head counts, widths and codes, each with scales by its own heads."""
    shapes = [
        dataclasses.replace(SMALL, heads=h, head_dim=d, planes=1) for h, d in ((2, 40), (5, 8))
    ]
    dtypes = (torch.int8, torch.float8_e5m2)
    cache = join(*(kv.make("L | B S H D", s, t) for s, t in zip(shapes, dtypes, strict=True)))
    key, value = (rows_of(kv, 6, (s.heads, s.head_dim), torch.bfloat16) for s in shapes)
    scales = [_scale(kv, (s.heads,)) for s in shapes]
    write_codes(kv, cache, 1, key, value, [1, 7, -1, LAST, 0, 12], *scales)


@case(level=2, needs=QUANTIZED)
def test_quantized_many_tokens(kv: KVWork) -> None:
    """More tokens than one thread takes, scattered."""
    shape = KVShape("many", 1, 160, 16, 4, 64)
    for layout in ("vllm_nhd", "vllm_hnd"):
        cache = kv.make(layout, shape, E4M3)
        slots = torch.randperm(cache.slots, generator=kv.rng)[:1200].tolist()
        key, value = (rows_of(kv, 1200, (4, 64), torch.bfloat16) for _ in range(2))
        write_codes(kv, cache, 0, key, value, slots, _scale(kv, (1200, 4)), _scale(kv, (4,)))


@case(level=2, needs=QUANTIZED)
def test_quantized_from_the_same_allocation(kv: KVWork) -> None:
    """Keys that lie between the blocks of the cache they are written to."""
    cache = kv.make("vllm_nhd", SMALL, E4M3, form=Form("gaps", block_gap=256))
    raw = cache.arenas[0].raw
    tensor = cache.cache.tensors[0]
    start = tensor.data_ptr() - raw.data_ptr() + SMALL.block_size * SMALL.hidden
    start += -(raw.data_ptr() + start) % 2
    rows = raw[start : start + 4 * SMALL.hidden * 2].view(torch.bfloat16)
    key = rows.view(4, SMALL.heads, SMALL.head_dim)
    expected = Expectation(cache)
    slots = [LAST, 0, 2, 9]
    expect_codes(expected, cache, 1, key, key, slots, 0.5, 2.0)
    kv.backend.kv.write(cache.cache, 1, key, key, kv.indices(slots), key_scale=0.5, value_scale=2.0)
    kv.settle()
    expected.check()


@case(level=2, needs=[*QUANTIZED, Capability.STREAMS])
@pytest.mark.parametrize("kind", ["no-axis", "head", "token"])
def test_quantized_scales_are_read_at_the_call(
    kv: KVWork, backend: Backend, gate: Gates, kind: str
) -> None:
    """Scales and slots in host memory may be overwritten as soon as the call has returned."""
    cache = kv.make("vllm_nhd", SMALL, E4M3)
    if backend.device.type != "cpu":
        pytest.skip("scales of a device are read in stream order")
    key, value = (rows_of(kv, 6, (SMALL.heads, SMALL.head_dim), torch.bfloat16) for _ in range(2))
    scales = [KINDS[kind](kv, 6, SMALL.heads) for _ in range(2)]
    slots = [3, 0, LAST, -1, 9, 5]
    expected = Expectation(cache)
    expect_codes(expected, cache, 1, key, value, slots, *scales)
    stream = backend.streams.create()
    mapping = kv.indices(slots)
    with gate(stream):
        kv.backend.kv.write(
            cache.cache, 1, key, value, mapping,
            key_scale=scales[0], value_scale=scales[1], stream=stream,
        )  # fmt: skip
        mapping.fill_(1)
        for scale in scales:
            scale.fill_(torch.nan)
    stream.synchronize()
    expected.check()


@case(level=2, needs=[*QUANTIZED, Capability.STREAMS, Capability.COPY])
def test_quantized_between_two_copies(kv: KVWork, backend: Backend, gate: Gates) -> None:
    """Behind a copy that fills its input, and ahead of one that spoils it; inputs stay alive."""
    cache = kv.make("vllm_hnd", SMALL, E4M3)
    extents, slots = (SMALL.heads, SMALL.head_dim), [3, 0, LAST, -1, 9, 5]
    final = [rows_of(kv, 6, extents, torch.bfloat16) for _ in range(2)]
    spoilt = [rows_of(kv, 6, extents, torch.bfloat16) for _ in range(2)]
    inputs = [t.clone() for t in spoilt]
    expected = Expectation(cache)
    expect_codes(expected, cache, 0, final[0], final[1], slots, 0.5, 0.25)
    kv.settle()
    stream = backend.streams.create()
    with gate(stream):
        for t, data in zip(inputs, final, strict=True):
            backend.memcpy.copy_async(t, data, stream)
        kv.backend.kv.write(
            cache.cache, 0, inputs[0], inputs[1], kv.indices(slots),
            key_scale=0.5, value_scale=0.25, stream=stream,
        )  # fmt: skip
        for t, data in zip(inputs, spoilt, strict=True):
            backend.memcpy.copy_async(t, data, stream)
        del inputs, t
    stream.synchronize()
    expected.check()
