"""Soak: sequences of a KV pool that start, fork, are rewritten, offloaded, brought back and end.

Everything goes through HostStaging and copy streams at random, every byte is checked, and memory,
pinned buffers and events stay flat. Some seconds by default, twenty minutes with ACCEL_SOAK=1;
ACCEL_SOAK_SEED repeats a run.
"""

from __future__ import annotations

import gc
import os
import random
import time
import weakref
from pathlib import Path
from typing import Any

import torch

import accel

SECONDS = 1200.0 if os.environ.get("ACCEL_SOAK") == "1" else 5.0
BLOCKS = 96
SHAPE: dict[str, Any] = dict(layers=2, heads=2, head_dim=32, dtype=torch.bfloat16, block_size=8)
BLOCK_BYTES = 2 * 2 * 2 * 32 * 2 * 8
MIB = 1 << 20


def resident() -> int:
    gc.collect()
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


class CountedEvents:
    """The backend's events, and how many of them are alive."""

    def __init__(self, events: Any) -> None:
        self._events = events
        self.alive: weakref.WeakSet[Any] = weakref.WeakSet()

    def create(self, **kinds: Any) -> Any:
        event = self._events.create(**kinds)
        self.alive.add(event)
        return event


class Counted:
    """The backend with counted events."""

    def __init__(self, backend: accel.Backend) -> None:
        self._backend = backend
        self.events = CountedEvents(backend.events)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


def payload(tag: int) -> torch.Tensor:
    """The bytes of a block with this tag."""
    generator = torch.Generator().manual_seed(tag)
    return torch.randint(0, 256, (BLOCK_BYTES,), dtype=torch.uint8, generator=generator)


class Engine:
    """What a serving engine does with its KV cache, in no order."""

    def __init__(self, backend: Any, draw: random.Random) -> None:
        self.backend, self.draw = backend, draw
        self.pool = accel.KVPool(backend, BLOCKS * BLOCK_BYTES, layout="cross_layer", **SHAPE)
        assert self.pool.blocks == BLOCKS
        raw = self.pool.cache.tensors[0].view(torch.uint8)
        self.rows = raw.flatten(1)  # a row is a block
        self.compute = backend.streams.create()
        self.stagings = [
            accel.HostStaging(backend, chunk_bytes=4096, buffers=3, direct=False),
            accel.HostStaging(backend),
        ]
        self.live: list[tuple[list[int], list[int]]] = []  # blocks, tags
        self.away: list[tuple[list[Any], list[int]]] = []  # copies on the host, tags
        self.tag = 0
        self.checked = 0

    def staging(self) -> accel.HostStaging:
        return self.draw.choice(self.stagings)

    def write(self, blocks: list[int]) -> list[int]:
        tags = []
        for block in blocks:
            self.tag += 1
            tags.append(self.tag)
            data = payload(self.tag)
            how = self.draw.randrange(3)
            if how == 0:
                with accel.copy_stream(self.backend, self.rows, compute=self.compute) as copies:
                    self.backend.memcpy.copy_async(self.rows[block], data, copies)
            elif how == 1:
                self.staging().copy_to_device_async(data, self.rows[block], self.compute)
            else:
                self.backend.memcpy.copy_async(self.rows[block], data, self.compute)
        return tags

    def check(self, copies: list[Any], tags: list[int]) -> None:
        for copy, tag in zip(copies, tags, strict=True):
            assert torch.equal(copy.result(), payload(tag)), f"a block with tag {tag}"
            self.checked += BLOCK_BYTES

    def to_host(self, blocks: list[int]) -> list[Any]:
        return [self.staging().copy_to_host_async(self.rows[b], None, self.compute) for b in blocks]

    def begin(self) -> None:
        n = self.draw.randint(1, 12)
        try:
            blocks = self.pool.allocate(n)
        except accel.OutOfBlocksError:
            return
        self.live.append((blocks, self.write(blocks)))

    def fork(self) -> None:
        blocks, tags = self.draw.choice(self.live)
        n = self.draw.randint(0, len(blocks))
        self.pool.retain(blocks[:n])
        self.live.append((blocks[:n], tags[:n]))

    def rewrite(self) -> None:
        i = self.draw.randrange(len(self.live))
        blocks, tags = self.live[i]
        n = self.draw.randint(0, len(blocks))
        try:
            mine = self.pool.make_writable(blocks[n:], stream=self.compute)
        except accel.OutOfBlocksError:
            return
        self.live[i] = (blocks[:n] + mine, tags[:n] + self.write(mine))

    def offload(self) -> None:
        blocks, tags = self.live.pop(self.draw.randrange(len(self.live)))
        self.away.append((self.to_host(blocks), tags))
        self.pool.release(blocks, after=self.compute)

    def bring_back(self) -> None:
        copies, tags = self.away.pop(self.draw.randrange(len(self.away)))
        self.check(copies, tags)
        try:
            blocks = self.pool.allocate(len(copies))
        except accel.OutOfBlocksError:
            return
        for copy, block in zip(copies, blocks, strict=True):
            self.staging().copy_to_device_async(copy.result(), self.rows[block], self.compute)
        self.live.append((blocks, tags))

    def end(self) -> None:
        blocks, tags = self.live.pop(self.draw.randrange(len(self.live)))
        self.check(self.to_host(blocks), tags)
        self.pool.release(blocks, after=self.draw.choice([None, self.compute]))

    def step(self) -> None:
        choices = [self.begin]
        if self.live:
            choices += [self.fork, self.rewrite, self.offload, self.end]
        if self.away:
            choices += [self.bring_back]
        self.draw.choice(choices)()
        free, used, pending = self.pool._references.counts()
        assert free + used + pending == BLOCKS

    def finish(self) -> None:
        while self.live:
            self.end()
        while self.away:
            copies, tags = self.away.pop()
            self.check(copies, tags)
        self.compute.synchronize()
        assert (self.pool.free, self.pool.used, self.pool.pending) == (BLOCKS, 0, 0)

    def close(self) -> None:
        for staging in self.stagings:
            staging.close()


def test_soak() -> None:
    backend = accel.get_backend("cpu")
    counted = Counted(backend)
    seed = int(os.environ.get("ACCEL_SOAK_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"ACCEL_SOAK_SEED={seed}")
    draw = random.Random(seed)
    gc.collect()
    pinned = backend.pinned.stats().in_use
    start, before, engines, checked = time.monotonic(), None, 0, 0
    while time.monotonic() - start < SECONDS:
        engine = Engine(counted, draw)
        for _ in range(400):
            engine.step()
            assert backend.pinned.stats().in_use - pinned <= 3 * engine.stagings[0].nbytes
        engine.finish()
        engine.close()
        checked += engine.checked
        engines += 1
        del engine
        if before is None and time.monotonic() - start > SECONDS / 4:
            before = resident()
    assert before is not None
    grown = (resident() - before) / MIB
    backend.streams.synchronize()
    gc.collect()
    print(f"{engines} engines, {checked >> 20} MiB checked, resident memory {grown:+.1f} MiB")
    assert checked > 0
    assert grown < 24, f"resident memory grew by {grown:.1f} MiB"
    assert backend.pinned.stats().in_use == pinned, "pinned memory was not given back"
    # What the last copy_stream kept goes with the next one.
    with accel.copy_stream(counted):  # type: ignore[arg-type]
        pass
    gc.collect()
    assert len(counted.events.alive) <= 4, f"{len(counted.events.alive)} events are alive"
