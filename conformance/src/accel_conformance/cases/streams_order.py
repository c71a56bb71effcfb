"""Streams: order within one, independence of two, and waits between them."""

from __future__ import annotations

import gc
import threading
import time

import pytest
import torch

from accel import Backend, Capability
from accel_conformance.byte_compare import assert_same_bytes
from accel_conformance.case import case
from accel_conformance.fixtures import Gates, Guards, RandomTensor

STREAMS = [Capability.STREAMS, Capability.COPY]
GATED = [*STREAMS, Capability.STREAM_CALLBACK]
EVENTS = [*GATED, Capability.EVENTS]
MIB = 1 << 20


@case(level=1, needs=GATED)
def test_fifo_chain(
    backend: Backend, guarded: Guards, gate: Gates, random_tensor: RandomTensor
) -> None:
    """A chain of copies on one stream hands the bytes through, though all were queued at once."""
    stream = backend.streams.create()
    source = random_tensor(5000)
    links = [guarded(5000) for _ in range(40)]
    with gate(stream):
        for dst, src in zip(links, [source, *links], strict=False):
            backend.memcpy.copy_async(dst, src, stream)
    stream.synchronize()
    assert_same_bytes(links[-1], source)


@case(level=1, needs=[*STREAMS, Capability.FILL])
def test_fifo_write_after_read(backend: Backend, guarded: Guards) -> None:
    """One buffer filled and read 200 times in turn: every read sees the fill before it."""
    stream = backend.streams.create()
    buffer, rows = guarded(3000), guarded((200, 3000))
    for i in range(200):
        backend.memcpy.fill(buffer, i, stream)
        backend.memcpy.copy_async(rows[i], buffer, stream)
    stream.synchronize()
    expected = torch.arange(200, dtype=torch.uint8).unsqueeze(1).expand(200, 3000)
    assert_same_bytes(rows, expected)


@case(level=1, needs=GATED)
def test_query_exact(
    backend: Backend, guarded: Guards, gate: Gates, random_tensor: RandomTensor
) -> None:
    """query is True when new, False while work waits or runs, True when it is done."""
    stream = backend.streams.create()
    assert stream.query(), "a new stream has no work, so query must be True"
    dst, src = guarded(1000), random_tensor(1000)
    held = gate(stream)
    assert held.wait_reached(), "the stream never started its first work"
    assert not stream.query(), "query is True while a callback runs on the stream"
    backend.memcpy.copy_async(dst, src, stream)
    time.sleep(0.02)
    assert not stream.query(), "query is True while a copy waits on the stream"
    held.open()
    stream.synchronize()
    assert stream.query(), "query is False after synchronize"
    assert_same_bytes(dst, src)


@case(level=1, needs=STREAMS)
def test_query_means_visible(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor
) -> None:
    """Once query says True, the bytes are there."""
    stream = backend.streams.create()
    dst, src = guarded(MIB), random_tensor(MIB)
    for _ in range(20):
        dst.zero_()
        _settle_torch(backend)
        backend.memcpy.copy_async(dst, src, stream)
        deadline = time.monotonic() + 20
        while not stream.query():
            assert time.monotonic() < deadline, "query stayed False for 20 s"
        assert_same_bytes(dst, src)


@case(level=1, needs=STREAMS)
def test_query_last_task(backend: Backend, random_tensor: RandomTensor) -> None:
    """query never says True between two pieces of work, nor while the last one still runs."""
    stream = backend.streams.create()
    src = random_tensor(8 * MIB)
    for _ in range(10):
        dst = torch.zeros_like(src)
        _settle_torch(backend)
        for _ in range(3):
            backend.memcpy.copy_async(dst, src, stream)
            backend.memcpy.copy_async(dst[: 7 * MIB], src[: 7 * MIB], stream)
        while not stream.query():
            pass
        assert torch.equal(dst, src), "query was True before the last copy was done"


