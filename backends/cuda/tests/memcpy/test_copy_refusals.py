"""What copies refuse, before anything is written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from cuda_shim.device_memory import contents, random_bytes

from accel import (
    ArgumentError,
    DeviceError,
    FreedError,
    MemRef,
    OverlapError,
    SizeError,
)

HOST = torch.device("cpu")
MIB = 1 << 20


def test_memory_that_is_not_where_it_says(
    backend: Any, memcpy: Any, pool: Any, memory: Any, driver: Any
) -> None:
    """A false MemRef is refused before the driver hears of it, naming the argument."""
    device, other = memory.empty(4096), memory.empty(4096, device=1)
    host, locked = torch.zeros(4096, dtype=torch.uint8), pool.empty(4096, torch.uint8)
    cuda0 = device.device
    false = {
        "host memory": MemRef(host.data_ptr(), 4096, cuda0, owner=host),
        "pinned memory": MemRef(locked.data_ptr(), 4096, cuda0, owner=locked),
        "another device": MemRef(other.pointer, 4096, cuda0),
        "no memory": MemRef(0x7000_0000_0000, 4096, cuda0),
        "too much": MemRef(device.pointer, 4097, cuda0),
        "device memory as host": MemRef(device.pointer, 4096, HOST),
    }
    good = memory.empty(4096)
    watched = ("cuMemcpyAsync", "cuMemcpyPeerAsync", "cuLaunchKernel", "cuMemsetD8Async")
    before = [driver.calls(entry) for entry in watched]
    for name, ref in false.items():
        pair = MemRef(good.pointer, good.nbytes, cuda0) if ref.nbytes == 4096 else None
        big = pair if pair is not None else memory.empty(4097)
        for copy in (memcpy.copy, memcpy.copy_async):
            with pytest.raises(DeviceError) as caught:
                copy(big, ref)
            assert caught.value.argument == "src", name
            with pytest.raises(DeviceError) as caught:
                copy(ref, big)
            assert caught.value.argument == "dst", name
        with pytest.raises(DeviceError):
            memcpy.fill(ref, 1)
        with pytest.raises(DeviceError) as caught:
            memcpy.copy_batch([big], [ref])
        assert caught.value.argument == "srcs[0]"
    assert [driver.calls(entry) for entry in watched] == before


def test_refuses_other_devices(memcpy: Any, memory: Any) -> None:
    nowhere = torch.empty(16, dtype=torch.uint8, device="meta")
    with pytest.raises(DeviceError) as caught:
        memcpy.copy(memory.empty(16), nowhere)
    assert caught.value.argument == "src"
    with pytest.raises(DeviceError):
        memcpy.fill(nowhere, 0)


def test_refuses_overlap_and_sizes(memcpy: Any, memory: Any) -> None:
    device = memory.empty(1000)
    first = MemRef(device.pointer, 600, device.device)
    second = MemRef(device.pointer + 599, 401, device.device)
    with pytest.raises(SizeError):
        memcpy.copy(first, second)
    with pytest.raises(OverlapError) as caught:
        memcpy.copy(first, MemRef(device.pointer + 599, 600, device.device))
    assert caught.value.argument in ("dst", "src")
    with pytest.raises(OverlapError):
        memcpy.copy_batch([first, second], [memory.empty(600), memory.empty(401)])


def test_refuses_freed_buffers(memcpy: Any, pool: Any, memory: Any) -> None:
    buffer = pool.allocate(100)
    ref = MemRef(buffer.pointer, 100, HOST, owner=buffer)
    buffer.free()
    with pytest.raises(FreedError) as caught:
        memcpy.copy(memory.empty(100), ref)
    assert caught.value.argument == "src"


@pytest.mark.parametrize("stream", ["a stream", 0, object()], ids=lambda s: type(s).__name__)
def test_refuses_what_is_no_stream(memcpy: Any, memory: Any, stream: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        memcpy.copy_async(memory.empty(10), memory.empty(10), stream)
    assert caught.value.argument == "stream"


def test_partly_locked_memory_is_copied(backend: Any, memcpy: Any, pool: Any, memory: Any) -> None:
    """Host memory of which a part is registered goes through staging, to the last byte."""
    host = torch.from_numpy(random_bytes(40_000))
    for start, stop in [(0, 10_000), (30_000, 40_000)]:
        pool.register(host[start:stop])
        device = memory.empty(40_000)
        memcpy.copy(device, host)
        assert np.array_equal(contents(device), host.numpy())
        contents(device)[:] = random_bytes(40_000)
        memcpy.copy(host, device)
        assert np.array_equal(contents(device), host.numpy())
        pool.unregister(host[start:stop])
