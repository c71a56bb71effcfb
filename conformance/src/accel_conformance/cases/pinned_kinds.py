"""Pinned memory: registered, shared, on a NUMA node, on huge pages."""

from __future__ import annotations

import gc

import pytest
import torch

from accel import ArgumentError, Backend, Capability, DeviceError, MemRef, OverlapError
from accel_conformance.byte_compare import assert_same_bytes
from accel_conformance.case import case
from accel_conformance.children import Child
from accel_conformance.fixtures import RandomTensor

REGISTER = [Capability.PINNED, Capability.PINNED_REGISTER]
SHARED = [Capability.PINNED, Capability.PINNED_SHARED]
MIB = 1 << 20


@case(level=1, needs=REGISTER)
@pytest.mark.parametrize("offset", [0, 3])
def test_register(backend: Backend, random_tensor: RandomTensor, offset: int) -> None:
    """Registered memory is pinned, keeps its contents, and counts; unregistering undoes it."""
    pool = backend.pinned
    memory = random_tensor(40_000, device="cpu")[offset : offset + 20_000]
    contents = memory.clone()
    before = pool.stats().registered
    pool.register(memory)
    assert pool.is_pinned(memory)
    assert pool.is_pinned(memory[100:200])
    assert pool.stats().registered - before >= 20_000
    assert_same_bytes(memory, contents)
    pool.unregister(memory)
    assert not pool.is_pinned(memory)
    assert pool.stats().registered == before
    assert_same_bytes(memory, contents)


@case(level=1, needs=[*REGISTER, Capability.COPY, Capability.STREAMS])
def test_copy_registered(backend: Backend, random_tensor: RandomTensor) -> None:
    """Registered memory can be copied from and to."""
    source = random_tensor(100_000, device="cpu")
    target = torch.zeros(100_000, dtype=torch.uint8)
    on_device = torch.zeros(100_000, dtype=torch.uint8, device=backend.device)
    for memory in (source, target):
        backend.pinned.register(memory)
    stream = backend.streams.create()
    stream.wait_stream(backend.streams.default())
    backend.memcpy.copy_async(on_device, source, stream)
    backend.memcpy.copy_async(target, on_device, stream)
    stream.synchronize()
    for memory in (source, target):
        backend.pinned.unregister(memory)
    assert_same_bytes(target, source)


@case(level=1, needs=[*REGISTER, Capability.COPY_RAW])
def test_register_raw(backend: Backend, random_tensor: RandomTensor) -> None:
    """A raw reference registers and unregisters like a tensor."""
    memory = random_tensor(8192, device="cpu")
    raw = MemRef(memory.data_ptr(), 8192, torch.device("cpu"), owner=memory)
    backend.pinned.register(raw)
    assert backend.pinned.is_pinned(memory)
    backend.pinned.unregister(raw)
    assert not backend.pinned.is_pinned(memory)


@case(level=1, needs=REGISTER)
def test_register_refused(backend: Backend, random_tensor: RandomTensor) -> None:
    """Registering twice or across a registered range overlaps; strangers cannot be unregistered."""
    pool = backend.pinned
    memory = random_tensor(20_000, device="cpu")
    pool.register(memory)
    for again in (memory, memory[100:], memory[:100]):
        with pytest.raises(OverlapError) as caught:
            pool.register(again)
        assert caught.value.argument == "memory"
    with pytest.raises(ArgumentError):
        pool.unregister(memory[1:])
    pool.unregister(memory)
    with pytest.raises(ArgumentError):
        pool.unregister(memory)
    with pytest.raises(DeviceError):
        pool.register(torch.empty(100, device="meta"))


@case(level=1, needs=SHARED, seconds=120)
def test_shared(backend: Backend, random_tensor: RandomTensor) -> None:
    """Two processes see one segment; it outlives its creator's free in the process that has it."""
    pool = backend.pinned
    before = pool.stats().shared
    buffer = pool.create_shared(MIB + 5)
    assert buffer.nbytes == MIB + 5
    assert buffer.handle
    assert pool.stats().shared - before >= MIB + 5, "stats().shared does not count its bytes"
    tensor = buffer.tensor()
    assert not tensor.any(), "a new segment is not zeroed"
    data = random_tensor(64, device="cpu")
    tensor[:64] = data
    shown = bytes(data.tolist()).hex()
    with Child("use-segment", backend, buffer.handle) as child:
        assert int(child.read()) == MIB + 5
        assert child.read() == shown
        assert child.read() == "changed"
        assert_same_bytes(tensor[-64:], torch.full((64,), 0xC3, dtype=torch.uint8))
        handle = buffer.handle
        del tensor
        gc.collect()
        buffer.free()
        with pytest.raises(ArgumentError):
            pool.open_shared(handle)
        child.write("freed")
        assert child.read() == shown
        assert child.read() == "freed"
        child.finish()
    assert pool.stats().shared == before


@case(level=1, needs=SHARED)
def test_shared_here(backend: Backend, random_tensor: RandomTensor) -> None:
    """The creator can open its own segment a second time: same bytes, apart from each other."""
    first = backend.pinned.create_shared(5000)
    second = backend.pinned.open_shared(first.handle)
    assert second.nbytes == 5000
    data = random_tensor(5000, device="cpu")
    first.tensor().copy_(data)
    assert_same_bytes(second.tensor(), data)
    second.free()
    assert_same_bytes(first.tensor(), data)
    first.free()


@case(level=1, needs=SHARED)
@pytest.mark.parametrize("handle", ["", "/no-such-segment", "../../etc/passwd", "x" * 5000])
def test_shared_refused(backend: Backend, handle: str) -> None:
    """A name that is no segment is an ArgumentError."""
    with pytest.raises(ArgumentError) as caught:
        backend.pinned.open_shared(handle)
    assert caught.value.argument == "handle"


@case(level=1, needs=[Capability.PINNED, Capability.PINNED_NUMA])
def test_numa(backend: Backend, random_tensor: RandomTensor) -> None:
    """Memory can be bound to node 0; a node that is not there is an ArgumentError."""
    buffer = backend.pinned.allocate(MIB, numa_node=0)
    assert buffer.numa_node == 0
    data = random_tensor(MIB, device="cpu")
    buffer.tensor().copy_(data)
    assert_same_bytes(buffer.tensor(), data)
    for node in (-1, 100_000):
        with pytest.raises(ArgumentError) as caught:
            backend.pinned.allocate(MIB, numa_node=node)
        assert caught.value.argument == "numa_node"


@case(level=1, needs=[Capability.PINNED, Capability.PINNED_HUGE_PAGES])
def test_huge_pages(backend: Backend, random_tensor: RandomTensor) -> None:
    """Memory asked for on huge pages works, and says whether it got them."""
    buffer = backend.pinned.allocate(4 * MIB, huge_pages=True)
    assert isinstance(buffer.huge_pages, bool)
    if buffer.huge_pages:
        assert backend.pinned.stats().huge >= 4 * MIB
    data = random_tensor(4 * MIB, device="cpu")
    buffer.tensor().copy_(data)
    assert_same_bytes(buffer.tensor(), data)
