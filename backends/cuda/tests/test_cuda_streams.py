"""Streams on the fake driver: order, the current one, callbacks, failures, kept references."""

from __future__ import annotations

import gc
import signal
import threading
import time
import weakref
from typing import Any

import pytest

from accel import (
    ArgumentError,
    AsyncError,
    CapabilityError,
    DeviceError,
    DTypeError,
    OutOfMemoryError,
)
from accel_cuda import _native
from accel_cuda.errors import ContextLostError, DriverError


class Held:
    """A stream held behind a callback until ``open``."""

    def __init__(self, stream: Any) -> None:
        self._event = threading.Event()
        self.reached = threading.Event()
        stream.add_callback(self._hold)

    def _hold(self) -> None:
        self.reached.set()
        assert self._event.wait(20)

    def open(self) -> None:
        self._event.set()


def test_priorities_are_clamped(backend: Any) -> None:
    assert backend.streams.priority_range() == (0, -5)
    assert [backend.streams.create(p).priority for p in (3, 0, -2, -99)] == [0, 0, -2, -5]


def test_current_follows_use(backend: Any) -> None:
    streams = backend.streams
    a, b = streams.create(), streams.create()
    assert streams.current() is streams.default()
    with streams.use(a) as entered, b:
        assert entered is a
        assert streams.current() is b
    assert streams.current().handle == 0
    with pytest.raises(KeyError), a:
        raise KeyError
    assert streams.current().handle == 0


def test_leaving_what_was_not_entered(backend: Any) -> None:
    stream = backend.streams.create()
    with pytest.raises(RuntimeError, match="was not entered"):
        stream.__exit__(None, None, None)


def test_a_handle_of_another_device(on_device: Any) -> None:
    stream = on_device(1).streams.create()
    with pytest.raises(ArgumentError, match="one of another device"):
        on_device(0).streams.from_handle(stream.handle)


def test_use_is_of_one_device(on_device: Any) -> None:
    first, second = on_device(0), on_device(1)
    a, b = first.streams.create(), second.streams.create()
    with a, b:
        assert first.streams.current() is a
        assert second.streams.current() is b
    with pytest.raises(DeviceError, match="cuda:0"):
        first.events.create().record(b)
    with pytest.raises(DeviceError, match="cuda:1"):
        b.record_event(first.events.create())
    # Waiting across devices is what events are for.
    held = Held(a)
    event = a.record_event()
    b.wait_event(event)
    event.wait(b)
    b.wait_stream(a)
    assert not b.query()
    held.open()
    b.synchronize()
    assert a.query()


def test_one_object_for_a_handle(backend: Any) -> None:
    stream = backend.streams.create()
    assert backend.streams.from_handle(stream.handle) is stream
    for wrong in (-1, 2**64, "7", None, 1, 12345, 2**63, id(stream)):
        with pytest.raises(ArgumentError) as caught:
            backend.streams.from_handle(wrong)
        assert caught.value.argument == "handle"


def test_streams_are_reused_when_idle(backend: Any, driver: Any) -> None:
    """No stream is destroyed, and one with work left is not given to a new owner."""
    first = backend.streams.create(-3)
    handle = first.handle
    held = Held(first)
    assert held.reached.wait(10)
    del first
    gc.collect()
    busy = backend.streams.create(-3)
    assert busy.handle != handle
    held.open()
    backend.streams.synchronize()
    again = backend.streams.create(-3)
    assert again.handle == handle


