"""Events: snapshots, queries, synchronisation and timing."""

from __future__ import annotations

import threading
import time

import pytest

from accel import Backend, Capability, NotReadyError, StateError
from accel_conformance.byte_compare import assert_same_bytes
from accel_conformance.case import case
from accel_conformance.fixtures import Gates, Guards, RandomTensor, ReportProperty

EVENTS = [Capability.STREAMS, Capability.EVENTS]
GATED = [*EVENTS, Capability.STREAM_CALLBACK]
TIMED = [*EVENTS, Capability.EVENT_TIMING]


@case(level=1, needs=EVENTS)
def test_never_recorded(backend: Backend) -> None:
    """A new event has completed, synchronises at once, and knows its device."""
    event = backend.events.create()
    assert event.query()
    event.synchronize()
    assert event.device == backend.device
    assert isinstance(event.handle, int)


@case(level=1, needs=GATED)
def test_query_follows_snapshot(backend: Backend, gate: Gates) -> None:
    """query is False until the recorded work is done, and does not ask about later work."""
    stream = backend.streams.create()
    first = gate(stream)
    event = stream.record_event()
    second = gate(stream)
    time.sleep(0.02)
    assert not event.query(), "the event has completed although its work is held"
    first.open()
    event.synchronize()
    assert event.query()
    assert second.wait_reached()
    assert not stream.query()
    assert event.query(), "the event went back to incomplete when its stream got more work"
    second.open()


@case(level=1, needs=GATED)
def test_snapshot_not_live(backend: Backend, gate: Gates) -> None:
    """An event recorded on an idle stream stays complete whatever the stream does next."""
    stream = backend.streams.create()
    event = stream.record_event()
    event.synchronize()
    with gate(stream):
        assert event.query(), "the event reads the stream's state instead of its snapshot"
        event.synchronize()


@case(level=1, needs=GATED)
def test_newest_snapshot(backend: Backend, gate: Gates) -> None:
    """After recording again, query and synchronize speak of the newest snapshot."""
    held_stream, free = backend.streams.create(), backend.streams.create()
    event = backend.events.create()
    with gate(held_stream):
        event.record(held_stream)
        time.sleep(0.01)
        assert not event.query()
        event.record(free)
        event.synchronize()
        assert event.query(), "the newest snapshot is of an idle stream"
        event.record(held_stream)
        time.sleep(0.01)
        assert not event.query(), "the newest snapshot is behind a closed gate"
    event.synchronize()


@case(level=1, needs=GATED)
def test_synchronize_blocks(backend: Backend, gate: Gates) -> None:
    """synchronize returns when the snapshot is done, and not before."""
    stream = backend.streams.create()
    held = gate(stream)
    event = stream.record_event()
    later = gate(stream)
    threading.Timer(0.05, held.open).start()
    event.synchronize()
    assert held.is_open, "synchronize returned while the recorded work was held"
    assert not later.is_open
    later.open()


@case(level=1, needs=[*GATED, Capability.COPY])
def test_wait_method(
    backend: Backend, gate: Gates, guarded: Guards, random_tensor: RandomTensor
) -> None:
    """event.wait(stream) is stream.wait_event(event)."""
    producer, consumer = backend.streams.create(), backend.streams.create()
    src, middle, dst = random_tensor(2000), guarded(2000), guarded(2000)
    event = backend.events.create()
    held = gate(producer)
    backend.memcpy.copy_async(middle, src, producer)
    event.record(producer)
    event.wait(consumer)
    backend.memcpy.copy_async(dst, middle, consumer)
    time.sleep(0.02)
    assert not consumer.query()
    held.open()
    consumer.synchronize()
    assert_same_bytes(dst, src)


@case(level=1, needs=EVENTS)
def test_record_event_returns(backend: Backend) -> None:
    """record_event returns the event it was given, or a new one without timing."""
    stream = backend.streams.create()
    event = backend.events.create()
    assert stream.record_event(event) is event
    fresh = stream.record_event()
    fresh.synchronize()
    assert fresh.query()
    with pytest.raises(StateError):
        fresh.elapsed_time(fresh)


