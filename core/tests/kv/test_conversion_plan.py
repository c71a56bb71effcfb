"""Conversion plans: every element once, between the addresses torch gives, with the right head."""

from __future__ import annotations

import itertools
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import accel
from accel import DTypeError, LayoutError, SizeError
from accel.kv import PRESETS, KVCache
from accel.kv.conversion import ConversionPlan, ElementPlane, plan_conversion
from accel.kv.plan import Paging
from accel.kv.quantized_write import plan_quantized_write

LAYOUTS = sorted({axes for axes in PRESETS.values() if "K" in axes})
SIZES = {"layers": 2, "blocks": 4, "block_size": 4, "heads": 2, "head_dim": 8}


def start_of(paging: Paging, unit: int) -> int:
    """accel_kv_unit_offset."""
    return (
        unit // paging.block_size * paging.block_stride
        + unit % paging.block_size * paging.slot_stride
    )


def elements_of(plane: ElementPlane, unit: int) -> dict[int, tuple[int, int, int]]:
    """{destination offset: (source offset, source head, destination head)}, in elements."""
    out = {}
    for index in itertools.product(*(range(d[0]) for d in plane.dims)):
        at = [sum(i * d[k] for i, d in zip(index, plane.dims, strict=True)) for k in (1, 2, 3, 4)]
        for i in range(plane.run):
            to = start_of(plane.dst, unit) + at[1] + i
            assert to not in out
            out[to] = (start_of(plane.src, unit) + at[0] + i, at[2], at[3])
    return out


def offsets(view: torch.Tensor, token: int) -> list[int]:
    """Elements of a token in (head, head dim) order, counted from the view's first."""
    block, slot = divmod(token, view.shape[1])
    out = torch.tensor(block * view.stride(0) + slot * view.stride(1))
    for extent, stride in zip(view.shape[2:], view.stride()[2:], strict=True):
        out = out.unsqueeze(-1) + torch.arange(extent) * stride
    return out.flatten().tolist()