@case(level=1, needs=GATED)
def test_independent(
    backend: Backend, guarded: Guards, gate: Gates, random_tensor: RandomTensor
) -> None:
    """A held stream does not hold another."""
    held, free = backend.streams.create(), backend.streams.create()
    dst, src = guarded(4096), random_tensor(4096)
    with gate(held):
        backend.memcpy.copy_async(dst, src, free)
        free.synchronize()
        assert_same_bytes(dst, src)
        assert not held.query()


@case(level=1, needs=GATED)
def test_synchronize_blocks(
    backend: Backend, guarded: Guards, gate: Gates, random_tensor: RandomTensor
) -> None:
    """synchronize returns only when the work is done."""
    stream = backend.streams.create()
    dst, src = guarded(4096), random_tensor(4096)
    held = gate(stream)
    backend.memcpy.copy_async(dst, src, stream)
    threading.Timer(0.05, held.open).start()
    stream.synchronize()
    assert held.is_open, "synchronize returned while the stream was held"
    assert_same_bytes(dst, src)


@case(level=1, needs=GATED)
def test_synchronize_device(
    backend: Backend, guarded: Guards, gate: Gates, random_tensor: RandomTensor
) -> None:
    """streams.synchronize waits for every stream."""
    streams = [backend.streams.create() for _ in range(4)]
    src = random_tensor(4096)
    dsts = [guarded(4096) for _ in streams]
    held = gate(streams[2])
    for stream, dst in zip(streams, dsts, strict=True):
        backend.memcpy.copy_async(dst, src, stream)
    threading.Timer(0.05, held.open).start()
    backend.streams.synchronize()
    assert held.is_open, "streams.synchronize returned while a stream was held"
    for stream, dst in zip(streams, dsts, strict=True):
        assert stream.query()
        assert_same_bytes(dst, src)


@case(level=1, needs=EVENTS)
def test_wait_event(
    backend: Backend, guarded: Guards, gate: Gates, random_tensor: RandomTensor
) -> None:
    """Work after wait_event starts only when what the event recorded is done."""
    producer, consumer = backend.streams.create(), backend.streams.create()
    src, middle, dst = random_tensor(9000), guarded(9000), guarded(9000)
    held = gate(producer)
    backend.memcpy.copy_async(middle, src, producer)
    consumer.wait_event(producer.record_event())
    backend.memcpy.copy_async(dst, middle, consumer)
    time.sleep(0.03)
    assert not consumer.query(), "the waiting stream did not wait"
    held.open()
    consumer.synchronize()
    assert_same_bytes(dst, src)


@case(level=1, needs=EVENTS)
def test_wait_before_record(
    backend: Backend, guarded: Guards, gate: Gates, random_tensor: RandomTensor
) -> None:
    """Waiting for an event that was never recorded does nothing, even if it is recorded later."""
    producer, consumer = backend.streams.create(), backend.streams.create()
    dst, src = guarded(100), random_tensor(100)
    event = backend.events.create()
    consumer.wait_event(event)
    with gate(producer):
        producer.record_event(event)
        backend.memcpy.copy_async(dst, src, consumer)
        consumer.synchronize()
        assert_same_bytes(dst, src)


@case(level=1, needs=EVENTS)
def test_wait_keeps_snapshot(
    backend: Backend, guarded: Guards, gate: Gates, random_tensor: RandomTensor
) -> None:
    """Recording an event again behind later work does not lengthen an earlier wait."""
    producer, consumer = backend.streams.create(), backend.streams.create()
    dst, src = guarded(100), random_tensor(100)
    event = producer.record_event()
    producer.synchronize()
    blocker = backend.streams.create()
    first = gate(blocker)
    consumer.wait_stream(blocker)  # so that the wait below is still to come when we re-record
    consumer.wait_event(event)
    backend.memcpy.copy_async(dst, src, consumer)
    with gate(producer):
        producer.record_event(event)
        first.open()
        consumer.synchronize()
        assert_same_bytes(dst, src)
        assert not event.query(), "the event's newest snapshot is behind the closed gate"


