"""What copies hold, in streams and in graphs, and what is left when they fail."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from cuda_shim.device_memory import contents, pinned, random_bytes

from accel import (
    MemRef,
    StateError,
)
from accel_cuda.errors import DriverError

HOST = torch.device("cpu")
MIB = 1 << 20


def test_captured_copies_replay(
    backend: Any, memcpy: Any, pool: Any, memory: Any, driver: Any
) -> None:
    """A graph holds what its copies use, and moves the bytes that are there at each replay."""
    stream = backend.streams.create()
    source, target = pinned(pool, random_bytes(1000)), pinned(pool, random_bytes(1000))
    device = memory.empty(1000)
    watched = target
    in_use = pool.stats().in_use
    with backend.streams.capture(stream) as graph:
        memcpy.copy_async(device, source, stream)
        memcpy.fill(MemRef(device.pointer + 900, 100, device.device, owner=device), 3, stream)
        memcpy.copy_async(target, device, stream)
        memcpy.copy_async(source[:10:2], target[500:505], stream)
    data = random_bytes(1000)
    source.copy_(torch.from_numpy(data))
    del source, target
    gc.collect()
    assert pool.stats().in_use == in_use, "the graph does not hold its pinned operands"
    graph.replay(stream)
    stream.synchronize()
    data[900:] = 3
    assert np.array_equal(watched.numpy(), data)
    del graph, watched
    gc.collect()
    stream.synchronize()
    gc.collect()
    pool.stats()


@pytest.mark.parametrize("strided", [False, True])
def test_captures_refuse_pageable_memory(
    backend: Any, memcpy: Any, memory: Any, pool: Any, strided: bool
) -> None:
    """Refused by name, and the capture goes on."""
    stream = backend.streams.create()
    host = torch.zeros((10, 10), dtype=torch.uint8)
    locked = pool.empty((10, 10), torch.uint8)
    step = 2 if strided else 1
    with backend.streams.capture(stream) as graph:
        for dst, src in [(host, locked), (locked, host)]:
            with pytest.raises(StateError, match="pageable"):
                memcpy.copy_async(dst[:, ::step], src[:, ::step], stream)
        with pytest.raises(StateError, match="pageable"):
            memcpy.fill(host[:, ::step], 1, stream)
        with pytest.raises(StateError, match="copy"):
            memcpy.copy(locked, locked.clone(), stream)
        memcpy.fill(locked, 5, stream)
    graph.replay(stream)
    stream.synchronize()
    assert (locked == 5).all()


class Owner:
    pass


def test_owners_are_kept_and_released(backend: Any, memcpy: Any, memory: Any) -> None:
    stream = backend.streams.create()
    gate = threading.Event()
    stream.add_callback(lambda: gate.wait(20))
    owner = Owner()
    ghost = weakref.ref(owner)
    src, dst = memory.empty(100, owner=owner), memory.empty(100)
    memcpy.copy_async(dst, src, stream)
    del owner, src
    gc.collect()
    assert ghost() is not None
    gate.set()
    stream.synchronize()
    gc.collect()
    assert ghost() is None


def test_pinned_blocks_are_not_reused_under_a_copy(
    backend: Any, memcpy: Any, pool: Any, memory: Any
) -> None:
    """The block of a dropped tensor waits for the copy; the tensor itself is not held."""
    stream = backend.streams.create()
    gate = threading.Event()
    stream.add_callback(lambda: gate.wait(20))
    data = random_bytes(MIB)
    tensor, device = pinned(pool, data), memory.empty(MIB)
    pointer = tensor.data_ptr()
    memcpy.copy_async(device, tensor, stream)
    del tensor
    gc.collect()
    others = [pool.empty(MIB, torch.uint8).fill_(0) for _ in range(3)]
    assert pointer not in [other.data_ptr() for other in others]
    gate.set()
    stream.synchronize()
    assert np.array_equal(contents(device), data)
    assert pointer in [pool.empty(MIB, torch.uint8).data_ptr() for _ in range(1)]


def test_blocks_freed_in_a_capture(
    backend: Any, memcpy: Any, pool: Any, memory: Any, driver: Any
) -> None:
    """No event can be recorded then: the block waits until the capture has ended, which it does
    not disturb."""
    stream = backend.streams.create()
    tensor, device = pinned(pool, random_bytes(MIB)), memory.empty(MIB)
    pointer = tensor.data_ptr()
    memcpy.copy_async(device, tensor, stream)
    with backend.streams.capture(stream) as graph:
        memcpy.fill(device, 3, stream)
        del tensor
        gc.collect()
        others = [pool.empty(MIB, torch.uint8) for _ in range(3)]
        assert pointer not in [other.data_ptr() for other in others]
    graph.replay(stream)
    stream.synchronize()
    assert (contents(device) == 3).all()
    assert pool.empty(MIB, torch.uint8).data_ptr() not in (0, *[o.data_ptr() for o in others])
    pool.trim()
    assert pointer not in [other.data_ptr() for other in others]


def test_events_are_shared(backend: Any, memcpy: Any, pool: Any, memory: Any, driver: Any) -> None:
    """Copies of pinned memory record no event; those with owners one for many of them."""
    stream = backend.streams.create()
    tensor, device = pinned(pool, random_bytes(100)), memory.empty(100)
    bare = MemRef(device.pointer, 100, device.device)
    before = driver.calls("cuEventRecord")
    for _ in range(64):
        memcpy.copy_async(bare, tensor, stream)
    assert driver.calls("cuEventRecord") == before
    owners = [Owner() for _ in range(64)]
    ghosts = [weakref.ref(owner) for owner in owners]
    for owner in owners:
        memcpy.copy_async(MemRef(device.pointer, 100, device.device, owner=owner), tensor, stream)
    assert driver.calls("cuEventRecord") <= before + 4
    del owner, owners
    stream.synchronize()
    gc.collect()
    assert not any(ghost() is not None for ghost in ghosts)


def test_a_failing_driver_is_said(
    backend: Any, memcpy: Any, pool: Any, memory: Any, driver: Any
) -> None:
    """The error names the driver's function; the next call works."""
    data = random_bytes(500)
    src, dst, locked = memory.put(data), memory.empty(500), pinned(pool, data)
    stream = backend.streams.create()
    for entry, call in [
        ("cuMemcpyAsync", lambda: memcpy.copy_async(dst, locked, stream)),
        ("cuMemsetD8Async", lambda: memcpy.fill(dst, 1, stream)),
        ("cuLaunchKernel", lambda: memcpy.copy_batch([dst], [src], stream)),
    ]:
        driver.fail(entry, 1)
        with pytest.raises(DriverError, match=entry):
            call()
        driver.mend()
        call()
    stream.synchronize()
    assert np.array_equal(contents(dst), data)


def test_memory_info(memcpy: Any) -> None:
    info = memcpy.memory_info()
    assert (info.free, info.total) == (3 << 30, 4 << 30)


def test_notes_and_capabilities(memcpy: Any) -> None:
    from accel import Capability

    for name in ("COPY", "COPY_RAW", "COPY_BATCH", "COPY_2D", "COPY_PEER", "FILL", "MEMORY_INFO"):
        assert getattr(Capability, name) in memcpy.capabilities
    assert any("pageable" in note for note in memcpy.notes)
