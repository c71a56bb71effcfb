"""Copies: operands live until the work has run, and no longer. And what a call costs."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable

import pytest
import torch

from accel import Backend, Capability, MemRef
from accel_conformance.byte_compare import assert_same_bytes
from accel_conformance.case import case
from accel_conformance.fixtures import Gates, Guards, RandomTensor, ReportProperty

GATED = [Capability.STREAMS, Capability.STREAM_CALLBACK, Capability.COPY]
SIZE = 3 << 20


class _Owner:
    pass


def _junk(device: torch.device) -> list[torch.Tensor]:
    """Fill whatever the allocators hand out next."""
    return [torch.full((SIZE,), 0x77, dtype=torch.uint8, device=device) for _ in range(4)]


@case(level=1, needs=GATED)
@pytest.mark.parametrize("strided", [False, True], ids=["flat", "strided"])
def test_source_kept(
    backend: Backend, gate: Gates, guarded: Guards, random_tensor: RandomTensor, strided: bool
) -> None:
    """A source dropped right after the call is still read correctly."""
    stream = backend.streams.create()
    data, dst = random_tensor(SIZE), guarded(SIZE)
    step = 3 if strided else 1
    with gate(stream):
        source = data.clone()
        backend.streams.default().synchronize()
        backend.memcpy.copy_async(dst[::step], source[::step], stream)
        del source
        gc.collect()
        junk = _junk(backend.device)
    stream.synchronize()
    assert_same_bytes(dst[::step], data[::step])
    assert len(junk) == 4


@case(level=1, needs=[*GATED, Capability.COPY_BATCH])
def test_batch_kept(
    backend: Backend, gate: Gates, guarded: Guards, random_tensor: RandomTensor
) -> None:
    """So are the sources of a batch, and the lists themselves may be changed."""
    stream = backend.streams.create()
    data, dst = random_tensor((6, SIZE // 4)), guarded((6, SIZE // 4))
    with gate(stream):
        sources = [row.clone() for row in data]
        dsts = list(dst)
        backend.streams.default().synchronize()
        backend.memcpy.copy_batch(dsts, sources, stream)
        sources.clear()
        dsts.clear()
        gc.collect()
        junk = _junk(backend.device)
    stream.synchronize()
    assert_same_bytes(dst, data)
    assert len(junk) == 4


@case(level=1, needs=GATED)
def test_destination_kept(backend: Backend, gate: Gates, random_tensor: RandomTensor) -> None:
    """A destination dropped right after the call is not written after it became something else."""
    stream = backend.streams.create()
    data = random_tensor(SIZE)
    with gate(stream):
        target = torch.empty_like(data)
        backend.memcpy.copy_async(target, data, stream)
        del target
        gc.collect()
        junk = _junk(backend.device)
        backend.streams.default().synchronize()
    stream.synchronize()
    for tensor in junk:
        assert_same_bytes(tensor, torch.full((SIZE,), 0x77, dtype=torch.uint8))


@case(level=1, needs=[*GATED, Capability.COPY_RAW])
def test_owner_kept_and_released(
    backend: Backend, gate: Gates, guarded: Guards, random_tensor: RandomTensor
) -> None:
    """A raw reference's owner lives while the copy is queued, and is let go when it has run."""
    stream = backend.streams.create()
    data, dst = random_tensor(5000), guarded(5000)
    owner = _Owner()
    ghost = weakref.ref(owner)
    with gate(stream):
        raw = MemRef(data.data_ptr(), 5000, data.device, owner=owner)
        backend.memcpy.copy_async(dst, raw, stream)
        del raw, owner
        gc.collect()
        assert ghost() is not None, "the owner of a queued copy's source is gone"
    stream.synchronize()
    assert_same_bytes(dst, data)
    _assert_goes(ghost, stream.query)


@case(level=1, needs=GATED)
def test_tensors_released(backend: Backend, random_tensor: RandomTensor) -> None:
    """Operands are let go when the copy has run, without another call for it being needed."""
    stream = backend.streams.create()
    data = random_tensor(5000)
    target = torch.empty_like(data)
    ghost = weakref.ref(target)
    backend.memcpy.copy_async(target, data, stream)
    del target
    stream.synchronize()
    _assert_goes(ghost, stream.query)


def _assert_goes(ghost: Callable[[], object], poke: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while ghost() is not None and time.monotonic() < deadline:
        gc.collect()
        poke()
        time.sleep(0.002)
    assert ghost() is None, "the operand is still held 5 s after the copy has run"


@case(level=1, needs=[Capability.STREAMS, Capability.COPY, Capability.EVENTS])
def test_overhead(backend: Backend, report_property: ReportProperty) -> None:
    """What calls cost on this machine: figures for the report, no bound."""
    stream, other = backend.streams.create(), backend.streams.create()
    src = torch.zeros(16, dtype=torch.uint8, device=backend.device)
    dst = torch.empty_like(src)
    event = backend.events.create()
    calls: dict[str, Callable[[], object]] = {
        "copy_async_us": lambda: backend.memcpy.copy_async(dst, src, stream),
        "record_us": lambda: event.record(stream),
        "wait_event_us": lambda: other.wait_event(event),
        "event_query_us": event.query,
        "stream_query_us": stream.query,
        "current_us": backend.streams.current,
    }
    for name, call in calls.items():
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(100):
                call()
            best = min(best, time.perf_counter() - start)
            backend.streams.synchronize()
        report_property(name, round(best * 1e4, 3))
    assert_same_bytes(dst, src)
