"""KV movement through torch, for caches that the device cannot reach, against loops over tokens."""

from __future__ import annotations

import random

import pytest
import torch

from accel.errors import OverlapError, ShapeError, SlotError
from accel.kv import KVCache
from accel.kv.overlap import sharing
from accel.kv.plan import plan_transfer

pytest.importorskip("accel_cuda._native", reason="accel-cuda's native part is not built")

from accel_cuda.kv_pageable import PageablePair, PageableWriter


class Waits:
    """Streams that count how often they were waited for."""

    def __init__(self):
        self.waits = 0

    def current(self):
        return self

    def synchronize(self):
        self.waits += 1


@pytest.fixture
def streams():
    return Waits()


def make(layout, blocks, dtype=torch.bfloat16, size=4):
    cache = KVCache.allocate(
        layout, layers=2, blocks=blocks, block_size=size, heads=2, head_dim=8, dtype=dtype
    )
    for t in cache.tensors:
        t.view(torch.uint8).random_(256)
    return cache


def tokens_of(cache):
    return [[_bytes(v, cache.slots) for v in row] for row in cache.views]


def _bytes(view, slots):
    rows = view.reshape(slots, -1).contiguous().view(torch.uint8)
    return rows.reshape(slots, -1).clone()


def expect(src, dst, pairs):
    before, after = tokens_of(src), tokens_of(dst)
    for s, d in pairs:
        for layer in range(src.layers if s >= 0 and d >= 0 else 0):
            for plane in range(src.planes):
                after[layer][plane][d] = before[layer][plane][s]
    return after


def same(cache, expected):
    return all(
        torch.equal(a, b)
        for found, wanted in zip(tokens_of(cache), expected, strict=True)
        for a, b in zip(found, wanted, strict=True)
    )


def pair_of(src, dst, streams, grain="token"):
    plan = plan_transfer(src.geometry, dst.geometry, grain)
    return PageablePair(plan, sharing(src, dst), src.slots // plan.src_units, streams)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.int64], ids=str)
@pytest.mark.parametrize("layout", ["L | K B H S D", "| K L T H D", "K | B H S L D"])
def test_tokens(streams, layout, dtype):
    src, dst = make("L | K B S H D", 5, dtype), make(layout, 6, dtype)
    pairs = list(zip(random.choices(range(20), k=9), random.sample(range(24), 9), strict=True))
    pairs[2], pairs[5] = (-1, pairs[2][1]), (pairs[5][0], -4)
    expected = expect(src, dst, pairs)
    s, d = (torch.tensor(x) for x in zip(*pairs, strict=True))
    pair_of(src, dst, streams).transfer(src, dst, s, d.int(), None)
    assert same(dst, expected) and streams.waits == 1


def test_blocks_by_mapping(streams):
    src, dst = make("L | K B S H D", 5), make("L | B K S H D", 6)
    pairs = [(4, 0), (0, 5), (-1, 2)]
    expected = expect(src, dst, [(s * 4 + i, d * 4 + i) for s, d in pairs for i in range(4)])
    pair_of(src, dst, streams, "block").map_blocks(src, dst, torch.tensor(pairs), None)
    assert same(dst, expected)
    cache = make("L | K B S H D", 5)
    before = tokens_of(cache)
    with pytest.raises(OverlapError, match="block_mapping"):
        pair_of(cache, cache, streams, "block").map_blocks(
            cache, cache, torch.tensor([[0, 1], [1, 2]]), None
        )
    assert same(cache, before)


def test_gather(streams):
    src, dst = make("L | K B S H D", 5), make("| K L T H D", 4)
    table, lens, starts = [[3, 0], [1, -1]], [5, 6], [1, 0]
    pairs, at = [], 0
    for row, length, start in zip(table, lens, starts, strict=True):
        for token in range(start, start + length):
            block = row[token // 4]
            pairs.append((block * 4 + token % 4 if block >= 0 else -1, at))
            at += 1
    expected = expect(src, dst, pairs)
    pair = pair_of(src, dst, streams)
    given = [torch.tensor(x) for x in (table, lens, starts)]
    pair.gather(src, dst, *given, None)
    assert same(dst, expected)
    with pytest.raises(SlotError, match="seq_lens"):
        pair.gather(src, dst, given[0], torch.tensor([8, 9]), None, None)
    assert same(dst, expected)


def test_write(streams):
    cache, writer = make("L | K B S H D", 3), PageableWriter(streams)
    key, value = (torch.randn(5, 2, 8).bfloat16() for _ in range(2))
    slots = torch.tensor([7, -1, 0, 11])
    expected = tokens_of(cache)
    for row, slot in enumerate(slots.tolist()):
        if slot >= 0:
            for plane, t in enumerate((key, value)):
                expected[1][plane][slot] = t[row].reshape(-1).view(torch.uint8)
    writer.write(cache, 1, key, value, slots, None)
    assert same(cache, expected)
    for wrong, error in (([0] * 6, ShapeError), ([3, 3], OverlapError), ([12], SlotError)):
        with pytest.raises(error, match="slot_mapping"):
            writer.write(cache, 1, key, value, torch.tensor(wrong), None)
    assert same(cache, expected)


def test_both_parts_of_one_plane(streams):
    cache, writer = make("L | B S D", 3), PageableWriter(streams)
    latent, rope = torch.randn(3, 10).bfloat16(), torch.randn(3, 6).bfloat16()
    expected = tokens_of(cache)
    for row, slot in enumerate((4, 2, 9)):
        both = torch.cat([latent[row], rope[row]])
        expected[0][0][slot] = both.view(torch.uint8)
    writer.write(cache, 0, latent, rope, torch.tensor([4, 2, 9]), None)
    assert same(cache, expected)
