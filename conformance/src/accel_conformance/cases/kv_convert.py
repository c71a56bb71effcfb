"""Converting whole caches: every pair of dtypes, layouts, scales, and the order of the work."""

from __future__ import annotations

import dataclasses
import gc
from typing import Any

import pytest
import torch

from accel import Backend, Capability
from accel_conformance.case import case
from accel_conformance.gates import Gates
from accel_conformance.kv_expected import Expectation
from accel_conformance.kv_inputs import FORMS, Form, LabelledCache, distinct_layouts, join
from accel_conformance.kv_numbers import CODES, DTYPES, number_bits
from accel_conformance.kv_quantized import accept_nans, convert, expect_convert, heads_of
from accel_conformance.kv_shapes import MODELS, ODD_SHAPES, SMALL, KVShape
from accel_conformance.kv_work import KVWork, kv_work

kv = kv_work

CONVERT = [Capability.KV_CONVERT]
E4M3, BF16 = torch.float8_e4m3fn, torch.bfloat16
#: 65536 elements in each plane.
PATTERNS = KVShape("patterns", 1, 4, 16, 8, 128)


def _name(value: object) -> str:
    return str(getattr(value, "name", value)).removeprefix("torch.")


def _scale(kv: KVWork, *shape: int) -> torch.Tensor:
    """Scales from 2^-6 to 2^2 on the device, every one another."""
    exponent = torch.rand(shape, generator=kv.rng) * 8 - 6
    return torch.exp2(exponent).to(kv.backend.device)


def _by_head(kv: KVWork, cache: LabelledCache) -> torch.Tensor | None:
    """A scale for every layer, plane and head of a cache of codes."""
    if cache.cache.dtype not in CODES:
        return None
    return _scale(kv, cache.cache.layers, len(cache.planes), heads_of(cache))


def _fill(kv: KVWork, cache: LabelledCache) -> None:
    """Numbers of usual size in three of four elements; what is there stays in the others."""
    for plane in cache.planes:
        dtype = cache.cache.dtype
        for layer, arena in enumerate(plane.arena):
            index = plane.index[layer].flatten()
            usual = number_bits((torch.randn(len(index), generator=kv.rng) * 3).double(), dtype)
            keep = torch.rand(len(index), generator=kv.rng) < 0.25
            image = arena.image()
            flat = image.view(usual.dtype)
            flat[index] = torch.where(keep, flat[index], usual)
            arena.raw.copy_(image)


def _pair(
    kv: KVWork, shape: KVShape, layouts: tuple[str, str], dtypes: tuple[Any, Any], **how: Any
) -> tuple[LabelledCache, LabelledCache]:
    src, dst = (
        kv.make(layout, shape, dtype, **how) for layout, dtype in zip(layouts, dtypes, strict=True)
    )
    _fill(kv, src)
    return src, dst


@case(level=2, needs=CONVERT)
@pytest.mark.parametrize("dst_dtype", DTYPES, ids=_name)
@pytest.mark.parametrize("src_dtype", DTYPES, ids=_name)
def test_convert_dtypes(kv: KVWork, src_dtype: torch.dtype, dst_dtype: torch.dtype) -> None:
    """Every dtype to every dtype: all patterns of 8 and 16 bits, random ones of 32."""
    src, dst = _pair(kv, PATTERNS, ("vllm_nhd", "vllm_nhd"), (src_dtype, dst_dtype))
    if src_dtype.itemsize < 4:
        bits = torch.arange(2**16).to(torch.int16)
        if src_dtype.itemsize == 1:
            bits = bits.to(torch.uint8)
        src.cache.tensors[0][0].view(bits.dtype).copy_(bits.view(4, 16, 8, 128))
    quantised = [d in CODES for d in (src_dtype, dst_dtype)]
    for scales in ((None, None), (0.37, 3.7e-3), (2.0**-130, 2.0**-130), (1e38, 1e38)):
        ours, theirs = (s if q else None for s, q in zip(scales, quantised, strict=True))
        convert(kv, src, dst, ours, theirs)


