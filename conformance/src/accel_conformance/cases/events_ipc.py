"""Events between processes."""

from __future__ import annotations

import pytest

from accel import ArgumentError, Backend, Capability, StateError
from accel_conformance.case import case
from accel_conformance.children import Child
from accel_conformance.fixtures import Gates

IPC = [Capability.STREAMS, Capability.EVENTS, Capability.EVENT_IPC]


@case(level=1, needs=[*IPC, Capability.STREAM_CALLBACK])
def test_ipc_wait(backend: Backend, gate: Gates) -> None:
    """Another process sees the event incomplete, waits for it on a stream, and sees it complete."""
    stream = backend.streams.create()
    event = backend.events.create(interprocess=True)
    held = gate(stream)
    stream.record_event(event)
    with Child("watch-event", backend, event.ipc_handle().hex()) as child:
        assert child.read() == "False", "the other process sees the event complete"
        assert child.read() == "False", "the other process's stream does not wait"
        held.open()
        assert child.read() == "True"
        child.finish()
    event.synchronize()


@case(level=1, needs=IPC)
def test_ipc_complete(backend: Backend) -> None:
    """An event that has completed is complete in another process."""
    stream = backend.streams.create()
    event = backend.events.create(interprocess=True)
    stream.record_event(event)
    stream.synchronize()
    with Child("watch-event", backend, event.ipc_handle().hex()) as child:
        assert child.read() == "True"
        child.read()
        assert child.read() == "True"
        child.finish()


@case(level=1, needs=IPC)
def test_ipc_refused(backend: Backend) -> None:
    """No handle without interprocess=True, and no event from bytes that are no handle."""
    with pytest.raises(StateError):
        backend.events.create().ipc_handle()
    for junk in (b"", b"\0", b"not a handle", bytes(64)):
        with pytest.raises(ArgumentError) as caught:
            backend.events.from_ipc_handle(junk)
        assert caught.value.argument == "handle"


@case(level=1, needs=IPC)
def test_ipc_maker_gone(backend: Backend) -> None:
    """The handle of an event whose process has ended is an ArgumentError."""
    with Child("make-event", backend, "-") as child:
        handle = bytes.fromhex(child.read())
        child.finish()
    with pytest.raises(ArgumentError) as caught:
        backend.events.from_ipc_handle(handle)
    assert caught.value.argument == "handle"
