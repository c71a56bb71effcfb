"""Transfer plans, through the C header itself: the addresses it computes are those torch gives."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import accel
from accel import DTypeError, LayoutError, SizeError
from accel.kv import PRESETS, KVCache, plan_transfer
from accel.kv.geometry import Geometry, Plane

CODE = """
#include "accel/kv_address.h"
accel_i64 unit_offset(const accel_kv_plane *planes, int plane, int dst, accel_i64 slot) {
  return accel_kv_unit_offset(dst ? &planes[plane].dst : &planes[plane].src, slot);
}
void run_offsets(const accel_kv_plane *planes, int plane, accel_i64 run, accel_i64 *src,
                 accel_i64 *dst) {
  accel_kv_run_offsets(&planes[plane], run, src, dst);
}
accel_i64 plane_size(void) { return sizeof(accel_kv_plane); }
"""

LAYOUTS = sorted({axes for axes in PRESETS.values() if "K" in axes})


@pytest.fixture(scope="module")
def header(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    assert compiler, "a C compiler is one of the project's requirements"
    folder: Path = tmp_path_factory.mktemp("header")
    source = folder / "offsets.c"
    source.write_text(CODE)
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-I", accel.get_include()]
    library = folder / "offsets.so"
    subprocess.run(
        [compiler, *flags, "-shared", "-fPIC", str(source), "-o", str(library)], check=True
    )
    subprocess.run(
        [compiler, "-x", "c++", "-std=c++17", *flags[1:], "-fsyntax-only", str(source)], check=True
    )
    loaded = ctypes.CDLL(str(library))
    loaded.unit_offset.restype = loaded.plane_size.restype = ctypes.c_longlong
    loaded.unit_offset.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_int, ctypes.c_longlong]
    return loaded


def element_addresses(view: torch.Tensor, block: int, slot: int) -> list[int]:
    """Addresses of one token's elements in (head, head dim) order, by torch's own indexing."""
    token = view[block, slot]
    size = view.element_size()
    offsets = torch.zeros((), dtype=torch.int64)
    for extent, stride in zip(token.shape, token.stride(), strict=True):
        offsets = offsets.unsqueeze(-1) + torch.arange(extent) * stride * size
    return (offsets.flatten() + token.data_ptr()).tolist()


def copied(header: ctypes.CDLL, plan, plane: int, src: int, dst: int, slots, itemsize: int):
    """{destination address: source address} of every element that the plan moves."""
    packed, moves = plan.pack(), {}
    s, d = ctypes.c_longlong(), ctypes.c_longlong()
    for i, j in slots:
        start_s = src + header.unit_offset(packed, plane, 0, i)
        start_d = dst + header.unit_offset(packed, plane, 1, j)
        for run in range(plan.planes[plane].runs):
            header.run_offsets(
                packed, plane, ctypes.c_longlong(run), ctypes.byref(s), ctypes.byref(d)
            )
            for byte in range(0, plan.planes[plane].run_bytes, itemsize):
                to = start_d + d.value + byte
                assert to not in moves
                moves[to] = start_s + s.value + byte
    return moves


@settings(max_examples=60, deadline=None, print_blob=True)
@given(
    st.sampled_from(LAYOUTS),
    st.sampled_from(LAYOUTS),
    st.sampled_from([(2, 8), (3, 16), (1, 24), (5, 8)]),
    st.sampled_from([1, 3, 4]),
    st.sampled_from(["token", "block"]),
    st.sampled_from([torch.int8, torch.float16, torch.int64]),
)
def test_addresses_are_torchs(header, first, second, shape, block_size, grain, dtype) -> None:
    sizes = {"layers": 2, "blocks": 3, "block_size": block_size, "dtype": dtype, "split": 8}
    heads, head_dim = shape
    src, dst = (
        KVCache.allocate(name, **sizes, heads=heads, head_dim=head_dim) for name in (first, second)
    )
    assert header.plane_size() * 2 == len(plan_transfer(src.geometry, dst.geometry).pack())
    plan = plan_transfer(src.geometry, dst.geometry, grain)
    units = src.slots if grain == "token" else src.blocks
    assert (plan.src_units, plan.dst_units, plan.layers) == (units, units, 2)
    assert plan.unit_bytes * units == src.bytes_per_token * src.slots
    pairs = [(0, units - 1), (units - 1, 0)] if units > 1 else [(0, 0)]
    for layer in range(2):
        for plane in range(2):
            expected = {}
            for i, j in pairs:
                per = 1 if grain == "token" else block_size
                for step in range(per):
                    a, b = divmod(i * per + step, block_size), divmod(j * per + step, block_size)
                    reads = element_addresses(src.views[layer][plane], *a)
                    writes = element_addresses(dst.views[layer][plane], *b)
                    expected.update(zip(writes, reads, strict=True))
            at = layer * 2 + plane
            assert expected == copied(
                header, plan, plane, src.pointers[at], dst.pointers[at], pairs, dtype.itemsize
            )


def test_what_is_contiguous_on_both_sides_is_one_run() -> None:
    sizes = {"layers": 2, "blocks": 4, "block_size": 16, "heads": 8, "head_dim": 128}
    nhd, hnd, flat = (
        KVCache.allocate(n, **sizes, dtype=torch.bfloat16)
        for n in ("vllm_nhd", "vllm_hnd", "contiguous")
    )
    assert plan_transfer(nhd.geometry, flat.geometry).planes[0].run_bytes == 8 * 128 * 2
    assert plan_transfer(nhd.geometry, nhd.geometry, "block").planes[0].runs == 1
    assert plan_transfer(hnd.geometry, hnd.geometry, "block").planes[0].runs == 1
    assert plan_transfer(nhd.geometry, hnd.geometry).planes[0].run_bytes == 128 * 2


def test_strides_beyond_two_gigabytes(header) -> None:
    far = 5 * 2**31
    plane = Plane("int8", 1, far, 64, ((64, 1),))
    geometry = Geometry(1, 7, 16, True, (plane,))
    packed = plan_transfer(geometry, geometry).pack()
    assert header.unit_offset(packed, 0, 0, 6 * 16 + 3) == 6 * far + 3 * 64


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"layers": 3}, LayoutError),
        ({"kv": 1}, LayoutError),
        ({"head_dim": 4}, LayoutError),
        ({"dtype": torch.int16}, DTypeError),
    ],
)
def test_caches_that_differ_are_refused(change, error) -> None:
    sizes = {"layers": 2, "blocks": 4, "block_size": 4, "heads": 2, "head_dim": 8}
    a = KVCache.allocate("vllm_nhd", **{**sizes, "dtype": torch.float16})
    b = KVCache.allocate("vllm_nhd", **{**sizes, "dtype": torch.float16, **change})
    with pytest.raises(error) as caught:
        plan_transfer(a.geometry, b.geometry)
    assert caught.value.argument == "dst"


def test_block_sizes_must_agree_at_block_grain() -> None:
    sizes = {"layers": 1, "heads": 2, "head_dim": 8, "dtype": torch.float16}
    a = KVCache.allocate("vllm_nhd", blocks=4, block_size=4, **sizes)
    b = KVCache.allocate("vllm_nhd", blocks=8, block_size=2, **sizes)
    plan_transfer(a.geometry, b.geometry)
    with pytest.raises(SizeError, match="block size"):
        plan_transfer(a.geometry, b.geometry, "block")


def test_extents_that_cannot_be_cut_are_refused() -> None:
    a = KVCache([torch.zeros(4, 6, 8)[:, :, :4]], "L | T H D")
    b = KVCache([torch.zeros(4, 4, 8)[:, :, :6]], "L | T H D")
    with pytest.raises(LayoutError, match="divide"):
        plan_transfer(a.geometry, b.geometry)
