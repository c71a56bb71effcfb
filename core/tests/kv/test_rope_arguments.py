"""What a reposition is given: memory apart, positions in range, and which keys are meant."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accel import ArgumentError, DeviceError, OverlapError, ShapeError, SlotError
from accel.kv import KVCache, Rope
from accel.kv.overlap import cache_shares
from accel.kv.rope_arguments import check_positions, check_rope
from accel.tensor_overlap import overlaps_itself, share_bytes

HOST = ("cpu",)


def addresses(tensor: torch.Tensor) -> list[int]:
    """Of every byte, one element after another."""
    at = [tensor.data_ptr()]
    for n, s in zip(tensor.shape, tensor.stride(), strict=True):
        at = [a + i * s * tensor.element_size() for a in at for i in range(n)]
    return [a + i for a in at for i in range(tensor.element_size())]


@st.composite
def views(draw: Any, raw: torch.Tensor) -> torch.Tensor:
    """Any strided view into ``raw``."""
    flat = raw.view(draw(st.sampled_from([torch.int32, torch.float16, torch.int64])))
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    strides = draw(st.lists(st.integers(0, 9), min_size=len(shape), max_size=len(shape)))
    return flat.as_strided(shape, strides, draw(st.integers(0, 40)))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_shared_memory(data) -> None:
    """Against the addresses of all bytes."""
    raw = torch.zeros(2048, dtype=torch.uint8)
    a, b = data.draw(views(raw)), data.draw(views(raw))
    ours, theirs = addresses(a), addresses(b)
    assert overlaps_itself(a) == (len(set(ours)) < len(ours))
    assert share_bytes(a, b) == share_bytes(b, a) == bool(set(ours) & set(theirs))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_memory_shared_with_a_cache(data) -> None:
    raw = torch.zeros(2048, dtype=torch.uint8)
    keys = raw.view(torch.float16).as_strided((2, 2, 3, 2, 1, 4), (400, 200, 60, 28, 9, 2), 5)
    cache = KVCache([keys[0], keys[1]], data.draw(st.sampled_from(["L | K B S H D"])))
    other = data.draw(views(raw))
    theirs = set(addresses(other))
    hit = [i for i in range(2) if theirs & set(addresses(cache.view(i, 0)))]
    assert cache_shares(cache, 0, range(2), other) == (hit[0] if hit else None)


def test_keys_of_a_tensor() -> None:
    keys, at = torch.zeros(2, 3, 4, 16), torch.zeros(2, 3, dtype=torch.int32)
    target = check_rope(keys, at, at.long(), Rope(rotary_dim=8), None, None, HOST)
    assert target.rotary_dim == 8
    assert len(target.keys) == 1
    assert target.keys[0] is keys
    with pytest.raises(ShapeError, match=r"old_positions: expected \[2, 3\] as keys"):
        check_rope(keys, at[0], at, Rope(), None, None, HOST)


def test_keys_of_a_cache() -> None:
    cache = KVCache.allocate(
        "vllm_nhd", layers=3, blocks=2, block_size=4, heads=2, head_dim=16, dtype=torch.float16
    )
    slots = torch.tensor([1, -1])
    every = check_rope(cache, slots, slots, Rope(), slots, None, HOST)
    assert [k.data_ptr() for k in every.keys] == [cache.view(i).data_ptr() for i in range(3)]
    one = check_rope(cache, slots, slots, Rope(offset=4), slots, 2, HOST)
    assert one.keys[0].data_ptr() == cache.view(2).data_ptr()
    assert one.rotary_dim == 12


def test_devices_must_agree() -> None:
    keys = torch.zeros(2, 1, 8, device="meta")
    at, there = torch.zeros(2, dtype=torch.int64), torch.zeros(2, dtype=torch.int64, device="meta")
    meta = ("meta",)
    check_rope(keys, at, at, Rope(), None, None, meta)
    with pytest.raises(DeviceError, match="new_positions"):
        check_rope(keys, at, there, Rope(), None, None, meta)
    with pytest.raises(DeviceError, match="cos_sin_cache"):
        check_rope(keys, at, at, Rope(cos_sin_cache=torch.ones(4, 8)), None, None, meta)
    with pytest.raises(DeviceError, match="keys: expected a tensor on cpu"):
        check_rope(keys, at, at, Rope(), None, None, HOST)


def test_positions_without_padding() -> None:
    slots = torch.tensor([5, -1, 0, -9], dtype=torch.int32)
    old, new = torch.tensor([1, -4, 2, 2**40]), torch.tensor([7, -4, 0, -1])
    kept = check_positions(old, new, Rope(), slots, 6)
    assert [t.tolist() for t in kept if t is not None] == [[5, 0], [1, 2], [7, 0]]
    with pytest.raises(SlotError, match="slots"):
        check_positions(old, new, Rope(), slots, 5)
    with pytest.raises(OverlapError, match="slots"):
        check_positions(old, new, Rope(), torch.tensor([5, -1, 5, -9]), 6)


@pytest.mark.parametrize("rope", [Rope(), Rope(cos_sin_cache=torch.ones(100, 8))])
def test_positions_in_range(rope: Rope) -> None:
    last = 2**31 - 1 if rope.cos_sin_cache is None else 99
    good = torch.tensor([[0, last]])
    none, old, new = check_positions(good, good, rope)
    assert none is None
    assert old.tolist() == new.tolist() == [0, last]
    for bad in (-1, last + 1, 2**62):
        wrong = torch.tensor([[0, bad]])
        with pytest.raises(ArgumentError, match=f"old_positions: .* given {bad}"):
            check_positions(wrong, good, rope)
        with pytest.raises(ArgumentError, match=f"new_positions: .* given {bad}"):
            check_positions(good, wrong, rope)
