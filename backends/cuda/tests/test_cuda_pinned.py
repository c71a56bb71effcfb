"""The pinned pool on the fake driver: page locks of the driver, streams that still use a block."""

from __future__ import annotations

import gc
import mmap
import os
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from accel import ArgumentError, DTypeError, MemRef, OutOfMemoryError, OverlapError, StateError

MIB = 1 << 20


@pytest.fixture
def pool(backend: Any) -> Iterator[Any]:
    from accel_cuda.pinned import CudaPinnedMemory

    made = CudaPinnedMemory(0)
    made.trim()
    yield made
    made.set_limit(0)
    gc.collect()
    made.trim()


@pytest.fixture
def held(backend: Any) -> Iterator[Any]:
    """``held(stream)`` stops the stream until the test ends, or until the result is set."""
    gates: list[threading.Event] = []

    def hold(stream: Any) -> threading.Event:
        gate = threading.Event()
        gates.append(gate)
        stream.add_callback(lambda: gate.wait(20))
        return gate

    yield hold
    for gate in gates:
        gate.set()
    backend.streams.synchronize()


def test_blocks_are_locked_by_the_driver(pool: Any, driver: Any) -> None:
    """One registration for a fresh block, none for a cached one, and one undone by trim."""
    before = driver.calls("cuMemHostRegister_v2")
    buffer = pool.allocate(3 * MIB)
    assert buffer.pinned
    assert driver.calls("cuMemHostRegister_v2") == before + 1
    assert pool.stats().locked == pool.stats().in_use >= 3 * MIB
    pointer = buffer.pointer
    buffer.free()
    again = pool.allocate(3 * MIB)
    assert again.pointer == pointer
    assert driver.calls("cuMemHostRegister_v2") == before + 1
    again.free()
    assert pool.trim() >= 3 * MIB
    # Unregistered: the same pages can be registered by somebody else.
    pool.allocate(3 * MIB).free()


def test_what_cannot_be_locked_is_an_error(pool: Any, driver: Any) -> None:
    """Nothing that only looks pinned is handed out; the statistics are as before."""
    before = pool.stats()
    driver.fail("cuMemHostRegister_v2", 2, times=-1)
    with pytest.raises(OutOfMemoryError, match="CUDA_ERROR_OUT_OF_MEMORY"):
        pool.allocate(MIB)
    with pytest.raises(OutOfMemoryError):
        pool.create_shared(MIB)
    driver.mend()
    after = pool.stats()
    assert (after.in_use, after.locked, after.shared) == (before.in_use, before.locked, 0)
    pool.allocate(MIB).free()


def test_cached_blocks_go_before_an_error(pool: Any, driver: Any) -> None:
    """A refused lock is tried again once the cache was given back."""
    pool.allocate(5 * MIB).free()
    assert pool.stats().cached > 0
    driver.fail("cuMemHostRegister_v2", 2, times=1)
    buffer = pool.allocate(MIB)
    assert pool.stats().cached == 0
    buffer.free()


def test_block_waits_for_recorded_streams(pool: Any, backend: Any, held: Any) -> None:
    stream = backend.streams.create()
    gate = held(stream)
    buffer = pool.allocate(MIB)
    pointer = buffer.pointer
    pool.record_stream(buffer, stream)
    buffer.free()
    others = [pool.allocate(MIB) for _ in range(3)]
    assert pointer not in [b.pointer for b in others]
    assert pool.stats().waits >= 1
    gate.set()
    stream.synchronize()
    assert pool.allocate(MIB).pointer == pointer


def test_record_covers_work_so_far(pool: Any, backend: Any, held: Any) -> None:
    """Work given after the record does not hold the block, whatever the stream does next."""
    stream = backend.streams.create()
    buffer = pool.allocate(MIB)
    pointer = buffer.pointer
    pool.record_stream(buffer, stream)
    stream.synchronize()
    held(stream)
    buffer.free()
    assert pool.allocate(MIB).pointer == pointer


def test_many_records_of_one_stream(pool: Any, backend: Any) -> None:
    """Events are used again: a thousand records need few of them."""
    stream = backend.streams.create()
    buffer = pool.allocate(4096)
    for _ in range(1000):
        pool.record_stream(buffer, stream)
    stream.synchronize()
    buffer.free()
    assert pool.allocate(4096).pointer != 0


def test_record_stream_refuses(pool: Any, backend: Any) -> None:
    buffer = pool.allocate(4096)
    for wrong in (None, 7, "stream"):
        with pytest.raises(DTypeError) as caught:
            pool.record_stream(buffer, wrong)
        assert caught.value.argument == "stream"
    with pytest.raises(ArgumentError) as caught:
        pool.record_stream(torch.empty(10), backend.streams.create())
    assert caught.value.argument == "memory"


