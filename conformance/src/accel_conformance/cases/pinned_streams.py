"""Pinned memory: blocks that streams still use are not handed out again."""

from __future__ import annotations

import ctypes
import gc

import pytest
import torch

from accel import ArgumentError, Backend, Capability, PinnedBuffer, PinnedMemory
from accel_conformance.byte_compare import assert_same_bytes
from accel_conformance.case import case
from accel_conformance.fixtures import Gates, Guards, RandomTensor

GATED = [Capability.PINNED, Capability.STREAMS, Capability.STREAM_CALLBACK, Capability.COPY]
SIZE = 1 << 20


def _overwrite_free_blocks(pool: PinnedMemory) -> list[PinnedBuffer]:
    """Take what the pool hands out and fill it with junk; keep it."""
    taken = [pool.allocate(SIZE) for _ in range(4)]
    for buffer in taken:
        buffer.tensor().fill_(0x5A)
    return taken


@case(level=1, needs=GATED)
def test_record_stream(backend: Backend, gate: Gates, random_tensor: RandomTensor) -> None:
    """A freed block that record_stream named keeps its bytes until the stream is done with it."""
    pool, stream = backend.pinned, backend.streams.create()
    data = random_tensor(SIZE, device="cpu")
    buffer = pool.allocate(SIZE)
    buffer.tensor().copy_(data)
    pointer = buffer.pointer
    before = pool.stats()
    seen: list[bytes] = []
    with gate(stream):
        # Work that no copy of accel's stands for: only record_stream can know of it.
        stream.add_callback(lambda: seen.append(ctypes.string_at(pointer, SIZE)))
        pool.record_stream(buffer, stream)
        buffer.free()
        taken = _overwrite_free_blocks(pool)
        assert pointer not in [b.pointer for b in taken], "a block in use by a stream was reused"
        assert pool.stats().waits > before.waits, "waits does not count the block"
    stream.synchronize()
    assert_same_bytes(torch.frombuffer(bytearray(seen[0]), dtype=torch.uint8), data)
    del taken
    gc.collect()
    again = [pool.allocate(SIZE) for _ in range(6)]
    assert pointer in [b.pointer for b in again], "the block never came back after the stream ended"


@case(level=1, needs=GATED)
@pytest.mark.parametrize("direction", ["from pinned", "to pinned"])
def test_copies_record(
    backend: Backend, gate: Gates, guarded: Guards, random_tensor: RandomTensor, direction: str
) -> None:
    """A copy holds its pinned operand by itself, though its owner drops it at once."""
    pool, stream = backend.pinned, backend.streams.create()
    data, dst = random_tensor(SIZE, device="cpu"), guarded(SIZE)
    on_device = data.to(backend.device)
    buffer = pool.allocate(SIZE)
    with gate(stream):
        tensor = buffer.tensor()
        if direction == "from pinned":
            tensor.copy_(data)
            backend.memcpy.copy_async(dst, tensor, stream)
        else:
            tensor.fill_(0)
            backend.memcpy.copy_async(tensor, on_device, stream)
            backend.memcpy.copy_async(dst, tensor, stream)
        del buffer, tensor
        gc.collect()
        taken = _overwrite_free_blocks(pool)
    stream.synchronize()
    assert_same_bytes(dst, data)
    for other in taken:
        expected = torch.full((SIZE,), 0x5A, dtype=torch.uint8)
        assert_same_bytes(other.tensor(), expected, "a block handed out while a copy was queued")


@case(level=1, needs=GATED)
def test_two_streams(backend: Backend, gate: Gates) -> None:
    """A block recorded with two streams waits for both."""
    pool = backend.pinned
    quick, slow = backend.streams.create(), backend.streams.create()
    buffer = pool.allocate(SIZE)
    pointer = buffer.pointer
    with gate(slow):
        pool.record_stream(buffer, slow)
        pool.record_stream(buffer, quick)
        quick.synchronize()
        buffer.free()
        taken = _overwrite_free_blocks(pool)
        assert pointer not in [b.pointer for b in taken], "reused before the slower stream was done"
    slow.synchronize()


@case(level=1, needs=GATED)
def test_record_covers_work_so_far(backend: Backend, gate: Gates) -> None:
    """record_stream speaks of the work given so far: later work does not hold the block."""
    pool, stream = backend.pinned, backend.streams.create()
    buffer = pool.allocate(SIZE)
    pointer = buffer.pointer
    pool.record_stream(buffer, stream)
    stream.synchronize()
    with gate(stream):
        buffer.free()
        again = [pool.allocate(SIZE) for _ in range(6)]
        assert pointer in [b.pointer for b in again], "held by work that was given after the record"


@case(level=1, needs=[Capability.PINNED, Capability.STREAMS])
def test_record_foreign(backend: Backend) -> None:
    """record_stream of memory that is not the pool's is an ArgumentError."""
    stream = backend.streams.create()
    with pytest.raises(ArgumentError) as caught:
        backend.pinned.record_stream(torch.empty(100, dtype=torch.uint8), stream)
    assert caught.value.argument == "memory"
