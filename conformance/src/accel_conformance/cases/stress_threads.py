"""Stress: many threads on the same streams and the same pool."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import torch

from accel import Backend, Capability, OutOfMemoryError, PinnedBuffer
from accel_conformance.byte_compare import assert_same_bytes
from accel_conformance.case import case
from accel_conformance.fixtures import Effort, Guards, RandomTensor
from accel_conformance.resident_memory import resident_bytes

COPIES = [Capability.STREAMS, Capability.COPY]
MIB = 1 << 20


def _in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run ``work(i)`` in ``count`` threads; the first error of any is raised here."""
    errors: list[BaseException] = []

    def guarded_work(index: int) -> None:
        try:
            work(index)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded_work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@case(level=4, needs=[*COPIES, Capability.EVENTS], seconds=300)
def test_threads_share_streams(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor, effort: Effort
) -> None:
    """Six threads submit to the same three streams: each finds its own chain of copies intact."""
    streams = [backend.streams.create() for _ in range(3)]
    rounds = effort(400, 60)
    sources = random_tensor((6, 2048))
    buffers = [[guarded(2048) for _ in range(4)] for _ in range(6)]

    def work(index: int) -> None:
        chain = buffers[index]
        event = backend.events.create()
        for i in range(rounds):
            first, second = streams[(index + i) % 3], streams[(index + i + 1) % 3]
            backend.memcpy.copy_async(chain[0], sources[index], first)
            backend.memcpy.copy_async(chain[1], chain[0], first)
            event.record(first)
            second.wait_event(event)
            backend.memcpy.copy_async(chain[2], chain[1], second)
            backend.memcpy.copy_async(chain[3], chain[2], second)
            done = second.record_event()
            done.synchronize()
            assert done.query()
            if not torch.equal(chain[3], sources[index]):
                raise AssertionError(f"thread {index}, round {i}: wrong bytes")
            first.query()

    _in_threads(6, work)
    for index in range(6):
        assert_same_bytes(buffers[index][3], sources[index])


@case(level=4, needs=COPIES, seconds=300)
def test_threads_use(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor, effort: Effort
) -> None:
    """Threads enter their own streams and one that all share, and compute with torch inside."""
    shared = backend.streams.create()
    rounds = effort(150, 30)
    sources = random_tensor((4, 4096))
    targets = guarded((4, 4096))

    def work(index: int) -> None:
        own = backend.streams.create()
        scratch = torch.empty_like(sources[index])
        for i in range(rounds):
            with backend.stream(own):
                torch.bitwise_xor(sources[index], i % 256, out=scratch)
            shared.wait_stream(own)
            with backend.stream(shared):
                backend.memcpy.copy_async(targets[index], scratch)
            own.wait_stream(shared)
        shared.synchronize()

    _in_threads(4, work)
    expected = sources.cpu().bitwise_xor((rounds - 1) % 256)
    assert_same_bytes(targets, expected)


@case(level=4, needs=[*COPIES, Capability.PINNED], seconds=300)
def test_pinned_churn(
    backend: Backend, seed: int, random_tensor: RandomTensor, effort: Effort
) -> None:
    """Threads allocate, copy and free under a bound: no byte goes astray, the bound holds."""
    pool = backend.pinned
    pool.trim()
    start = pool.stats()
    limit = start.in_use + start.cached + 24 * MIB
    rounds = effort(400, 60)
    device_data = random_tensor((4, 2 * MIB))
    pool.set_limit(limit)
    refused = [0] * 4

    def work(index: int) -> None:
        draw = random.Random(seed + index)
        stream = backend.streams.create()
        kept: list[tuple[PinnedBuffer, int]] = []
        for _ in range(rounds):
            size = draw.choice((1, 100, 4096, 70_000, MIB, 2 * MIB))
            try:
                buffer = pool.allocate(size)
            except OutOfMemoryError:
                refused[index] += 1
                kept.clear()
                continue
            backend.memcpy.copy_async(buffer.tensor(), device_data[index][:size], stream)
            if draw.random() < 0.5:
                kept.append((buffer, size))
            del buffer
            if len(kept) > 4:
                stream.synchronize()
                for held, length in kept:
                    if not torch.equal(held.tensor(), host[index][:length]):
                        raise AssertionError(f"thread {index}: a block lost its bytes")
                kept.clear()
            now = pool.stats()
            assert now.in_use + now.cached <= limit, "the bound does not hold"
        stream.synchronize()

    host = device_data.cpu()
    try:
        _in_threads(4, work)
    finally:
        pool.set_limit(start.limit)
    backend.streams.synchronize()
    pool.trim()
    end = pool.stats()
    assert end.in_use == start.in_use, "blocks were lost"


@case(level=4, needs=[*COPIES, Capability.STREAM_CALLBACK], seconds=300)
def test_memory_flat(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor, effort: Effort
) -> None:
    """Copies, callbacks and refused calls by the thousand leave no memory behind."""
    stream = backend.streams.create()
    src, dst = random_tensor(256), guarded(256)
    wrong = torch.empty(3, dtype=torch.uint8, device=backend.device)

    def burst(count: int) -> None:
        for i in range(count):
            backend.memcpy.copy_async(dst, src, stream)
            stream.add_callback(bytes)
            if i % 50 == 0:
                try:
                    backend.memcpy.copy_async(wrong, src, stream)
                except ValueError:
                    pass
                else:
                    raise AssertionError("a copy of another shape was accepted")
            if i % 500 == 0:
                stream.synchronize()
        stream.synchronize()

    burst(effort(4000, 1000))
    before = resident_bytes()
    burst(effort(20_000, 4000))
    after = resident_bytes()
    assert_same_bytes(dst, src)
    if before is not None and after is not None:
        grown = (after - before) / MIB
        assert grown < 8, f"resident memory grew by {grown:.1f} MiB"
