"""Events of the CPU backend: snapshots, timing, and other processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import pytest
import torch

from accel import ArgumentError, AsyncError, DTypeError, NotReadyError, StateError
from accel_cpu.events import CpuEvents
from accel_cpu.streams import CpuStreams

streams = CpuStreams()
events = CpuEvents()


class Child:
    """Another Python process: runs ``code``, which talks with ``tell(object)`` and ``hear()``."""

    PRELUDE = """
import json, sys
def tell(value): print(json.dumps(value), flush=True)
def hear(): return sys.stdin.readline()
"""

    def __init__(self, code: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.PRELUDE + code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def hear(self):
        line = self.process.stdout.readline()
        assert line, f"the other process ended with {self.process.wait(30)}"
        return json.loads(line)

    def go_on(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def gate():
    opened = threading.Event()
    yield opened
    opened.set()


def test_never_recorded():
    event = events.create()
    assert event.query()
    event.synchronize()
    event.wait(streams.create())
    streams.create().wait_event(event)
    assert event.device == torch.device("cpu")
    assert event.handle != events.create().handle


@pytest.mark.parametrize("interprocess", [False, True])
def test_query_is_exact(gate, interprocess):
    stream, event = streams.create(), events.create(interprocess=interprocess)
    stream.add_callback(gate.wait)
    event.record(stream)
    assert not event.query()
    gate.set()
    event.synchronize()
    assert event.query()


@pytest.mark.parametrize("interprocess", [False, True])
def test_a_wait_keeps_its_snapshot_when_the_event_is_recorded_again(gate, interprocess):
    first, second, third = (streams.create() for _ in range(3))
    event = events.create(interprocess=interprocess)
    event.record(first)
    never = threading.Event()
    first.add_callback(gate.wait)
    event.record(first)
    third.wait_event(event)  # waits for the gate
    second.add_callback(never.wait)
    event.record(second)  # a later snapshot that does not complete
    seen: list[int] = []
    third.add_callback(lambda: seen.append(1))
    assert not third.query()
    gate.set()
    third.synchronize()
    assert seen == [1]
    assert not event.query()
    never.set()
    event.synchronize()


def test_records_complete_out_of_order(gate):
    slow, fast = streams.create(), streams.create()
    event = events.create(interprocess=True)
    imported = events.from_ipc_handle(event.ipc_handle())
    slow.add_callback(gate.wait)
    event.record(slow)
    waiting = streams.create()
    imported.wait(waiting)  # for the slow record
    event.record(fast)
    event.synchronize()
    assert imported.query()
    assert not waiting.query()
    gate.set()
    waiting.synchronize()


def test_recording_inside_use_is_complete_at_once():
    stream, event = streams.create(), events.create()
    with stream:
        event.record()
        assert event.query()
        event.wait()


@pytest.mark.parametrize("interprocess", [False, True])
def test_elapsed_time(interprocess):
    stream = streams.create()
    start, end = (events.create(timing=True, interprocess=interprocess) for _ in range(2))
    start.record(stream)
    stream.add_callback(lambda: time.sleep(0.03))
    end.record(stream)
    end.synchronize()
    assert 29 < start.elapsed_time(end) < 1000
    assert start.elapsed_time(end) == -end.elapsed_time(start)


def test_elapsed_time_errors(gate):
    stream = streams.create()
    timed, untimed = events.create(timing=True), events.create()
    with pytest.raises(StateError, match="never recorded"):
        timed.elapsed_time(timed)
    timed.record()
    untimed.record()
    with pytest.raises(StateError, match="timing=True"):
        timed.elapsed_time(untimed)
    with pytest.raises(StateError, match="timing=True"):
        untimed.elapsed_time(timed)
    with pytest.raises(DTypeError, match="end"):
        timed.elapsed_time(3)
    stream.add_callback(gate.wait)
    late = events.create(timing=True)
    late.record(stream)
    with pytest.raises(NotReadyError):
        timed.elapsed_time(late)


def test_ipc_handles():
    with pytest.raises(StateError, match="interprocess=True"):
        events.create().ipc_handle()
    for bad in (
        b"",
        b"nonsense",
        b"/accel-event-1-0",
        b"/accel-event-../../etc",
        b"/accel-event-\0x",
    ):
        with pytest.raises(ArgumentError, match="handle"):
            events.from_ipc_handle(bad)
    with pytest.raises(DTypeError, match="handle"):
        events.from_ipc_handle("text")
    event = events.create(interprocess=True)
    handle = event.ipc_handle()
    imported = events.from_ipc_handle(handle)
    with pytest.raises(StateError, match="maker"):
        imported.record()
    with pytest.raises(StateError):
        events.create(timing=True).elapsed_time(imported)
    del event
    with pytest.raises(ArgumentError, match="handle"):
        events.from_ipc_handle(handle)
    assert not os.path.exists("/dev/shm" + handle.decode())


def test_too_many_pending_records_are_refused_not_forgotten(gate):
    stream, event = streams.create(), events.create(interprocess=True)
    stream.add_callback(gate.wait)
    for _ in range(1024):
        event.record(stream)
    with pytest.raises(StateError, match="1024"):
        event.record(stream)
    gate.set()
    stream.synchronize()
    event.synchronize()
    event.record(stream)


WAITER = """
from accel import AsyncError
from accel_cpu.events import CpuEvents
from accel_cpu.streams import CpuStreams
event = CpuEvents().from_ipc_handle({handle!r})
stream = CpuStreams().create()
seen = []
tell(event.query())
event.wait(stream)
stream.add_callback(lambda: seen.append("ran"))
tell(stream.query())
hear()
stream.synchronize()
event.synchronize()
tell([seen, event.query()])
"""


def test_another_process_waits_for_the_record_it_saw(gate):
    stream, event = streams.create(), events.create(interprocess=True)
    event.record(stream)
    stream.add_callback(gate.wait)
    event.record(stream)
    with Child(WAITER.format(handle=event.ipc_handle())) as child:
        assert child.hear() is False
        assert child.hear() is False
        gate.set()
        child.go_on()
        assert child.hear() == [["ran"], True]
        assert child.process.wait(30) == 0


MAKER = """
import threading
from accel_cpu.events import CpuEvents
from accel_cpu.streams import CpuStreams
stream, event = CpuStreams().create(), CpuEvents().create(interprocess=True)
stream.add_callback(threading.Event().wait)
event.record(stream)
tell(event.ipc_handle().decode())
hear()
"""


def test_a_maker_that_dies_is_an_error_not_a_hang():
    with Child(MAKER) as child:
        handle = child.hear().encode()
        event = events.from_ipc_handle(handle)
        stream = streams.create()
        event.wait(stream)
        assert not stream.query()
        child.process.kill()
        child.process.wait(30)
    with pytest.raises(AsyncError, match="ended before"):
        event.synchronize()
    with pytest.raises(AsyncError):
        stream.synchronize()
    stream.synchronize()
    with pytest.raises(ArgumentError, match="ended"):
        events.from_ipc_handle(handle)
    os.unlink("/dev/shm" + handle.decode())