def check(plan: ConversionPlan, src: KVCache, dst: KVCache, src_heads: int, dst_heads: int) -> None:
    for p, plane in enumerate(plan.planes):
        expected = {}
        for token in range(src.slots):
            reads, writes = (offsets(c.views[0][p], token) for c in (src, dst))
            n = len(reads)
            for i, (s, d) in enumerate(zip(reads, writes, strict=True)):
                expected[d] = (s, i * src_heads // n, i * dst_heads // n)
        planned: dict[int, tuple[int, int, int]] = {}
        for unit in range(plan.units):
            planned.update(elements_of(plane, unit))
        assert planned == expected


@settings(max_examples=60, deadline=None, print_blob=True)
@given(
    st.sampled_from(LAYOUTS),
    st.sampled_from(LAYOUTS),
    st.sampled_from([(12, 1, 12), (12, 6, 4), (4, 4, 4), (1, 1, 12), (8, 2, 6), (16, 16, 24)]),
    st.sampled_from([(2, 8), (3, 16), (1, 24)]),
    st.booleans(),
    st.booleans(),
)
def test_every_element_once(first, second, blocks, shape, src_apart, dst_apart) -> None:
    src_size, dst_size, total = blocks[1], blocks[2], 48
    heads, head_dim = shape
    common = {"layers": 2, "heads": heads, "head_dim": head_dim}
    src = KVCache.allocate(
        first, blocks=total // src_size, block_size=src_size, dtype=torch.bfloat16, **common
    )
    dst = KVCache.allocate(
        second, blocks=total // dst_size, block_size=dst_size, dtype=torch.int8, **common
    )
    own = [c.views[0][0].shape[2] if apart else 1 for c, apart in ((src, src_apart),
                                                                 (dst, dst_apart))]  # fmt: skip
    plan = plan_conversion(src.geometry, dst.geometry, (own[0],) * 2, (own[1],) * 2)
    assert plan.unit_tokens * plan.units == total
    check(plan, src, dst, *own)


def test_long_runs_where_both_sides_are_contiguous() -> None:
    sizes = {"layers": 1, "blocks": 8, "block_size": 16, "heads": 8, "head_dim": 128}
    nhd, hnd, flat, codes = (
        KVCache.allocate(n, **sizes, dtype=d).geometry
        for n, d in (
            ("vllm_nhd", torch.float16), ("vllm_hnd", torch.float16), ("contiguous", torch.float16),
            ("vllm_nhd", torch.float8_e5m2),
        )
    )  # fmt: skip
    one, eight = (1, 1), (8, 8)
    assert plan_conversion(nhd, codes, one, one).planes[0].run == 64 * 8 * 128
    assert plan_conversion(flat, codes, one, one).planes[0].run == 64 * 8 * 128
    assert plan_conversion(nhd, codes, one, eight).planes[0].run == 128
    assert plan_conversion(hnd, codes, one, one).planes[0].run == 128


def test_a_write_has_one_unit_a_token() -> None:
    cache = KVCache.allocate("vllm_hnd", **SIZES, dtype=torch.int8)
    key = torch.zeros(5, 2, 8, dtype=torch.bfloat16)
    plan, scales = plan_quantized_write(cache, 1, key, key[:, :, :8], torch.ones(2), 0.5)
    assert [s.per_head for s in scales] == [True, False]
    assert plan.plan.unit_tokens == 1
    first, second = plan.plan.planes
    assert (first.src_dtype, first.dst_dtype) == ("bfloat16", "int8")
    assert first.dims == ((2, 8, 32, 0, 1),) and first.run == 8
    assert second.dims == ((2, 8, 32, 0, 0),)
    again, _ = plan_quantized_write(cache, 0, key[:3], key[:3], torch.ones(2), 0.25)
    assert again is plan


def test_bytes_of_either_side() -> None:
    cache = KVCache.allocate("vllm_hnd", **SIZES, dtype=torch.int8)
    key = torch.zeros(5, 2, 8)
    plan = plan_quantized_write(cache, 0, key, key, 1.0, 1.0)[0].plan
    read, written = plan.bytes_of((4, 4)).planes[0], plan.bytes_of((1, 1)).planes[0]
    assert (read.run_bytes, read.dims[0][1], read.src.block_stride) == (32, 32, 64)
    assert (written.run_bytes, written.dims[0][2]) == (8, 32)


def test_the_struct_of_the_header(tmp_path: Path) -> None:
    """pack() writes accel_kv_elements as a C compiler lays it out."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    assert compiler, "a C compiler is one of the project's requirements"
    source = tmp_path / "layout.c"
    source.write_text("""
        #include <stddef.h>
        #include <stdio.h>
        #include "accel/kv_address.h"
        int main(void) {
          printf("%zu %zu %zu %zu", sizeof(accel_kv_elements), offsetof(accel_kv_elements, plane),
                 offsetof(accel_kv_elements, src_head), offsetof(accel_kv_elements, dst_head));
          return 0;
        }
    """)
    program = tmp_path / "layout"
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function"]
    subprocess.run(
        [compiler, *flags, "-I", accel.get_include(), str(source), "-o", str(program)], check=True
    )
    printed = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    size, plane, src_head, dst_head = map(int, printed.split())
    made = ElementPlane(
        Paging(1, 2, 3), Paging(4, 5, 6), 7, ((8, 9, 10, 11, 12),), "float16", "int8"
    )
    packed = made.pack()
    assert (len(packed), plane) == (size, 0)
    assert struct.unpack_from("=9q", packed) == (1, 2, 3, 4, 5, 6, 7, 8, 1)
    assert struct.unpack_from("=2q", packed, src_head) == (11, 0)
    assert struct.unpack_from("=2q", packed, dst_head) == (12, 0)


@pytest.mark.parametrize(
    ("change", "error", "argument"),
    [
        ({"layers": 3}, LayoutError, "dst"),
        ({"kv": 1}, LayoutError, "dst"),
        ({"head_dim": 4}, LayoutError, "dst"),
        ({"blocks": 5}, SizeError, "dst"),
        ({"dtype": torch.float64}, DTypeError, "dst"),
    ],
)
def test_caches_that_differ_are_refused(change, error, argument) -> None:
    a = KVCache.allocate("vllm_nhd", **SIZES, dtype=torch.float16)
    b = KVCache.allocate("vllm_nhd", **{**SIZES, "dtype": torch.int8, **change})
    with pytest.raises(error) as caught:
        plan_conversion(a.geometry, b.geometry, (1, 1), (1,) * b.planes)
    assert caught.value.argument == argument
