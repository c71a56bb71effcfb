"""Random use of pipelines for long: every byte checked, memory flat, nothing left behind.

A few seconds by default, ten minutes with ACCEL_SOAK=1; ACCEL_STRESS_SEED repeats a run.
"""

from __future__ import annotations

import gc
import os
import random
import time
import weakref

import torch

from accel import LayerPipeline

SECONDS = 600.0 if os.environ.get("ACCEL_SOAK") == "1" else 3.0


def resident():
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def random_use(cpu, dice):
    """One pipe, several passes, from pinned memory; wrong bytes fail."""
    count = dice.randrange(1, 9)
    back, synchronous = dice.random() < 0.5, dice.random() < 0.2
    hosts = [cpu.pinned.empty((dice.randrange(1, 200_000),), torch.uint8) for _ in range(count)]
    values = [dice.randrange(256) for _ in hosts]
    for host, value in zip(hosts, values, strict=True):
        host.fill_(value)
    compute = cpu.streams.create(priority=dice.choice((0, -1)))
    seen = []
    pipe = LayerPipeline(
        cpu, hosts, dice.randrange(1, 5), stream=compute, write_back=back, synchronous=synchronous
    )
    with pipe:
        for _ in range(dice.randrange(1, 5)):
            stop = dice.randrange(2 * count)
            for layer in pipe:
                out = torch.empty_like(layer.tensors)
                cpu.memcpy.copy_async(out, layer.tensors, compute)
                seen.append((out, values[layer.index]))
                if dice.random() < 0.3:
                    (compute, pipe.copy_stream)[dice.randrange(2)].add_callback(
                        lambda: time.sleep(0.0005)
                    )
                if layer.index == stop:
                    break
                if back:
                    values[layer.index] = value = dice.randrange(256)
                    cpu.memcpy.fill(layer.tensors, value, compute)
                if dice.random() < 0.3:
                    layer.release()
            if dice.random() < 0.3 and not synchronous:
                pipe.prefetch()
    compute.synchronize()
    for out, value in [*seen, *zip(hosts, values, strict=True)]:
        assert bool((out == value).all())
    assert pipe.report().layers
    return len(seen)


def test_soak(cpu, monkeypatch):
    seed = int(os.environ.get("ACCEL_STRESS_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"ACCEL_STRESS_SEED={seed}")
    dice = random.Random(seed)
    events, create = [], cpu.events.create
    monkeypatch.setattr(cpu.events, "create", lambda **kw: _noted(events, create(**kw)))
    for _ in range(20):  # caches and pools fill
        random_use(cpu, dice)
    gc.collect()
    events.clear()
    before, pinned = resident(), cpu.pinned.stats().in_use
    layers = uses = 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        layers += random_use(cpu, dice)
        uses += 1
        if uses % 100 == 0:
            gc.collect()
            events[:] = [e for e in events if e() is not None]
    gc.collect()
    assert uses > 10
    assert cpu.pinned.stats().in_use == pinned, "pinned buffers of closed pipes are still held"
    alive = sum(e() is not None for e in events)
    assert alive == 0, f"{alive} events of closed pipes are still there"
    grown = resident() - before
    print(f"{uses} pipes, {layers} layers, resident memory grew by {grown >> 10} KiB")
    assert grown < 48 << 20


def _noted(events, event):
    events.append(weakref.ref(event))
    return event
