"""Slot lists: the pairs that remain, and every rule that one can break."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from accel import DTypeError, OverlapError, ShapeError, SlotError
from accel.kv import block_slots, check_slots
from accel.kv.slots import gather_slots

PAIRS = st.lists(st.tuples(st.integers(-3, 12), st.integers(-3, 12)), max_size=12)


@given(PAIRS, st.booleans(), st.sampled_from([torch.int32, torch.int64]))
def test_the_rules(pairs, same, dtype) -> None:
    """Against the rules in plain words, on lists that often break one."""
    kept = [(s, d) for s, d in pairs if s >= 0 and d >= 0]
    targets = [d for _, d in kept]
    bad_range = any(s >= 10 or d >= 11 for s, d in kept)
    repeated = len(set(targets)) < len(targets)
    both = same and bool(set(targets) & {s for s, _ in kept})
    src = torch.tensor([s for s, _ in pairs], dtype=dtype)
    dst = torch.tensor([d for _, d in pairs], dtype=dtype)
    if bad_range:
        with pytest.raises(SlotError):
            check_slots(src, dst, 10, 11, same_memory=same)
    elif repeated or both:
        with pytest.raises(OverlapError) as caught:
            check_slots(src, dst, 10, 11, same_memory=same)
        assert caught.value.argument == "dst_slots"
    else:
        read, write = check_slots(src, dst, 10, 11, same_memory=same)
        assert list(zip(read.tolist(), write.tolist(), strict=True)) == kept
        assert read.dtype == write.dtype == torch.int64


def test_faults_are_located() -> None:
    ok = torch.tensor([0, 1, 2])
    with pytest.raises(SlotError, match="a: expected indices below 3, given 7 at position 1"):
        check_slots(torch.tensor([0, 7, 8]), ok, 3, 3, names=("a", "b"))
    with pytest.raises(SlotError, match="b: expected indices below 2, given 2 at position 2"):
        check_slots(ok, ok, 3, 2, names=("a", "b"))
    with pytest.raises(ShapeError, match="3 indices"):
        check_slots(ok, ok[:2], 3, 3)
    with pytest.raises(ShapeError, match="one axis"):
        check_slots(ok.view(1, 3), ok, 3, 3)
    for bad in (ok.float(), ok.short(), [0], None):
        with pytest.raises(DTypeError, match="int32 or int64"):
            check_slots(ok, bad, 3, 3)


def test_slots_of_blocks() -> None:
    got = block_slots(torch.tensor([2, -1, 0], dtype=torch.int32), 3)
    assert got.tolist() == [6, 7, 8, -1, -1, -1, 0, 1, 2]


def test_gathered_slots() -> None:
    table = torch.tensor([[4, 0, 9], [-1, 2, 9]], dtype=torch.int32)
    got = gather_slots(table, torch.tensor([4, 3]), torch.tensor([1, 2]), 3, 5)
    assert got.tolist() == [13, 14, 0, 1, -1, 6, 7]
    assert gather_slots(table[:0], torch.tensor([]).long(), None, 3, 5).tolist() == []
    with pytest.raises(SlotError, match=r"block_table: .* below 5, given 9 at position \(1, 2\)"):
        gather_slots(table, torch.tensor([4, 7]), None, 3, 5)
    with pytest.raises(SlotError, match="seq_lens"):
        gather_slots(table, torch.tensor([4, 9]), torch.tensor([0, 1]), 3, 5)
    with pytest.raises(SlotError, match="seq_starts"):
        gather_slots(table, torch.tensor([4, 3]), torch.tensor([0, -1]), 3, 5)
