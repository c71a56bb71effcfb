"""Shared memory: what the strides decide, against sets of byte addresses."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accel import OverlapError
from accel.kv import KVCache, dsa_indexer, plan_transfer
from accel.kv.overlap import check_bytes, check_destination, sharing
from accel.strided_boxes import box_meets_itself, boxes_meet

DIMS = st.lists(st.tuples(st.integers(2, 4), st.integers(0, 40)), max_size=3)


def addresses(dims, start=0):
    out = [start]
    for extent, stride in dims:
        out = [a + i * stride for a in out for i in range(extent)]
    return out


def box(dims, run):
    ordered = sorted([*dims, (run, 1)], key=lambda d: -d[1])
    return tuple(ordered)


@settings(max_examples=400)
@given(DIMS, DIMS, st.integers(1, 5), st.integers(1, 5), st.integers(-60, 60))
def test_whether_boxes_meet(a, b, run_a, run_b, distance) -> None:
    a, b = box(a, run_a), box(b, run_b)
    expected = bool(set(addresses(a)) & set(addresses(b, distance)))
    assert boxes_meet(a, b, distance) == expected


@settings(max_examples=400)
@given(DIMS, st.integers(1, 5))
def test_whether_a_box_meets_itself(dims, run) -> None:
    dims = box([d for d in dims if d[1]], run)
    everything = addresses(dims)
    assert box_meets_itself(dims) == (len(set(everything)) < len(everything))


def test_an_expanded_axis_meets_itself() -> None:
    assert box_meets_itself(((3, 0), (2, 1)))


def allocate(layout="vllm_nhd", layers=2):
    return KVCache.allocate(
        layout, layers=layers, blocks=3, block_size=4, heads=2, head_dim=4, dtype=torch.int16
    )


def test_how_caches_share() -> None:
    a = allocate()
    assert sharing(a, allocate()) == "none"
    assert sharing(a, a) == "same"
    assert sharing(a, KVCache(list(a.tensors), "vllm_nhd")) == "same"
    assert sharing(a, a.select_layers([1, 0])) == "partial"
    assert sharing(a.select_layers(0), a.select_layers(1)) == "none"
    crossed = allocate("vllm_cross_layer", layers=40)
    assert sharing(crossed.select_layers(slice(0, 20)), crossed.select_layers(slice(20, 40))) == (
        "none"
    )
    assert sharing(crossed.select_layers([3, 4]), crossed.select_layers([4, 5])) == "partial"


def test_pages_of_values_and_scales_are_distinct() -> None:
    pages = [torch.zeros(9, 16 * 132 + 20, dtype=torch.uint8)[:, : 16 * 132] for _ in range(3)]
    cache = dsa_indexer(pages, block_size=16)
    check_destination(cache)
    assert cache.self_overlap == ""


@pytest.mark.parametrize("layout", ["vllm_nhd", "sglang_page_head", "vllm_cross_layer"])
def test_ordinary_caches_are_good_destinations(layout) -> None:
    check_destination(allocate(layout, layers=16))


def test_bad_destinations() -> None:
    one = torch.zeros(2, 3, 4, 2, 4)
    with pytest.raises(OverlapError, match="layer 0 plane 0 and layer 1 plane 0"):
        check_destination(KVCache([one, one], "vllm_nhd"))
    with pytest.raises(OverlapError, match="overlaps itself"):
        check_destination(KVCache([one[:, :1].expand(2, 3, 4, 2, 4)], "vllm_nhd"), "cache")


@given(
    st.lists(st.integers(0, 11), unique=True, min_size=1, max_size=6),
    st.lists(st.integers(0, 11), unique=True, min_size=1, max_size=6),
    st.integers(0, 1),
)
def test_bytes_read_and_written(src, dst, shift) -> None:
    """Layers 0 and 1 are moved to layers ``shift`` and 1 of the same tensors, flat."""
    cache = allocate()
    n = min(len(src), len(dst))
    read, write = torch.tensor(src[:n]), torch.tensor(dst[:n])
    other = cache.select_layers([1, 0]) if shift else cache.select_layers([0, 1])
    plan = plan_transfer(cache.geometry, other.geometry)
    # Every layer is read and written at both shifts, so only the slots matter.
    if set(src[:n]) & set(dst[:n]):
        with pytest.raises(OverlapError, match="share no byte"):
            check_bytes(plan, cache.pointers, other.pointers, read, write, "dst")
    else:
        check_bytes(plan, cache.pointers, other.pointers, read, write, "dst")