@case(level=1, needs=EVENTS)
def test_record_on_current(backend: Backend) -> None:
    """record and wait without a stream mean the current one."""
    stream, other = backend.streams.create(), backend.streams.create()
    event = backend.events.create()
    with backend.stream(stream):
        event.record()
    other.wait_event(event)
    other.synchronize()
    event.synchronize()
    assert event.query()
    with backend.stream(other):
        event.wait()
    other.synchronize()


@case(level=1, needs=[*TIMED, Capability.STREAM_CALLBACK])
def test_timing(backend: Backend, report_property: ReportProperty) -> None:
    """elapsed_time measures, in milliseconds, what the stream did between two events."""
    stream = backend.streams.create()
    start = backend.events.create(timing=True)
    end = backend.events.create(timing=True)
    for _ in range(3):  # a busy machine may stretch one
        stream.record_event(start)
        stream.add_callback(lambda: time.sleep(0.05))
        stream.record_event(end)
        stream.synchronize()
        elapsed = start.elapsed_time(end)
        report_property("of_a_50_ms_sleep_ms", round(elapsed, 3))
        assert elapsed >= 49.0, f"a sleep of 50 ms was measured as {elapsed} ms"
        if elapsed < 100.0:
            break
    else:
        raise AssertionError(f"a sleep of 50 ms was measured as {elapsed} ms, three times")


@case(level=1, needs=[*TIMED, Capability.STREAM_CALLBACK])
def test_timing_at_completion(backend: Backend, gate: Gates) -> None:
    """The time kept is that of completion on the device, not that of the call to record."""
    stream = backend.streams.create()
    start = backend.events.create(timing=True)
    end = backend.events.create(timing=True)
    start.record(stream)
    start.synchronize()
    held = gate(stream)
    end.record(stream)
    time.sleep(0.05)
    held.open()
    end.synchronize()
    assert start.elapsed_time(end) >= 45.0


@case(level=1, needs=TIMED)
def test_timing_back_to_back(backend: Backend) -> None:
    """Two events in a row are a small time apart, and an event is no time from itself."""
    stream = backend.streams.create()
    start, end = (backend.events.create(timing=True) for _ in range(2))
    start.record(stream)
    end.record(stream)
    end.synchronize()
    assert 0.0 <= start.elapsed_time(end) < 1000.0
    assert start.elapsed_time(start) == 0.0


@case(level=1, needs=TIMED)
def test_timing_across_streams(backend: Backend) -> None:
    """Events of two streams can be timed against each other; the sign says which came first."""
    a, b = backend.streams.create(), backend.streams.create()
    first, second = (backend.events.create(timing=True) for _ in range(2))
    first.record(a)
    first.synchronize()
    time.sleep(0.02)
    second.record(b)
    second.synchronize()
    forward, backward = first.elapsed_time(second), second.elapsed_time(first)
    assert 19.0 <= forward < 5000.0
    assert abs(forward + backward) < 0.01


@case(level=1, needs=TIMED)
def test_timing_refused(backend: Backend) -> None:
    """elapsed_time is a StateError without timing or before a record, on either side."""
    stream = backend.streams.create()
    timed, plain, unrecorded = (
        backend.events.create(timing=True),
        backend.events.create(),
        backend.events.create(timing=True),
    )
    timed.record(stream)
    plain.record(stream)
    stream.synchronize()
    for start, end in ((timed, plain), (plain, timed), (timed, unrecorded), (unrecorded, timed)):
        with pytest.raises(StateError):
            start.elapsed_time(end)


@case(level=1, needs=[*TIMED, Capability.STREAM_CALLBACK])
def test_timing_not_ready(backend: Backend, gate: Gates) -> None:
    """elapsed_time is a NotReadyError while either event has not completed."""
    stream = backend.streams.create()
    start, end = (backend.events.create(timing=True) for _ in range(2))
    start.record(stream)
    start.synchronize()
    with gate(stream):
        end.record(stream)
        with pytest.raises(NotReadyError):
            start.elapsed_time(end)
        with pytest.raises(NotReadyError):
            end.elapsed_time(start)
    stream.synchronize()
    assert start.elapsed_time(end) >= 0.0
