"""What the sanitizer costs: nothing when off, bounded memory and time when on."""

from __future__ import annotations

import statistics
import threading
import time
import tracemalloc
from typing import Any

import pytest
import torch

import accel
from accel import KVCache, StreamSanitizer


@pytest.fixture
def backend() -> accel.Backend:
    return accel.get_backend("cpu")


def step_of_a_server(b: accel.Backend, tokens: int, layers: int) -> Any:
    """Offload scattered tokens and fetch others, on a stream of its own, and wait."""
    device = KVCache.allocate(
        "L K | B S H D", layers=layers, blocks=256, block_size=16, heads=8, head_dim=64,
        dtype=torch.bfloat16,
    )  # fmt: skip
    host = KVCache.allocate(
        "L K | T H D", layers=layers, blocks=256, block_size=16, heads=8, head_dim=64,
        dtype=torch.bfloat16,
    )  # fmt: skip
    stream, compute = b.streams.create(), b.streams.create()

    def step() -> None:
        order = torch.randperm(4096)
        here, there = order[:tokens], order[-tokens:]
        stream.wait_stream(compute)
        b.kv.transfer(device, host, here, there, stream=stream)
        b.kv.transfer(host, device, there, here, stream=stream)
        compute.wait_event(stream.record_event())
        compute.synchronize()

    return step


def median(step: Any, rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        step()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


@pytest.mark.parametrize(("tokens", "layers"), [(256, 16), (1024, 32)])
def test_a_kv_workload_slows_down_by_less_than_ten(
    backend: accel.Backend, tokens: int, layers: int
) -> None:
    """Processor time of all threads, so that other tests on this machine do not count."""
    step = step_of_a_server(backend, tokens, layers)
    median(step, 5)
    off = median(step, 15)
    with StreamSanitizer(backend, raising=True) as sanitizer:
        median(step, 5)
        on = median(step, 15)
    assert sanitizer.reports == []
    assert on < 10 * off, f"{off * 1e3:.2f} ms without, {on * 1e3:.2f} ms with"


def test_long_runs_stay_flat(backend: accel.Backend) -> None:
    """Random ranges, slots, temporaries, events and callbacks: history is pruned."""
    draw = torch.Generator().manual_seed(5)
    cache = KVCache.allocate(
        "L K | B S H D", layers=2, blocks=64, block_size=16, heads=2, head_dim=8,
        dtype=torch.float16,
    )  # fmt: skip
    other = KVCache.allocate(
        "L K | T H D", layers=2, blocks=64, block_size=16, heads=2, head_dim=8,
        dtype=torch.float16,
    )  # fmt: skip
    ring, whole = backend.streams.create(), torch.zeros(4000, dtype=torch.uint8)
    compute = backend.streams.create()

    def round_of_work() -> None:
        for _ in range(50):
            lo, n = torch.randint(1, 2000, (2,), generator=draw).tolist()
            ring.wait_stream(compute)
            backend.memcpy.copy_async(whole[lo : lo + n], torch.zeros(n, dtype=torch.uint8), ring)
            slots = torch.randperm(1024, generator=draw)[:37]
            backend.kv.transfer(cache, other, slots, slots, stream=ring)
            ring.add_callback(lambda: None)
            compute.wait_event(ring.record_event())
            backend.memcpy.fill(whole[lo : lo + 7], 3, compute)
            with backend.stream(compute):
                whole[: n // 2].sum()

    peaks = []
    tracemalloc.start()
    with StreamSanitizer(backend, raising=True) as sanitizer:
        for _ in range(3):
            tracemalloc.reset_peak()
            for _ in range(20):  # nobody waits on the host: everything is ordered by events
                round_of_work()
            peaks.append(tracemalloc.get_traced_memory()[1])
        backend.streams.synchronize()
    tracemalloc.stop()
    assert sanitizer.reports == []
    assert peaks[2] < 1.1 * peaks[1], f"peaks of three equal parts: {peaks}"


def test_streams_and_threads_that_come_and_go_leave_nothing(backend: accel.Backend) -> None:
    dst, src = torch.zeros(100), torch.zeros(100)

    def work() -> None:
        stream = backend.streams.create()
        backend.memcpy.copy_async(dst, src, stream)
        stream.synchronize()

    with StreamSanitizer(backend, raising=True) as sanitizer:
        for _ in range(200):
            work()
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        recorder = sanitizer._recorder
        assert recorder is not None
        assert len(recorder.streams()) < 200
        assert len(recorder.host().clock) < 300  # of 600 timelines
