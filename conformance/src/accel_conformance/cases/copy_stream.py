"""copy_stream on this backend: uploads beside the computation, ordered on both sides."""

from __future__ import annotations

import gc
import time

import pytest
import torch

from accel import Backend, Capability, Stream, copy_stream
from accel_conformance.byte_compare import assert_same_bytes, random_bytes
from accel_conformance.case import case
from accel_conformance.fixtures import Effort, Gates, RandomTensor

BASE = [Capability.STREAMS, Capability.EVENTS, Capability.COPY]
GATED = [*BASE, Capability.STREAM_CALLBACK]
SIZE = 200_000


def _zeros(backend: Backend) -> torch.Tensor:
    made = torch.zeros(SIZE, dtype=torch.uint8, device=backend.device)
    backend.streams.default().synchronize()
    return made


@case(level=1, needs=GATED)
def test_copy_stream_waits_for_the_reader(
    backend: Backend, gate: Gates, random_tensor: RandomTensor
) -> None:
    """The upload does not overwrite what the compute stream has yet to read; the host goes on."""
    compute, side = backend.streams.create(), backend.streams.create()
    old, new = random_tensor(SIZE), random_tensor(SIZE)
    table, seen = old.clone(), [_zeros(backend), _zeros(backend)]
    backend.streams.default().synchronize()
    with gate(compute) as held:
        backend.memcpy.copy_async(seen[0], table, compute)
        with copy_stream(backend, table, stream=side, compute=compute) as copies:
            assert copies.handle == side.handle
            backend.memcpy.copy_async(table, new, copies)
        backend.memcpy.copy_async(seen[1], table, compute)
        assert not side.query(), "the copy stream did not wait for the compute stream"
        assert not held.is_open
    compute.synchronize()
    assert_same_bytes(seen[0], old, "what the compute stream read before the upload")
    assert_same_bytes(seen[1], new, "what it read after it")


@case(level=1, needs=GATED)
def test_copy_stream_is_waited_for(
    backend: Backend, gate: Gates, random_tensor: RandomTensor
) -> None:
    """A late upload holds up what follows on the compute stream, and nothing before it."""
    compute, side = backend.streams.create(), backend.streams.create()
    new, table, seen = random_tensor(SIZE), _zeros(backend), _zeros(backend)
    before = compute.record_event()
    with gate(side):
        with copy_stream(backend, stream=side, compute=compute) as copies:
            backend.memcpy.copy_async(table, new, copies)
            before.record(compute)
        backend.memcpy.copy_async(seen, table, compute)
        before.synchronize()
        time.sleep(0.05)
        assert not compute.query(), "the compute stream did not wait for the upload"
    compute.synchronize()
    assert_same_bytes(seen, new)


@case(level=1, needs=GATED)
@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "never"])
def test_copy_stream_finer_fence(
    backend: Backend, gate: Gates, random_tensor: RandomTensor, recorded: bool
) -> None:
    """With ``after`` the copies wait for that event only, and run beside what came later."""
    compute, side = backend.streams.create(), backend.streams.create()
    new, table = random_tensor(SIZE), _zeros(backend)
    event = backend.events.create()
    if recorded:
        compute.record_event(event)
    with gate(compute) as held:
        with copy_stream(backend, table, stream=side, compute=compute, after=event) as copies:
            backend.memcpy.copy_async(table, new, copies)
        side.synchronize()
        assert not held.is_open
        assert not compute.query()
    compute.synchronize()
    assert_same_bytes(table, new)


def _upload_and_fail(
    backend: Backend, side: Stream, compute: Stream, table: torch.Tensor, new: torch.Tensor
) -> None:
    with copy_stream(backend, stream=side, compute=compute) as copies:
        backend.memcpy.copy_async(table, new, copies)
        raise LookupError("on purpose")


@case(level=1, needs=GATED)
def test_copy_stream_after_an_error(
    backend: Backend, gate: Gates, random_tensor: RandomTensor
) -> None:
    """An exception passes through, what was queued before it is in order, and both go on."""
    compute, side = backend.streams.create(), backend.streams.create()
    new, table, seen = random_tensor(SIZE), _zeros(backend), _zeros(backend)
    with gate(side):
        with pytest.raises(LookupError, match="on purpose"):
            _upload_and_fail(backend, side, compute, table, new)
        backend.memcpy.copy_async(seen, table, compute)
        time.sleep(0.05)
        assert not compute.query(), "after the error the compute stream did not wait"
    compute.synchronize()
    assert_same_bytes(seen, new)
    with copy_stream(backend, stream=side, compute=compute) as copies:
        backend.memcpy.copy_async(table, new, copies)
    backend.memcpy.copy_async(seen, table, compute)
    compute.synchronize()
    assert_same_bytes(seen, new)