@case(level=2, needs=CONVERT)
@pytest.mark.parametrize("dtypes", [(BF16, E4M3), (torch.int8, torch.float16)], ids=str)
@pytest.mark.parametrize("planes", [1, 2])
def test_convert_layouts(kv: KVWork, planes: int, dtypes: tuple[Any, Any]) -> None:
    """From every layout to another, with scales by layer, plane and head."""
    shape = dataclasses.replace(SMALL, layers=3, planes=planes)
    layouts = list(distinct_layouts(planes))
    for a, b in zip(layouts, layouts[1:] + layouts[:1], strict=True):
        src, dst = _pair(kv, shape, (a, b), dtypes)
        convert(kv, src, dst, _by_head(kv, src), _by_head(kv, dst))


@case(level=2, needs=CONVERT)
@pytest.mark.parametrize("form", FORMS, ids=_name)
def test_convert_strides(kv: KVWork, form: Form) -> None:
    """Caches of any strides; what lies between is left alone."""
    for layouts in (("vllm_nhd", "vllm_hnd"), ("sglang_page_head", "vllm_nhd")):
        for dtypes in ((BF16, E4M3), (E4M3, torch.float32)):
            src, dst = _pair(kv, SMALL, layouts, dtypes, form=form)
            convert(kv, src, dst, _by_head(kv, src), _by_head(kv, dst))


#: Name -> the scale for so many layers, planes and heads.
KINDS: dict[str, Any] = {
    "none": lambda kv, la, p, h: None,
    "number": lambda kv, la, p, h: 0.3,
    "integer": lambda kv, la, p, h: 2,
    "no-axis": lambda kv, la, p, h: _scale(kv),
    "plane": lambda kv, la, p, h: _scale(kv, p),
    "head": lambda kv, la, p, h: _scale(kv, p, h),
    "layer": lambda kv, la, p, h: _scale(kv, la, p, h),
    "layer-permuted": lambda kv, la, p, h: _scale(kv, h, p, la).permute(2, 1, 0),
}


@case(level=2, needs=CONVERT)
@pytest.mark.parametrize("theirs", KINDS)
@pytest.mark.parametrize("ours", KINDS)
def test_convert_scales(kv: KVWork, ours: str, theirs: str) -> None:
    """From codes to codes with scales of every shape on either side."""
    shape = dataclasses.replace(SMALL, layers=3)
    src, dst = _pair(kv, shape, ("vllm_nhd", "vllm_hnd"), (E4M3, torch.int8))
    sizes = (3, 2, SMALL.heads)
    convert(kv, src, dst, KINDS[ours](kv, *sizes), KINDS[theirs](kv, *sizes))


@case(level=2, needs=CONVERT)
@pytest.mark.parametrize("shape", [*ODD_SHAPES, *MODELS], ids=_name)
def test_convert_shape(kv: KVWork, shape: KVShape) -> None:
    """One token, one element, odd head sizes and counts, and real models, there and back."""
    layouts = ("vllm_mla", "sglang_mla") if shape.planes == 1 else ("vllm_nhd", "vllm_hnd")
    few = dataclasses.replace(shape, layers=min(shape.layers, 8))
    values, codes = _pair(kv, few, layouts, (BF16, E4M3), separate=True)
    scale = _by_head(kv, codes)
    convert(kv, values, codes, None, scale)
    convert(kv, codes, values, scale, None)


