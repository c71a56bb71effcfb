"""Streams: host callbacks and the errors they raise."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from accel import AsyncError, Backend, Capability
from accel_conformance.byte_compare import assert_same_bytes
from accel_conformance.case import case
from accel_conformance.fixtures import Gates, Guards, RandomTensor

CALLBACKS = [Capability.STREAMS, Capability.STREAM_CALLBACK]
COPIES = [*CALLBACKS, Capability.COPY]


@case(level=1, needs=CALLBACKS)
def test_callbacks_in_order(backend: Backend) -> None:
    """500 callbacks run once each, in the order in which they were given."""
    stream = backend.streams.create()
    seen: list[int] = []
    for i in range(500):
        stream.add_callback(lambda i=i: seen.append(i))  # type: ignore[misc]
    stream.synchronize()
    assert seen == list(range(500))


@case(level=1, needs=COPIES)
def test_callback_between_copies(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor
) -> None:
    """A callback sees the copy before it; the copy after it waits for the callback's end."""
    stream = backend.streams.create()
    src = random_tensor(50_000, device="cpu")
    before, changed, after = (guarded(50_000, memory="host") for _ in range(3))
    seen: list[torch.Tensor] = []

    def look() -> None:
        seen.append(before.clone())
        time.sleep(0.03)
        changed.copy_(before.bitwise_not())

    backend.memcpy.copy_async(before, src, stream)
    stream.add_callback(look)
    backend.memcpy.copy_async(after, changed, stream)
    stream.synchronize()
    assert_same_bytes(seen[0], src, "what the callback saw")
    assert_same_bytes(after, src.bitwise_not(), "what the copy after the callback moved")


@case(level=1, needs=CALLBACKS)
def test_callback_returns_at_once(backend: Backend, gate: Gates) -> None:
    """add_callback does not wait for the callback, which does not run on the calling thread."""
    stream = backend.streams.create()
    threads: list[int] = []
    with gate(stream):
        stream.add_callback(lambda: threads.append(threading.get_ident()))
        assert threads == []
    stream.synchronize()
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


@case(level=1, needs=COPIES, asynchronous=True)
@pytest.mark.parametrize("how", ["stream", "device"])
def test_callback_error(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor, how: str
) -> None:
    """A callback's exception is the cause of an AsyncError at the next synchronisation, once."""
    stream = backend.streams.create()
    src, dst = random_tensor(1000), guarded(1000)
    problem = LookupError("raised inside a callback")

    def fail() -> None:
        raise problem

    stream.add_callback(fail)
    synchronize = stream.synchronize if how == "stream" else backend.streams.synchronize
    with pytest.raises(AsyncError) as caught:
        synchronize()
    assert caught.value.__cause__ is problem, (
        f"expected the callback's own exception as the cause, given {caught.value.__cause__!r}"
    )
    stream.synchronize()  # reported once
    backend.memcpy.copy_async(dst, src, stream)
    stream.synchronize()
    assert_same_bytes(dst, src, "a copy after the failed callback")


@case(level=1, needs=COPIES)
def test_callback_error_keeps_order(
    backend: Backend, gate: Gates, guarded: Guards, random_tensor: RandomTensor
) -> None:
    """Work queued behind a callback that fails still runs, and other streams hear nothing of it."""
    stream, other = backend.streams.create(), backend.streams.create()
    src, dst = random_tensor(1000), guarded(1000)
    ran: list[str] = []

    def fail() -> None:
        raise ValueError("on purpose")

    with gate(stream):
        stream.add_callback(fail)
        backend.memcpy.copy_async(dst, src, stream)
        stream.add_callback(lambda: ran.append("after"))
    with pytest.raises(AsyncError):
        stream.synchronize()
    other.synchronize()
    assert ran == ["after"]
    assert_same_bytes(dst, src)


@case(level=1, needs=CALLBACKS)
def test_callback_released(backend: Backend) -> None:
    """A callback that has run is let go, and with it what it refers to."""
    import gc
    import weakref

    class Thing:
        pass

    stream = backend.streams.create()
    thing = Thing()
    ghost = weakref.ref(thing)
    stream.add_callback(lambda thing=thing: None)  # type: ignore[misc]
    stream.synchronize()
    del thing
    deadline = time.monotonic() + 5
    while ghost() is not None and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.005)
    assert ghost() is None, "the stream still holds the callback after it has run"