@case(level=1, needs=GATED)
def test_copy_stream_nested(backend: Backend, gate: Gates, random_tensor: RandomTensor) -> None:
    """Blocks within blocks, on one copy stream and on two: all uploads are waited for."""
    compute, one, two = (backend.streams.create() for _ in range(3))
    values = [random_tensor(SIZE) for _ in range(3)]
    tables = [_zeros(backend) for _ in range(3)]
    seen = [_zeros(backend) for _ in range(3)]
    backend.streams.default().synchronize()
    with gate(one), gate(two):
        with copy_stream(backend, stream=one, compute=compute) as outer:
            backend.memcpy.copy_async(tables[0], values[0], outer)
            with copy_stream(backend, stream=two, compute=compute) as inner:
                backend.memcpy.copy_async(tables[1], values[1], inner)
            with copy_stream(backend, stream=one, compute=compute) as again:
                backend.memcpy.copy_async(tables[2], values[2], again)
        for copy, table in zip(seen, tables, strict=True):
            backend.memcpy.copy_async(copy, table, compute)
        time.sleep(0.05)
        assert not compute.query(), "the compute stream did not wait for the uploads"
    compute.synchronize()
    for copy, value in zip(seen, values, strict=True):
        assert_same_bytes(copy, value)


@case(level=1, needs=BASE)
@pytest.mark.parametrize("current", [False, True], ids=["given", "current"])
def test_copy_stream_defaults(backend: Backend, random_tensor: RandomTensor, current: bool) -> None:
    """With the current stream and a copy stream of its own, also for torch operators inside."""
    new, table, host = random_tensor(SIZE), _zeros(backend), random_tensor(SIZE, device="cpu")
    before = backend.streams.current().handle
    with copy_stream(backend, table, make_current=current) as copies:
        assert (backend.streams.current().handle == copies.handle) is current
        backend.memcpy.copy_async(table, new, copies)
    assert backend.streams.current().handle == before
    assert_same_bytes(table.clone(), new)
    with copy_stream(backend, table, make_current=current):
        table.copy_(host, non_blocking=True)
    assert_same_bytes(table.clone(), host)


@case(level=1, needs=GATED)
def test_copy_stream_dropped_tensors(
    backend: Backend, gate: Gates, random_tensor: RandomTensor
) -> None:
    """What the block was given may be dropped: its memory stays its own until the copies ran."""
    compute, side = backend.streams.create(), backend.streams.create()
    new = random_tensor(SIZE)
    with gate(side):
        table = _zeros(backend)
        with copy_stream(backend, table, stream=side, compute=compute) as copies:
            backend.memcpy.copy_async(table, new, copies)
        del table
        gc.collect()
        junk = [torch.full((SIZE,), 0x77, dtype=torch.uint8, device=backend.device) for _ in "abcd"]
        backend.streams.default().synchronize()
    compute.synchronize()
    for tensor in junk:
        assert bool((tensor.cpu() == 0x77).all()), "a copy wrote memory that was handed out again"


@case(level=1, needs=[*BASE, Capability.KV_UPLOAD])
def test_copy_stream_steps(backend: Backend, rng: torch.Generator, effort: Effort) -> None:
    """Many steps with metadata in two alternating buffers: each step reads its own."""
    compute = backend.streams.create()
    steps, length = effort(200, 50), 500
    wanted = random_bytes((steps, length), torch.int64, rng)
    tables = [torch.zeros(length, dtype=torch.int64, device=backend.device) for _ in range(2)]
    results = torch.zeros((steps, length), dtype=torch.int64, device=backend.device)
    done = [backend.events.create() for _ in tables]
    backend.streams.default().synchronize()
    for step in range(steps):
        table, last = tables[step % 2], done[step % 2]
        with copy_stream(backend, table, compute=compute, after=last) as copies:
            backend.kv.upload_small(table, wanted[step], stream=copies)
        backend.memcpy.copy_async(results[step], table, compute)
        compute.record_event(last)
    compute.synchronize()
    assert_same_bytes(results, wanted)