@case(level=2, needs=CONVERT)
@pytest.mark.parametrize(
    ("theirs", "layout"),
    [(16, "vllm_nhd"), (6, "vllm_hnd"), (1, "vllm_nhd"), (48, "vllm_hnd"), (4, "contiguous")],
)
@pytest.mark.parametrize("own", ["vllm_nhd", "vllm_hnd", "lmcache_object"])
def test_convert_block_sizes(kv: KVWork, own: str, theirs: int, layout: str) -> None:
    """Blocks of 8 tokens to blocks of any other size, as long as the slots are as many."""
    shape = KVShape("blocks", 2, 6, 8, 3, 8)
    other = dataclasses.replace(shape, blocks=48 // theirs, block_size=theirs)
    for a, b in (((own, shape), (layout, other)), ((layout, other), (own, shape))):
        src, dst = kv.make(*a, BF16), kv.make(*b, E4M3)
        _fill(kv, src)
        convert(kv, src, dst, None, _by_head(kv, dst))


@case(level=2, needs=CONVERT)
def test_convert_empty(kv: KVWork) -> None:
    """Caches without a block: nothing to do."""
    shape = dataclasses.replace(SMALL, blocks=0)
    convert(kv, kv.make("vllm_nhd", shape, BF16), kv.make("vllm_hnd", shape, E4M3), None, 0.5)


@case(level=2, needs=CONVERT)
def test_convert_planes_that_differ(kv: KVWork) -> None:
    """Planes of other widths and dtypes, joined; scales by plane."""
    narrow, wide = (dataclasses.replace(SMALL, heads=1, head_dim=d, planes=1) for d in (16, 600))
    src = join(kv.make("L | B S H D", narrow, BF16), kv.make("L | B S H D", wide, torch.float32))
    dst = join(kv.make("L | B H D S", narrow, E4M3), kv.make("L | B S D", wide, torch.int8))
    convert(kv, src, dst, None, _scale(kv, 2))


@case(level=2, needs=CONVERT)
@pytest.mark.parametrize("back", [False, True], ids=["pack", "unpack"])
def test_convert_paged_pair(kv: KVWork, back: bool) -> None:
    """vLLM's older pair, whose keys are cut at other places in every dtype."""
    flat = dataclasses.replace(SMALL, head_dim=32, planes=1)
    caches = [
        join(kv.make("vllm_paged_key", flat, d), kv.make("vllm_paged_value", flat, d))
        for d in (torch.float32, E4M3)
    ]
    scale = _scale(kv, 2, 2, 3)
    if back:
        convert(kv, caches[1], caches[0], scale, None)
    else:
        convert(kv, caches[0], caches[1], None, scale)


@case(level=2, needs=CONVERT)
def test_convert_neighbours(kv: KVWork) -> None:
    """Layers of one allocation into other layers of it: none of their bytes is common."""
    whole = kv.make("vllm_cross_layer", dataclasses.replace(SMALL, layers=4), torch.int8)
    src, dst = whole.select_layers([0, 2]), whole.select_layers([3, 1])
    convert(kv, src, dst, 0.5, _scale(kv, 2, 3))


@case(level=2, needs=CONVERT)
def test_convert_large(kv: KVWork) -> None:
    """More than one thread takes; whole planes contiguous, and none."""
    shape = KVShape("large", 2, 32, 16, 4, 64)
    for layouts in (("contiguous", "contiguous"), ("vllm_nhd", "vllm_hnd")):
        src, dst = _pair(kv, shape, layouts, (BF16, E4M3))
        convert(kv, src, dst, None, _by_head(kv, dst))


@case(level=2, needs=[*CONVERT, Capability.STREAMS, Capability.COPY])
def test_convert_in_stream_order(kv: KVWork, backend: Backend, gate: Gates) -> None:
    """Behind a copy that fills its input, ahead of one that spoils it; scales as they were then."""
    src, dst = _pair(kv, SMALL, ("vllm_nhd", "vllm_hnd"), (BF16, E4M3))
    raw = src.arenas[0].raw
    final, first = raw.clone(), torch.flip(raw, [0])
    expected, scale = Expectation(src, dst), _scale(kv, 2)
    expect_convert(expected, src, dst, None, scale)
    raw.copy_(first)
    kv.settle()
    on_host = scale.device.type == "cpu"
    stream = backend.streams.create()
    with gate(stream):
        backend.memcpy.copy_async(raw, final, stream)
        backend.kv.convert(src.cache, dst.cache, dst_scale=scale, stream=stream)
        backend.memcpy.copy_async(raw, first, stream)
        if on_host:
            scale.fill_(torch.nan)
    stream.synchronize()
    expected = expected.of(dst)
    accept_nans(expected, dst)
    expected.check()


@case(level=2, needs=[*CONVERT, Capability.STREAMS])
def test_convert_keeps_its_caches(kv: KVWork, backend: Backend, gate: Gates) -> None:
    """A source dropped while the work is queued is not reused before it ran."""
    src, dst = _pair(kv, SMALL, ("vllm_nhd", "vllm_hnd"), (BF16, E4M3))
    expected = Expectation(src, dst)
    expect_convert(expected, src, dst, None, 0.5)
    expected = expected.of(dst)
    size = src.arenas[0].raw.numel()
    kv.settle()
    stream = backend.streams.create()
    with gate(stream):
        backend.kv.convert(src.cache, dst.cache, dst_scale=0.5, stream=stream)
        del src
        gc.collect()
        scribble = [
            torch.full((size,), 1, dtype=torch.uint8, device=backend.device) for _ in range(4)
        ]
    stream.synchronize()
    expected.check()
    del scribble
