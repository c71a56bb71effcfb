"""The ACL copies that transfers are made of: the right bytes, and no more calls than pages."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import accel
from accel.errors import AccelError
from accel.kv import KVCache
from accel.kv.plan import plan_transfer

native = pytest.importorskip("accel_ascend._native", reason="accel-ascend's native part")

LAYOUTS = (
    "vllm_nhd", "vllm_hnd", "flashinfer", "sglang_layer_first", "sglang_page_first",
    "sglang_page_head", "lmcache_object", "vllm_cross_layer", "| B L K H S D", "| L B K S H D",
)  # fmt: skip
Call = tuple[int, int, int, int, int, int]


def _calls(src: KVCache, dst: KVCache, read: list[int], write: list[int], grain: str) -> list[Call]:
    plan = plan_transfer(src.geometry, dst.geometry, grain)  # type: ignore[arg-type]
    made = native.kv.page_copies(
        plan.layers, plan.pack(), list(src.pointers), list(dst.pointers), read, write
    )
    return [tuple(call) for call in made]  # type: ignore[misc]


def _run(calls: list[Call]) -> None:
    """Do the copies, on the host."""
    from ctypes import memmove

    for dst, src, dst_pitch, src_pitch, width, height in calls:
        assert height == 1 or (dst_pitch >= width and src_pitch >= width)
        for row in range(height):
            memmove(dst + row * dst_pitch, src + row * src_pitch, width)


def _caches(src: str, dst: str, **size: int) -> tuple[KVCache, KVCache]:
    made = []
    for layout in (src, dst):
        cache = KVCache.allocate(layout, dtype=torch.int16, **size)
        for t in cache.tensors:
            t.random_()
        made.append(cache)
    return made[0], made[1]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS))
def test_copies_are_the_transfer(seed: int, src_name: str, dst_name: str) -> None:
    """Both grains, runs of neighbours and single units, against the reference."""
    dice = random.Random(seed)
    torch.manual_seed(seed)
    size = {
        "layers": dice.randint(1, 3), "blocks": dice.randint(1, 5),
        "block_size": dice.choice([1, 4]), "heads": dice.randint(1, 2), "head_dim": 4,
    }  # fmt: skip
    src, dst = _caches(src_name, dst_name, **size)
    grain = dice.choice(["token", "block"])
    units = size["blocks"] * (size["block_size"] if grain == "token" else 1)
    count = dice.randint(1, units)
    first = dice.randint(0, units - count)
    read = [first + i for i in range(count)]
    write = list(read) if dice.random() < 0.5 else dice.sample(range(units), count)
    before = [t.clone() for t in dst.tensors]
    lists = torch.tensor(read), torch.tensor(write)
    try:
        accel.get_backend("cpu-reference").kv.transfer(src, dst, *lists, grain=grain)  # type: ignore[arg-type]
    except AccelError:
        return
    wanted = [t.clone() for t in dst.tensors]
    for t, old in zip(dst.tensors, before, strict=True):
        t.copy_(old)
    _run(_calls(src, dst, read, write, grain))
    for t, expected in zip(dst.tensors, wanted, strict=True):
        assert torch.equal(t, expected), (seed, grain, read, write)


SIZE = {"layers": 4, "blocks": 8, "block_size": 16, "heads": 2, "head_dim": 32}


@pytest.mark.parametrize(
    ("device", "host", "each"),
    [
        ("| L B K S H D", "| B L K S H D", 1),  # layers over pages to a page's layers
        ("vllm_cross_layer", "vllm_cross_layer", 1),
        ("| L K B S H D", "| B L K S H D", 1),
        ("| L K B S H D", "| K L B S H D", 2),
        ("vllm_nhd", "vllm_cross_layer", 4),  # an allocation for every layer: batched on CANN 8.5
    ],
)
def test_pitched_calls_of_a_page(device: str, host: str, each: int) -> None:
    """Pages of one allocation take one pitched call for all layers and planes."""
    src, dst = _caches(device, host, **SIZE)
    pages = [6, 1, 3, 0]
    calls = _calls(src, dst, pages, [3, 7, 0, 5], "block")
    assert len(calls) == each * len(pages)
    assert sum(c[4] * c[5] for c in calls) == len(pages) * 4 * 2 * 16 * 2 * 32 * 2


def test_neighbours_go_together() -> None:
    """Pages and tokens that follow one another on both sides are one call, not one each."""
    src, dst = _caches("| L K B S H D", "| L K B S H D", **SIZE)
    assert len(_calls(src, dst, [2, 3, 4, 5], [0, 1, 2, 3], "block")) == 1
    tokens = list(range(16, 48))
    assert len(_calls(src, dst, tokens, tokens, "token")) == 1
    flat = KVCache.allocate("lmcache_object", dtype=torch.int16, **SIZE)
    # The planes of the other lie outside its layers: a call for each.
    assert len(_calls(src, flat, tokens, list(range(32)), "token")) == 2
