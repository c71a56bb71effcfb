"""Events on the fake driver."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from accel import ArgumentError, CapabilityError, DeviceError, NotReadyError, StateError


def hold(stream: Any) -> threading.Event:
    """The stream waits until the event is set."""
    opened = threading.Event()
    stream.add_callback(lambda: opened.wait(20))
    return opened


def test_never_recorded(backend: Any) -> None:
    event = backend.events.create()
    assert event.query()
    event.synchronize()
    backend.streams.create().wait_event(event)


def test_snapshots(backend: Any) -> None:
    stream, free = backend.streams.create(), backend.streams.create()
    event = stream.record_event()
    event.synchronize()
    opened = hold(stream)
    assert event.query()
    event.record(stream)
    assert not event.query()
    waiting = backend.streams.create()
    waiting.wait_event(event)
    event.record(free)  # changes nothing for `waiting`
    event.synchronize()
    assert event.query()
    assert not waiting.query()
    opened.set()
    waiting.synchronize()


def test_events_are_reused_with_their_waits_intact(backend: Any) -> None:
    """A dropped event may be recorded by its next owner; who waits for it waits as before."""
    stream, waiting = backend.streams.create(), backend.streams.create()
    opened = hold(stream)
    event = stream.record_event()
    handle = event.handle
    waiting.wait_event(event)
    del event
    again = backend.events.create()
    assert again.handle == handle
    idle = backend.streams.create()
    for wait in (idle.wait_event, lambda e: e.wait(idle)):  # it was never recorded
        wait(again)
        idle.synchronize()
    assert again.query()
    again.record(backend.streams.create())
    again.synchronize()
    assert not waiting.query()
    opened.set()
    waiting.synchronize()


def test_timing(backend: Any) -> None:
    stream = backend.streams.create()
    start, end = (backend.events.create(timing=True) for _ in range(2))
    with pytest.raises(StateError, match="never recorded"):
        start.elapsed_time(end)
    start.record(stream)
    stream.add_callback(lambda: time.sleep(0.02))
    end.record(stream)
    with pytest.raises(NotReadyError):
        start.elapsed_time(end)
    end.synchronize()
    assert start.elapsed_time(end) >= 19.9
    assert end.elapsed_time(start) == -start.elapsed_time(end)
    assert start.elapsed_time(start) == 0.0
    with pytest.raises(StateError, match="without timing"):
        start.elapsed_time(stream.record_event())


def test_timing_of_two_devices(on_device: Any) -> None:
    events = []
    for index in range(2):
        device = on_device(index)
        event = device.events.create(timing=True)
        event.record(device.streams.create())
        event.synchronize()
        events.append(event)
    with pytest.raises(DeviceError, match="cuda:1"):
        events[0].elapsed_time(events[1])


def test_record_on_current(backend: Any) -> None:
    stream = backend.streams.create()
    opened = hold(stream)
    event = backend.events.create()
    with stream:
        event.record()
    assert not event.query()
    with backend.streams.create() as other:
        event.wait()
    assert not other.query()
    opened.set()
    other.synchronize()


def test_interprocess_refusals(backend: Any, on_device: Any) -> None:
    with pytest.raises(StateError, match="interprocess=True"):
        backend.events.create().ipc_handle()
    with pytest.raises(CapabilityError):
        backend.events.create(timing=True, interprocess=True)
    event = backend.events.create(interprocess=True)
    handle = event.ipc_handle()
    flipped = bytearray(handle)
    flipped[40] ^= 1
    for junk in (b"", b"x", bytes(64), bytes(len(handle)), handle[:-1], bytes(flipped)):
        with pytest.raises(ArgumentError) as caught:
            backend.events.from_ipc_handle(junk)
        assert caught.value.argument == "handle"
    with pytest.raises(ArgumentError, match="another device"):
        on_device(1).events.from_ipc_handle(handle)


def test_interprocess_in_its_own_process(backend: Any) -> None:
    """The driver does not open a process's own handles; it is the same event."""
    event = backend.events.create(interprocess=True)
    assert backend.events.from_ipc_handle(event.ipc_handle()) is event


def test_interprocess_maker_gone(backend: Any, driver: Any) -> None:
    program = (
        "from accel_cuda.events import CudaEvents\n"
        "from accel_cuda.streams import CudaStreams\n"
        "CudaStreams(0)\n"
        "print(CudaEvents(0).create(interprocess=True).ipc_handle().hex())\n"
    )
    environment = {**os.environ, "ACCEL_CUDA_DRIVER": str(driver.path)}
    made = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    with pytest.raises(ArgumentError, match="has ended"):
        backend.events.from_ipc_handle(bytes.fromhex(made.stdout.strip()))