@case(level=1, needs=EVENTS)
def test_wait_not_shortened(
    backend: Backend, guarded: Guards, gate: Gates, random_tensor: RandomTensor
) -> None:
    """Recording an event again on an idle stream does not shorten an earlier wait."""
    producer, consumer, idle = (backend.streams.create() for _ in range(3))
    src, middle, dst = random_tensor(5000), guarded(5000), guarded(5000)
    held = gate(producer)
    backend.memcpy.copy_async(middle, src, producer)
    event = producer.record_event()
    consumer.wait_event(event)
    idle.record_event(event)
    backend.memcpy.copy_async(dst, middle, consumer)
    idle.synchronize()
    time.sleep(0.03)
    assert not consumer.query(), "the wait followed the re-recorded event"
    held.open()
    consumer.synchronize()
    assert_same_bytes(dst, src)


@case(level=1, needs=GATED)
def test_wait_stream(
    backend: Backend, guarded: Guards, gate: Gates, random_tensor: RandomTensor
) -> None:
    """wait_stream waits for what the other stream has so far, and for nothing given later."""
    producer, consumer = backend.streams.create(), backend.streams.create()
    src, middle, dst = random_tensor(5000), guarded(5000), guarded(5000)
    first = gate(producer)
    backend.memcpy.copy_async(middle, src, producer)
    consumer.wait_stream(producer)
    backend.memcpy.copy_async(dst, middle, consumer)
    second = gate(producer)
    time.sleep(0.03)
    assert not consumer.query(), "wait_stream did not wait"
    first.open()
    consumer.synchronize()
    assert_same_bytes(dst, src)
    assert not producer.query()
    second.open()


@case(level=1, needs=[*STREAMS, Capability.EVENTS])
def test_ping_pong(backend: Backend, guarded: Guards, random_tensor: RandomTensor) -> None:
    """Bytes handed to and fro between two streams 300 times, ordered by one event each way."""
    left, right = backend.streams.create(), backend.streams.create()
    src = random_tensor((301, 700))
    a, b = guarded(700), guarded(700)
    rows = guarded((300, 700))
    to_right, to_left = backend.events.create(), backend.events.create()
    for i in range(300):
        left.wait_event(to_left)
        backend.memcpy.copy_async(a, src[i], left)
        left.record_event(to_right)
        right.wait_event(to_right)
        backend.memcpy.copy_async(b, a, right)
        backend.memcpy.copy_async(rows[i], b, right)
        right.record_event(to_left)
    right.synchronize()
    assert_same_bytes(rows, src[:300])


@case(level=1, needs=GATED)
def test_dropped_stream(
    backend: Backend, guarded: Guards, gate: Gates, random_tensor: RandomTensor
) -> None:
    """A stream that nothing refers to any more still finishes its work."""
    stream = backend.streams.create()
    keeper = backend.streams.create()
    dst, src = guarded(4096), random_tensor(4096)
    held = gate(stream)
    backend.memcpy.copy_async(dst, src, stream)
    keeper.wait_stream(stream)
    held.stream = keeper
    del stream
    gc.collect()
    held.open()
    keeper.synchronize()
    assert_same_bytes(dst, src)


@case(level=1, needs=STREAMS)
@pytest.mark.parametrize("count", [1, 33])
def test_many_streams(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor, count: int
) -> None:
    """Many streams at once each do their work."""
    src = random_tensor((count, 2000))
    dst = guarded((count, 2000))
    streams = [backend.streams.create() for _ in range(count)]
    for i, stream in enumerate(streams):
        backend.memcpy.copy_async(dst[i], src[i], stream)
    for stream in streams:
        stream.synchronize()
    assert_same_bytes(dst, src)
    assert len({s.handle for s in streams}) == count, "two streams have the same handle"


def _settle_torch(backend: Backend) -> None:
    backend.streams.default().synchronize()
