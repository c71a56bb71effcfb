"""Memory that changes hands: what the former owner did there is no race with the new one's."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import accel
from accel import KVCache, MemRef, StreamSanitizer

SIZE = 40_000


@pytest.fixture
def backend() -> Iterator[accel.Backend]:
    built = accel.get_backend("cpu")
    yield built
    built.streams.synchronize()


@pytest.fixture
def sanitizer(backend: accel.Backend) -> Iterator[StreamSanitizer]:
    with StreamSanitizer(backend, raising=True) as on:
        yield on


def memory_of(nbytes: int) -> Any:
    """Makes a tensor over the same bytes each time, as an allocator does that reuses them."""
    memory = bytearray(nbytes)
    return lambda: torch.frombuffer(memory, dtype=torch.uint8)


def _drain(backend: accel.Backend, stream: Any) -> None:
    """Wait without telling the sanitizer."""
    from accel.interpose.interposition import Interposition

    Interposition.of(backend).original_of(stream, "synchronize")()


def test_the_next_owner_of_the_address_is_another(
    backend: accel.Backend, sanitizer: StreamSanitizer
) -> None:
    s, t = backend.streams.create(), backend.streams.create()
    src, out = torch.zeros(SIZE, dtype=torch.uint8), torch.zeros(SIZE, dtype=torch.uint8)
    allocate = memory_of(SIZE)
    dst = allocate()
    backend.memcpy.copy_async(dst, src, s)
    _drain(backend, s)
    del dst
    backend.memcpy.copy_async(out, allocate(), t)
    assert sanitizer.reports == []


def test_while_it_lives_it_is_the_same_memory(
    backend: accel.Backend, sanitizer: StreamSanitizer
) -> None:
    s, t = backend.streams.create(), backend.streams.create()
    src, out = torch.zeros(SIZE, dtype=torch.uint8), torch.zeros(SIZE, dtype=torch.uint8)
    dst = torch.zeros(SIZE, dtype=torch.uint8)
    backend.memcpy.copy_async(dst[5:], src[5:], s)
    _drain(backend, s)
    view = dst.view(torch.int32)
    del dst
    with pytest.raises(accel.StreamRaceError):
        backend.memcpy.copy_async(out.view(torch.int32), view, t)


def test_a_cache_over_freed_memory_is_another(
    backend: accel.Backend, sanitizer: StreamSanitizer
) -> None:
    s, t = backend.streams.create(), backend.streams.create()
    host = KVCache(torch.zeros(64, 4, 32), "| T H D")
    allocate, slots = memory_of(64 * 4 * 32 * 4), torch.arange(64)
    cache = KVCache(allocate().view(torch.float32).view(64, 4, 32), "| T H D")
    backend.kv.transfer(host, cache, slots, slots, stream=s)
    _drain(backend, s)
    del cache
    new = KVCache(allocate().view(torch.float32).view(64, 4, 32), "| T H D")
    out = KVCache(torch.zeros(64, 4, 32), "| T H D")
    backend.kv.transfer(new, out, slots, slots, stream=t)
    assert sanitizer.reports == []


def test_pinned_memory_outlives_the_tensors_over_it(
    backend: accel.Backend, sanitizer: StreamSanitizer
) -> None:
    s = backend.streams.create()
    buffer, dst = backend.pinned.allocate(SIZE), torch.empty(SIZE, dtype=torch.uint8)
    backend.memcpy.copy_async(dst, buffer.tensor(), s)
    _drain(backend, s)
    with pytest.raises(accel.StreamRaceError):
        buffer.tensor().fill_(1)


def test_a_block_that_the_pool_hands_out_again_is_new(
    backend: accel.Backend, sanitizer: StreamSanitizer
) -> None:
    s = backend.streams.create()
    dst = torch.empty(SIZE + 77, dtype=torch.uint8)
    buffer = backend.pinned.allocate(SIZE + 77)
    pointer = buffer.pointer
    backend.memcpy.copy_async(dst, buffer.tensor(), s)
    _drain(backend, s)
    buffer.free()
    kept = []
    for _ in range(100):
        kept.append(backend.pinned.empty(SIZE + 77, torch.uint8))
        kept[-1].fill_(1)
        if kept[-1].data_ptr() == pointer:
            break
    else:
        pytest.fail("the pool did not hand the block out again")
    assert sanitizer.reports == []


def test_raw_memory_is_told_apart_by_its_owner(
    backend: accel.Backend, sanitizer: StreamSanitizer
) -> None:
    class Owner:
        pass

    memory = ctypes.create_string_buffer(4096)
    address, cpu = ctypes.addressof(memory), torch.device("cpu")
    s, t = backend.streams.create(), backend.streams.create()
    data = torch.zeros(4096, dtype=torch.uint8)
    owner = Owner()
    backend.memcpy.copy_async(MemRef(address, 4096, cpu, owner), data, s)
    backend.streams.synchronize()  # lets go of the owner
    backend.memcpy.copy_async(MemRef(address, 4096, cpu, owner), data, s)
    _drain(backend, s)
    del owner
    backend.memcpy.copy_async(MemRef(address, 4096, cpu, Owner()), data, t)
    t.synchronize()  # the memory is nobody's but this function's
    assert sanitizer.reports == []


def test_a_resized_storage_starts_anew(backend: accel.Backend, sanitizer: StreamSanitizer) -> None:
    s, t = backend.streams.create(), backend.streams.create()
    src, dst = torch.zeros(100), torch.zeros(100)
    backend.memcpy.copy_async(dst, src, s)
    _drain(backend, s)
    dst.untyped_storage().resize_(400_000)
    backend.memcpy.copy_async(torch.zeros(100), dst, t)
    assert sanitizer.reports == []
