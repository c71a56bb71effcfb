"""Slot lists: dtypes, strides, padding, repetition, none at all, the first and the last."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from accel import AsyncError, Capability, SlotError
from accel_conformance.case import case
from accel_conformance.kv_expected import Expectation, blocks_to_tokens
from accel_conformance.kv_shapes import SMALL
from accel_conformance.kv_work import KVWork, Pairs, kv_work

kv = kv_work

TOKENS = [Capability.KV_TRANSFER]
BLOCKS = [Capability.KV_TRANSFER_BLOCKS]
LAST = SMALL.slots - 1

PAIRS: dict[str, Pairs] = {
    "none": [],
    "one": [(3, 5)],
    "first": [(0, 0)],
    "last": [(LAST, LAST)],
    "last-to-first": [(LAST, 0)],
    "all-padding": [(-1, -1)] * 9,
    "padded-source": [(-1, 3), (2, 4), (-1, LAST)],
    "padded-destination": [(1, -1), (LAST, -1), (2, 4)],
    "very-negative": [(-(2**31), 3), (4, -(2**31)), (5, 6)],
    "padding-beside-out-of-range": [(-1, 10**6), (10**9, -1), (1, 2)],
    "padding-at-both-ends": [(-1, 0), (7, 7), (-1, -1)],
    "repeated-source": [(2, 1), (2, 9), (2, 5), (2, LAST)],
    "every-slot": [(i, i) for i in range(SMALL.slots)],
    "reversed": [(i, LAST - i) for i in range(SMALL.slots)],
    "runs": [(4, 8), (5, 9), (6, 10), (7, 11), (1, 2), (2, 3)],
    "run-in-source-only": [(4, 12), (5, 9), (6, 0), (7, 19)],
    "run-in-destination-only": [(9, 4), (1, 5), (9, 6), (0, 7)],
}


@case(level=2, needs=TOKENS)
@pytest.mark.parametrize("on_device", [False, True], ids=["host", "device"])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=["int32", "int64"])
@pytest.mark.parametrize("pairs", PAIRS.values(), ids=PAIRS.keys())
def test_slots(kv: KVWork, pairs: Pairs, dtype: torch.dtype, on_device: bool) -> None:
    """Padding is skipped and its destination untouched; sources may repeat; no slots, no work."""
    for dst in ("vllm_hnd", "lmcache_object"):
        a, b = kv.make("vllm_nhd", SMALL), kv.make(dst, SMALL)
        kv.transfer(a, b, pairs, dtype=dtype, on_device=on_device)


@case(level=2, needs=BLOCKS)
@pytest.mark.parametrize("on_device", [False, True], ids=["host", "device"])
@pytest.mark.parametrize(
    "pairs",
    [[], [(0, 4)], [(4, 4)], [(-1, 2), (1, -1)], [(2, 1), (2, 3), (2, 0)], [(1, 0), (-9, 4)]],
    ids=["none", "one", "last", "all-padding", "repeated-source", "padding"],
)
def test_blocks(kv: KVWork, pairs: Pairs, on_device: bool) -> None:
    """The same for lists of blocks."""
    a, b = kv.make("vllm_nhd", SMALL), kv.make("vllm_hnd", SMALL)
    kv.transfer(a, b, pairs, grain="block", block_size=SMALL.block_size, on_device=on_device)


@case(level=2, needs=TOKENS)
@pytest.mark.parametrize("side", ["src", "dst"])
@pytest.mark.parametrize("wrong", [SMALL.slots, 10**6, 2**31 - 1])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=["int32", "int64"])
def test_out_of_range_on_the_device(kv: KVWork, dtype: torch.dtype, wrong: int, side: str) -> None:
    """An index tensor on the device past the end: told, or skipped; nothing else goes wrong.

    A backend that reads it writes nothing. One that does not may move the pairs in range, and says
    so at the next synchronisation.
    """
    a, b = kv.make("vllm_nhd", SMALL), kv.make("vllm_hnd", SMALL)
    good = [(3, 1), (0, LAST), (LAST, 4)]
    bad = (wrong, 2) if side == "src" else (2, wrong)
    untouched, moved = Expectation(a, b), Expectation(a, b)
    moved.move(a, b, good)
    allowed = [untouched]
    try:
        kv.call_transfer(a, b, [good[0], bad, *good[1:]], dtype=dtype, on_device=True)
        allowed = [moved]
        kv.settle()
    except SlotError as error:
        assert error.argument == f"{side}_slots"
    except AsyncError as late:
        assert isinstance(late.__cause__, SlotError), f"the cause is {late.__cause__!r}"
        allowed = [moved, untouched]
    _one_of(allowed)
    kv.transfer(a, b, on_device=True)


def _one_of(allowed: list[Expectation]) -> None:
    for expected in allowed[:-1]:
        try:
            return expected.check()
        except AssertionError:
            pass
    return allowed[-1].check()


@case(level=2, needs=TOKENS)
@pytest.mark.parametrize("on_device", [False, True], ids=["host", "device"])
@pytest.mark.parametrize("form", ["stepped", "column", "offset", "broadcast-source"])
def test_strided_slot_tensors(kv: KVWork, form: str, on_device: bool) -> None:
    """Slot tensors that are views: every second, a column, an offset, one value broadcast."""
    n = 7
    src = torch.randint(SMALL.slots, (n,), generator=kv.rng)
    dst = torch.randperm(SMALL.slots, generator=kv.rng)[:n]
    if form == "broadcast-source":
        src = src[:1].expand(n)
    where = kv.backend.device if on_device else torch.device("cpu")

    def stored(values: torch.Tensor) -> torch.Tensor:
        # What lies between is out of range: reading it would be refused or show.
        rest = torch.full_like(values, 10**6).to(where)
        values = values.to(where)
        if form == "stepped":
            return torch.stack([values, rest], 1).flatten()[::2]
        if form == "column":
            return torch.stack([rest, values, rest], 1)[:, 1]
        return torch.cat([rest, values])[n:]

    a, b = kv.make("vllm_nhd", SMALL), kv.make("vllm_hnd", SMALL)
    expected = Expectation(a, b)
    expected.move(a, b, list(zip(src.tolist(), dst.tolist(), strict=True)))
    one = src.to(where)[:1].expand(n) if form == "broadcast-source" else stored(src)
    kv.backend.kv.transfer(a.cache, b.cache, one, stored(dst))
    kv.settle()
    expected.check()


@case(level=2, needs=TOKENS)
def test_mixed_index_dtypes(kv: KVWork) -> None:
    """int32 sources with int64 destinations, and the reverse."""
    for first, second in ((torch.int32, torch.int64), (torch.int64, torch.int32)):
        a, b = kv.make("vllm_nhd", SMALL), kv.make("vllm_hnd", SMALL)
        pairs = kv.pairs(SMALL.slots, SMALL.slots)
        expected = Expectation(a, b)
        expected.move(a, b, pairs)
        src = kv.indices([s for s, _ in pairs], first)
        dst = kv.indices([d for _, d in pairs], second)
        kv.backend.kv.transfer(a.cache, b.cache, src, dst)
        kv.settle()
        expected.check()


@case(level=2, needs=TOKENS)
def test_more_tokens_than_a_launch_holds(kv: KVWork) -> None:
    """Ten thousand small tokens at once, in random order."""
    shape = dataclasses.replace(SMALL, layers=1, blocks=2501, heads=1)
    a, b = kv.make("vllm_nhd", shape), kv.make("contiguous", shape)
    order = torch.randperm(shape.slots, generator=kv.rng).tolist()
    kv.transfer(a, b, list(enumerate(order)))


@case(level=2, needs=TOKENS + BLOCKS)
def test_none_leaves_everything_as_it_was(kv: KVWork) -> None:
    """Empty lists of every kind are no work at all, also between caches without a single block."""
    empty = dataclasses.replace(SMALL, blocks=0)
    a, b = kv.make("vllm_nhd", SMALL), kv.make("vllm_hnd", SMALL)
    none, other = kv.make("vllm_nhd", empty), kv.make("vllm_hnd", empty)
    for grain in ("token", "block"):
        for src, dst in ((a, b), (none, b), (a, none), (none, other)):
            expected = Expectation(src, dst)
            kv.call_transfer(src, dst, [], grain=grain)
            kv.call_transfer(src, dst, [(-1, -1)], grain=grain)
            kv.settle()
            expected.check()


@case(level=2, needs=BLOCKS)
def test_blocks_of_one_token(kv: KVWork) -> None:
    """With block size 1, blocks and tokens are the same thing."""
    shape = dataclasses.replace(SMALL, blocks=9, block_size=1)
    a, b = kv.make("vllm_nhd", shape), kv.make("sglang_page_head", shape)
    pairs = kv.pairs(9, 9)
    expected = Expectation(a, b)
    expected.move(a, b, blocks_to_tokens(pairs, 1))
    kv.call_transfer(a, b, pairs, grain="block")
    kv.settle()
    expected.check()
