"""Random KV work on random layouts under several streams, against plain indexing."""

from __future__ import annotations

import random
import time

import pytest
import torch

from accel import Backend, Capability
from accel_conformance.case import case
from accel_conformance.fixtures import Effort, ReportProperty
from accel_conformance.guards import Memory
from accel_conformance.kv_expected import Expectation, blocks_to_tokens
from accel_conformance.kv_inputs import FORMS, LabelledCache, distinct_layouts
from accel_conformance.kv_shapes import DTYPES, KVShape
from accel_conformance.kv_work import KVWork, expect_write, kv_work

kv = kv_work

ALL_KV = [
    Capability.KV_TRANSFER,
    Capability.KV_TRANSFER_BLOCKS,
    Capability.KV_WRITE,
    Capability.KV_COPY_BLOCKS,
    Capability.KV_SWAP_BLOCKS,
]


class _World:
    """Some caches of one shape, some streams, and what the caches must hold in the end.

    A cache is only used on the stream it was used on last, or after a wait for that stream.
    """

    def __init__(self, kv: KVWork, seed: int) -> None:
        self.kv, self.dice = kv, random.Random(seed)
        pick = self.dice.choice
        planes = pick([1, 2])
        self.shape = KVShape(
            "random", pick([1, 2, 3]), pick([1, 2, 5, 9]), pick([1, 3, 4, 16]),
            pick([1, 2, 3, 5, 7]), pick([1, 3, 8, 16, 80]), planes,
        )  # fmt: skip
        self.dtype = pick(DTYPES)
        names = list(distinct_layouts(planes))
        memories: list[Memory] = ["device", "device", "host"]
        self.caches: list[LabelledCache] = [
            kv.make(
                pick(names), self.shape, self.dtype, memory=pick(memories), form=pick(FORMS),
                separate=pick([False, True]),
            )
            for _ in range(4)
        ]  # fmt: skip
        streams = kv.backend.streams
        self.streams = [streams.create() for _ in range(3)]
        self.last = dict.fromkeys(range(4), 0)
        self.expected = Expectation(*self.caches)

    def step(self) -> str:
        """Queue one call; returns what it was."""
        dice, kv = self.dice, self.kv
        a, b = dice.sample(range(4), 2)
        src, dst = self.caches[a], self.caches[b]
        here = dice.randrange(3)
        stream = self.streams[here]
        kind = dice.choice(["transfer", "transfer", "blocks", "swap", "copy", "write"])
        used = (a, b) if kind in ("transfer", "blocks", "swap") else (b,)
        for cache in used:
            if self.last[cache] != here:
                stream.wait_event(self.streams[self.last[cache]].record_event())
            self.last[cache] = here
        size, index = self.shape.block_size, dice.choice([torch.int32, torch.int64])
        if kind == "transfer":
            pairs = kv.pairs(src.slots, dst.slots)
            self.expected.move(src, dst, pairs)
            kv.call_transfer(src, dst, pairs, stream=stream, dtype=index)
        elif kind in ("blocks", "swap"):
            pairs = kv.pairs(self.shape.blocks, self.shape.blocks)
            self.expected.move(src, dst, blocks_to_tokens(pairs, size))
            if kind == "blocks":
                kv.call_transfer(src, dst, pairs, grain="block", stream=stream, dtype=index)
            else:
                mapping = kv.indices(pairs, index)
                kv.backend.kv.swap_blocks(src.cache, dst.cache, mapping, stream=stream)
        elif kind == "copy":
            half = self.shape.blocks // 2
            pairs = [(dice.randrange(half, self.shape.blocks), i) for i in range(half)]
            self.expected.move(dst, dst, blocks_to_tokens(pairs, size))
            mapping = kv.indices(pairs, index).reshape(-1, 2)
            kv.backend.kv.copy_blocks(dst.cache, mapping, stream=stream)
        elif dst.cache.device == kv.backend.device:  # new tokens come from the device
            self._write(b, stream, index)
        return kind

    def _write(self, which: int, stream: object, index: torch.dtype) -> None:
        dice, kv, cache = self.dice, self.kv, self.caches[which]
        slots = dice.sample(range(cache.slots), dice.randint(0, cache.slots))
        slots = [-1 if dice.random() < 0.1 else s for s in slots]
        extra = dice.choice([0, 3])
        form = dice.choice(["plain", "fused", "heads-first", "stepped"])
        extents = (self.shape.heads, self.shape.head_dim)
        new = [kv.rows(len(slots) + extra, extents, self.dtype, form) for _ in cache.planes]
        new = [t.to(cache.cache.device) for t in new]
        value = new[1] if len(new) == 2 else None
        layer = dice.randrange(self.shape.layers)
        expect_write(self.expected, cache, layer, new[0], value, slots)
        kv.backend.kv.write(
            cache.cache,
            layer,
            new[0],
            value,
            kv.indices(slots, index),
            stream=stream,  # type: ignore[arg-type]
        )

    def finish(self) -> None:
        """Wait, and compare every byte."""
        for stream in self.streams:
            stream.synchronize()
        self.expected.check()


@case(level=4, needs=[*ALL_KV, Capability.STREAMS, Capability.EVENTS], seconds=120)
@pytest.mark.parametrize("part", range(3))
def test_random_kv_work(
    kv: KVWork,
    backend: Backend,
    seed: int,
    effort: Effort,
    report_property: ReportProperty,
    part: int,
) -> None:
    """Random calls between random caches on three streams for some seconds; every byte compared."""
    end = time.monotonic() + effort(3, 1)
    worlds = calls = 0
    while time.monotonic() < end or worlds < 5:
        world = _World(kv, seed + worlds)
        done: list[str] = []
        try:
            done += [world.step() for _ in range(30)]
            world.finish()
        except AssertionError as error:
            shape = (world.shape, world.dtype, [c.cache.layout for c in world.caches])
            raise AssertionError(f"world {worlds} {shape} after {done}: {error}") from error
        worlds += 1
        calls += len(done)
    report_property("kv_stress_calls", calls)
