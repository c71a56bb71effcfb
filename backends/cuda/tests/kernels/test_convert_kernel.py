"""The conversion kernel on the CPU against the CPU reference: layouts, dtypes, scales, slots."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
import torch
from cuda_shim import arith_args as aa

import accel
from accel.kv import KVCache
from accel.kv.convert import conversion_scales, plan_convert
from accel.kv.quantized_write import plan_quantized_write

KINDS = {
    torch.float32: aa.F32, torch.float16: aa.F16, torch.bfloat16: aa.BF16,
    torch.float8_e4m3fn: aa.E4M3, torch.float8_e5m2: aa.E5M2, torch.int8: aa.I8,
}  # fmt: skip
E4M3, E5M2, BF16 = torch.float8_e4m3fn, torch.float8_e5m2, torch.bfloat16
SPECIAL = [float("inf"), -float("inf"), float("nan"), 0.0, -0.0, 3e38, 1e-45, 500.0, -6e4, 0.0019]


def cache(layout: str, dtype: torch.dtype, seed: int, blocks: int = 3) -> KVCache:
    made = KVCache.allocate(
        layout, layers=2, blocks=blocks, block_size=16, heads=4, head_dim=32, dtype=dtype
    )
    generator = torch.Generator().manual_seed(seed)
    for tensor in made.tensors:
        values = torch.randn(tensor.shape, generator=generator) * 3
        odd = torch.rand(tensor.shape, generator=generator) < 0.05
        pick = torch.randint(len(SPECIAL), tensor.shape, generator=generator)
        values[odd] = torch.tensor(SPECIAL)[pick[odd]]
        if dtype == torch.int8:
            values = torch.randint(-128, 128, tensor.shape, generator=generator)
        tensor.copy_(values.to(dtype))
    return made


def reference() -> Any:
    return accel.get_backend("cpu-reference").kv


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """With one NaN for all."""
    if tensor.is_floating_point():
        tensor = torch.where(tensor.isnan(), torch.full_like(tensor, float("nan")), tensor)
    return tensor.contiguous().view(torch.uint8)


def same(a: KVCache, b: KVCache) -> bool:
    return all(torch.equal(bits(x), bits(y)) for x, y in zip(a.tensors, b.tensors, strict=True))


def launch(shim: Any, args: aa.ConvertArgs, kinds: tuple[int, int], chunk: int, items: int,
           rows: int) -> None:  # fmt: skip
    vector = chunk * max(aa.SIZES[kinds[0]], aa.SIZES[kinds[1]])
    library = shim(
        "convert.cu", {"ACCEL_FROM": kinds[0], "ACCEL_TO": kinds[1], "ACCEL_VECTOR": vector}
    )
    tile = 128 * (4 if vector > 16 else 3)
    grid = (-(-args.units * items // tile), rows)
    library.launch("convert_elements", args, grid=grid, block=128)


def convert(shim: Any, src: KVCache, dst: KVCache, src_scale: Any, dst_scale: Any) -> None:
    ours, theirs = conversion_scales(src, dst, src_scale, dst_scale)
    plan = plan_convert(src, dst, ours, theirs)
    kinds = (KINDS[src.dtype], KINDS[dst.dtype])
    sizes = (aa.SIZES[kinds[0]], aa.SIZES[kinds[1]])
    addresses = list(zip(src.pointers, dst.pointers, strict=True))
    chunk = min(aa.widest_chunk(plane, sizes, addresses) for plane in plan.planes)
    args = aa.ConvertArgs()
    items = max(
        aa.fill_convert_plane(args.plane[i], plane, sizes, chunk)
        for i, plane in enumerate(plan.planes)
    )
    table = np.array(addresses, np.uint64)
    args.bases, args.bases_each = table.ctypes.data, len(plan.planes)
    args.planes, args.units, args.form = len(plan.planes), plan.units, aa.COUNTED
    for i in range(len(plan.planes)):
        args.plane[i].base = i
        for side, scales in (("src_scale", ours), ("dst_scale", theirs)):
            if scales is None:
                continue
            values, out = scales.values, getattr(args.plane[i], side)
            layer, plane, head = values.stride()
            out.data = values.data_ptr() + 4 * i * plane
            out.layer_step, out.head_step = layer, head if scales.per_head else 0
    launch(shim, args, kinds, chunk, items, src.layers * len(plan.planes))


@pytest.mark.parametrize(
    ("layouts", "dtypes"),
    [
        (("vllm_nhd", "vllm_hnd"), (BF16, E4M3)),
        (("vllm_hnd", "vllm_nhd"), (E4M3, BF16)),
        (("vllm_nhd", "sglang_page_head"), (torch.float16, torch.int8)),
        (("vllm_cross_layer", "vllm_nhd"), (torch.int8, E5M2)),
        (("vllm_nhd", "vllm_nhd"), (torch.float32, E5M2)),
        (("vllm_nhd", "vllm_nhd"), (E5M2, torch.float32)),
        (("vllm_nhd", "vllm_hnd"), (BF16, torch.float16)),
    ],
    ids=str,
)
def test_caches(shim, layouts, dtypes):
    src = cache(layouts[0], dtypes[0], 1)
    generator = torch.Generator().manual_seed(2)
    for form in ("none", "number", "heads"):
        scales = []
        for dtype in dtypes:
            coded = dtype in (E4M3, E5M2, torch.int8)
            heads = torch.exp2(torch.rand(2, 2, 4, generator=generator) * 8 - 6)
            scales.append({"none": None, "number": 0.37, "heads": heads}[form] if coded else None)
        got, want = cache(layouts[1], dtypes[1], 3), cache(layouts[1], dtypes[1], 3)
        convert(shim, src, got, *scales)
        reference().convert(src, want, src_scale=scales[0], dst_scale=scales[1])
        assert same(got, want), form


@pytest.mark.parametrize("scale", [2.0**-130, 1e38, 3.7e-3])
def test_scales_of_any_size(shim, scale):
    src = cache("vllm_nhd", BF16, 4)
    for dtype in (E4M3, torch.int8):
        got, want = cache("vllm_nhd", dtype, 3), cache("vllm_nhd", dtype, 3)
        convert(shim, src, got, None, torch.tensor(scale))
        reference().convert(src, want, dst_scale=scale)
        assert same(got, want)


class Fault(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint32) for n in ("state", "kind", "argument", "padding")] + [
        (n, ctypes.c_int64) for n in ("index", "limit", "position", "a", "b", "c")
    ]


@pytest.mark.parametrize("form", [aa.PAIRS, aa.SLOTS])
@pytest.mark.parametrize("count", [5, 40, 48])
@pytest.mark.parametrize("per_token", [False, True])
def test_tokens_written_as_codes(shim, form, count, per_token):
    generator = torch.Generator().manual_seed(count)
    key, value = (torch.randn(48, 4, 32, generator=generator).to(BF16) * 20 for _ in range(2))
    shape = (48, 4) if per_token else (4,)
    scales = [torch.rand(shape, generator=generator) + 0.01 for _ in range(2)]
    slots = torch.randperm(48, generator=generator)[:count]
    slots[::6] = -1
    got, want = cache("vllm_nhd", E4M3, 3), cache("vllm_nhd", E4M3, 3)
    made, known = plan_quantized_write(got, 1, key, value, *scales)
    sizes = (2, 1)
    args = aa.ConvertArgs()
    addresses = []
    for i, (source, (plane, offset)) in enumerate(zip((key, value), made.target, strict=True)):
        addresses.append((source.data_ptr(), got.pointers[2 + plane] + offset))
        args.base[2 * i : 2 * i + 2] = addresses[-1]
    chunk = min(aa.widest_chunk(plane, sizes, addresses) for plane in made.plan.planes)
    for i, plane in enumerate(made.plan.planes):
        items = aa.fill_convert_plane(args.plane[i], plane, sizes, chunk)
        args.plane[i].base = i
        values = known[i].values
        out = args.plane[i].dst_scale
        out.data, (out.unit_step, out.head_step) = values.data_ptr(), values.stride()
    args.planes = args.bases_each = 2
    args.form, args.slots = form, 48
    with shim("convert.cu").memory() as memory:
        record = memory.put(np.zeros(64, np.uint8))
        args.fault = record.ctypes.data
        if form == aa.PAIRS:
            pairs = [(i, int(s)) for i, s in enumerate(slots) if s >= 0]
            for i, pair in enumerate(pairs):
                args.here[i] = aa.ConvertPair(*pair)
            args.units = len(pairs)
        else:
            given = slots.clone()
            if count == 48:
                given[6] = 48  # out of range: reported, and left out
                slots[6] = -1
            wide = count == 5
            array = memory.put(given.numpy().astype(np.int64 if wide else np.int32))
            args.list, args.wide, args.slot_step, args.units = array.ctypes.data, wide, 1, count
        launch(shim, args, (aa.BF16, aa.E4M3), chunk, items, 2)
        fault = Fault.from_buffer_copy(record.tobytes())
    reference().write(want, 1, key, value, slots, key_scale=scales[0], value_scale=scales[1])
    assert same(got, want)
    if form == aa.SLOTS and count == 48:
        assert (fault.state, fault.kind, fault.argument) == (2, 1, 3)
        assert (fault.index, fault.limit, fault.position) == (48, 48, 6)
    else:
        assert fault.state == 0