def test_record_in_capture_is_refused(pool: Any, backend: Any) -> None:
    stream = backend.streams.create()
    buffer = pool.allocate(4096)
    with backend.streams.capture(stream):
        with pytest.raises(StateError, match="record_stream"):
            pool.record_stream(buffer, stream)


def test_register_takes_the_bytes(pool: Any, driver: Any) -> None:
    """Neighbours within one page register apart, and either can go first."""
    memory = mmap.mmap(-1, 16384)
    whole = torch.frombuffer(memory, dtype=torch.uint8)
    first, second = whole[100:1100], whole[1100:2100]
    pool.register(first)
    pool.register(second)
    assert pool.is_pinned(whole[100:2100])
    assert not pool.is_pinned(whole[:2100])
    with pytest.raises(OverlapError):
        pool.register(whole[1000:1200])
    pool.unregister(first)
    assert not pool.is_pinned(first)
    assert pool.is_pinned(second)
    pool.unregister(second)
    assert pool.stats().registered == 0


def test_registered_by_others(pool: Any, driver: Any) -> None:
    """What the driver has locked already is an OverlapError that says what to do."""
    memory = torch.zeros(8192, dtype=torch.uint8)
    driver.fail("cuMemHostRegister_v2", 712)
    with pytest.raises(OverlapError) as caught:
        pool.register(memory)
    assert caught.value.argument == "memory"
    assert "another library" in str(caught.value)
    assert pool.stats().registered == 0


def test_registered_memory_is_kept(pool: Any) -> None:
    """Locks go with the mapping, so the tensor lives until it is unregistered."""
    memory = torch.zeros(8192, dtype=torch.uint8)
    ghost = weakref.ref(memory)
    ref = MemRef(memory.data_ptr(), 8192, torch.device("cpu"))
    pool.register(memory)
    del memory
    gc.collect()
    assert ghost() is not None
    pool.unregister(ref)
    gc.collect()
    assert ghost() is None


def test_shared_segments_have_their_own_name(pool: Any) -> None:
    """Locks of shared segments are one library's: the CPU's pool must not take ours for orphans."""
    from accel_cpu.pinned import CpuPinnedMemory

    buffer = pool.create_shared(10_000)
    assert buffer.pinned
    assert buffer.handle.startswith("/accel-cuda-pinned-")
    second = pool.open_shared(buffer.handle)
    buffer.tensor()[:5] = torch.arange(5, dtype=torch.uint8)
    assert second.tensor()[:5].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ArgumentError):
        CpuPinnedMemory().open_shared(buffer.handle)
    second.free()
    buffer.free()
    assert pool.stats().shared == 0


def test_both_pools_in_one_process(pool: Any) -> None:
    """Buffers of one pool are not the other's, and each can be asked about the other's."""
    from accel_cpu.pinned import CpuPinnedMemory

    cpu = CpuPinnedMemory()
    ours, theirs = pool.allocate(5000), cpu.allocate(5000)
    assert pool.is_pinned(ours)
    assert not pool.is_pinned(theirs.tensor())
    assert not cpu.is_pinned(ours.tensor())
    theirs.free()
    ours.free()


def test_notes_name_the_nearest_node(pool: Any) -> None:
    assert any("NUMA" in note for note in pool.notes)


def test_fork(pool: Any, backend: Any) -> None:
    """A forked child has the bytes but no locks, and never calls the driver for them."""
    stream = backend.streams.create()
    buffer = pool.allocate(MIB)
    buffer.tensor()[:4] = torch.tensor([1, 2, 3, 4], dtype=torch.uint8)
    pool.record_stream(buffer, stream)
    child = os.fork()
    if child == 0:
        right = not buffer.pinned and buffer.tensor()[:4].tolist() == [1, 2, 3, 4]
        buffer.free()
        pool.trim()
        os._exit(0 if right else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert buffer.pinned
    stream.synchronize()
    buffer.free()


def test_concurrent_use(pool: Any, backend: Any) -> None:
    """Threads that allocate, record and free: no block is in two hands."""
    failures: list[str] = []

    def work(seed: int) -> None:
        stream = backend.streams.create()
        for i in range(60):
            size = 4096 * (1 + (seed * 7 + i) % 5)
            tensor = pool.empty(size, torch.uint8)
            tensor.fill_(seed)
            pool.record_stream(tensor, stream)
            if i % 3 == 0:
                stream.synchronize()
            if int(tensor.min()) != seed or int(tensor.max()) != seed:
                failures.append(f"thread {seed} found another's bytes")

    threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    gc.collect()
    assert pool.stats().in_use == 0