def test_a_failure_is_not_the_next_owners(backend: Any) -> None:
    stream = backend.streams.create(-4)
    handle, done = stream.handle, threading.Event()
    stream.add_callback(lambda: 1 // 0)
    stream.add_callback(done.set)
    assert done.wait(10)
    while not stream.query():
        time.sleep(0.001)
    del stream
    gc.collect()
    again = backend.streams.create(-4)
    assert again.handle == handle
    again.synchronize()


def test_wrong_types(backend: Any) -> None:
    stream, event = backend.streams.create(), backend.events.create()
    for call in (
        lambda: event.record(1),
        lambda: event.wait("x"),
        lambda: stream.wait_event(stream),
        lambda: stream.wait_stream(event),
        lambda: stream.record_event(3),
        lambda: stream.add_callback(5),
        lambda: event.elapsed_time(stream),
        lambda: backend.streams.use(event),
        lambda: backend.events.from_ipc_handle("text"),
    ):
        with pytest.raises(DTypeError):
            call()


def test_no_torch_streams_here(backend: Any) -> None:
    with pytest.raises(CapabilityError) as caught:
        backend.streams.create().as_torch()
    assert caught.value.capability == "streams.torch"
    with pytest.raises(CapabilityError):
        backend.streams.from_torch(object())


# --- callbacks --------------------------------------------------------------------------------


def test_callbacks_run_in_order(backend: Any) -> None:
    stream = backend.streams.create()
    seen: list[int] = []
    for i in range(300):
        stream.add_callback(lambda i=i: seen.append(i))
    stream.synchronize()
    assert seen == list(range(300))


def test_a_blocked_callback_blocks_no_other_stream(backend: Any) -> None:
    """The driver runs host functions one at a time; callbacks of other streams run all the same."""
    a, b = backend.streams.create(), backend.streams.create()
    held = Held(a)
    assert held.reached.wait(10)
    ran = threading.Event()
    b.add_callback(ran.set)
    b.synchronize()
    assert ran.is_set()
    assert not a.query()
    held.open()
    a.synchronize()


def test_later_work_waits_for_the_callback(backend: Any) -> None:
    a, b = backend.streams.create(), backend.streams.create()
    held = Held(a)
    event = a.record_event()
    b.wait_event(event)
    assert held.reached.wait(10)
    time.sleep(0.01)
    assert not event.query()
    assert not b.query()
    held.open()
    b.synchronize()
    assert event.query()


def test_callbacks_without_words_to_wait_for(backend: Any, driver: Any) -> None:
    """Where a stream cannot wait for a word, the host function waits, and order is the same."""
    stream = backend.streams.create()
    before = driver.calls("cuStreamWaitValue32_v2")
    stream.add_callback(lambda: None)
    stream.synchronize()
    assert driver.calls("cuStreamWaitValue32_v2") > before


def test_many_threads_give_callbacks(backend: Any) -> None:
    stream = backend.streams.create()
    seen: list[int] = []

    def give(first: int) -> None:
        for i in range(first, first + 100):
            stream.add_callback(lambda i=i: seen.append(i))

    threads = [threading.Thread(target=give, args=(i * 100,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stream.synchronize()
    assert sorted(seen) == list(range(400))
    for i in range(4):
        mine = [x for x in seen if i * 100 <= x < (i + 1) * 100]
        assert mine == sorted(mine)


def test_the_exception_is_the_cause_once(backend: Any) -> None:
    stream, other = backend.streams.create(), backend.streams.create()
    problem = LookupError("on purpose")

    def fail() -> None:
        raise problem

    stream.add_callback(fail)
    stream.add_callback(fail)
    other.synchronize()
    with pytest.raises(AsyncError, match="first of 2") as caught:
        stream.synchronize()
    assert caught.value.__cause__ is problem
    stream.synchronize()
    stream.add_callback(fail)
    with pytest.raises(AsyncError):
        backend.streams.synchronize()
    backend.streams.synchronize()


def test_the_callback_is_released(backend: Any) -> None:
    class Thing:
        pass

    stream, thing = backend.streams.create(), Thing()
    ghost = weakref.ref(thing)
    stream.add_callback(lambda thing=thing: None)
    del thing
    stream.synchronize()
    assert ghost() is None


def test_a_refused_callback_is_released(backend: Any, driver: Any) -> None:
    class Thing:
        pass

    stream, thing = backend.streams.create(), Thing()
    ghost = weakref.ref(thing)
    driver.fail("cuLaunchHostFunc", 1)
    with pytest.raises(DriverError, match="cuLaunchHostFunc failed: CUDA_ERROR_INVALID_VALUE"):
        stream.add_callback(lambda thing=thing: None)
    del thing
    stream.add_callback(lambda: None)
    stream.synchronize()
    assert ghost() is None


# --- waiting ----------------------------------------------------------------------------------


def test_synchronize_can_be_interrupted(backend: Any) -> None:
    """Ctrl-C ends the wait; the stream goes on."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job has none
    stream = backend.streams.create()
    held = Held(stream)
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.05, lambda: signal.pthread_kill(main, signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            stream.synchronize()
        timer.join()
    finally:
        signal.signal(signal.SIGINT, before)
        held.open()
    stream.synchronize()


def test_synchronize_lets_other_threads_run(backend: Any) -> None:
    stream = backend.streams.create()
    held = Held(stream)
    threading.Timer(0.02, held.open).start()
    stream.synchronize()
    assert stream.query()


# --- references -------------------------------------------------------------------------------


def test_kept_until_the_stream_has_passed(backend: Any) -> None:
    class Operand:
        pass

    stream = backend.streams.create()
    held = Held(stream)
    first, second = Operand(), Operand()
    ghosts = [weakref.ref(first), weakref.ref(second)]
    _native.keep(stream, first, None, second)
    del first, second
    gc.collect()
    assert _native.held_references(0) >= 2
    assert all(g() is not None for g in ghosts)
    held.open()
    stream.synchronize()
    assert all(g() is None for g in ghosts)


def test_later_calls_release_what_has_passed(backend: Any) -> None:
    class Operand:
        pass

    stream = backend.streams.create()
    ghosts = []
    for _ in range(50):
        operand = Operand()
        ghosts.append(weakref.ref(operand))
        _native.keep(stream, operand)
        while not stream.query():
            time.sleep(0)
    assert sum(g() is not None for g in ghosts) <= 3


def test_a_destructor_may_call_us(backend: Any) -> None:
    """Releasing a reference runs any code: a finaliser may keep something on the same stream."""
    stream = backend.streams.create()

    class Operand:
        def __del__(self) -> None:
            _native.keep(stream, object())

    for _ in range(20):
        _native.keep(stream, Operand())
    for _ in range(3):
        stream.synchronize()
    assert stream.query()


# --- errors of the driver ---------------------------------------------------------------------


def test_driver_errors_are_typed(backend: Any, driver: Any) -> None:
    held = Held(backend.streams.create(-1))  # so that no idle stream is there to be used again
    driver.fail("cuStreamCreateWithPriority", 2)
    with pytest.raises(OutOfMemoryError, match="cuStreamCreateWithPriority failed"):
        backend.streams.create(-1)
    held.open()
    stream = backend.streams.create()
    driver.fail("cuStreamQuery", 400)
    with pytest.raises(ArgumentError, match="CUDA_ERROR_INVALID_HANDLE"):
        stream.query()
    driver.fail("cuEventRecord", 1)
    with pytest.raises(DriverError) as caught:
        stream.record_event()
    assert (caught.value.call, caught.value.code, caught.value.name) == (
        "cuEventRecord",
        1,
        "CUDA_ERROR_INVALID_VALUE",
    )
    driver.fail("cuEventRecord", 12345)
    with pytest.raises(DriverError, match="cuEventRecord failed: error 12345, no description"):
        stream.record_event()


def test_a_lost_context_says_so(backend: Any, driver: Any) -> None:
    stream = backend.streams.create()
    driver.fail("cuStreamQuery", 700, times=2)
    for call in (stream.query, stream.synchronize):
        with pytest.raises(ContextLostError, match="context with all its memory is lost") as caught:
            call()
        assert isinstance(caught.value, AsyncError)
        assert "restart the process" in caught.value.cure
