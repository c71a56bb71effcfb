"""Graphs on the fake driver: what holds what, what is refused, and failures of replays."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from typing import Any

import pytest

from accel import ArgumentError, AsyncError, DTypeError, StateError
from accel_cuda import _native


class Operand:
    pass


def settle(condition: Any) -> None:
    """Until ``condition()`` holds: the driver lets go on threads of its own."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        gc.collect()
        time.sleep(0.002)


def test_replays(backend: Any) -> None:
    stream, other = backend.streams.create(), backend.streams.create()
    seen: list[str] = []
    with backend.streams.capture(stream) as graph:
        assert stream.capturing
        stream.add_callback(lambda: seen.append("a"))
        other.wait_stream(stream)
        assert other.capturing
        other.add_callback(lambda: seen.append("b"))
        stream.wait_stream(other)
    assert not stream.capturing
    assert (graph.nodes, graph.stream, seen) == (2, stream, [])
    for _ in range(3):
        graph.replay(other)
    other.synchronize()
    assert seen == ["a", "b"] * 3


def test_the_graph_holds_operands(backend: Any, driver: Any) -> None:
    stream = backend.streams.create()
    operand = Operand()
    ghost = weakref.ref(operand)
    before, held = driver.graphs(), _native.held_references(0)
    with backend.streams.capture(stream) as graph:
        _native.keep(stream, operand, None)
        stream.add_callback(lambda: None)
    del operand
    gc.collect()
    stream.synchronize()
    assert ghost() is not None
    assert _native.held_references(0) <= held, "the graph's operand waits for an event as well"
    assert driver.graphs() == before + 1
    opened = threading.Event()
    stream.add_callback(lambda: opened.wait(20))
    graph.replay(stream)
    del graph
    gc.collect()
    assert ghost() is not None, "let go while a replay was still to run"
    opened.set()
    stream.synchronize()
    settle(lambda: driver.graphs() == before)
    backend.streams.create()  # any call lets go of what the driver's threads handed back
    assert ghost() is None


def test_an_abandoned_capture_lets_go(backend: Any, driver: Any) -> None:
    stream, operand = backend.streams.create(), Operand()
    ghost, before = weakref.ref(operand), driver.graphs()
    graph = backend.streams.capture(stream)
    graph.__enter__()
    _native.keep(stream, operand)
    del operand
    graph.__exit__(KeyError, KeyError(), None)
    settle(lambda: driver.graphs() == before)
    backend.streams.create()
    assert ghost() is None
    with pytest.raises(StateError, match="never entered, or failed"):
        graph.replay(stream)
    assert stream.query()


def test_a_graph_dropped_inside_its_capture(backend: Any) -> None:
    stream = backend.streams.create()
    graph = backend.streams.capture(stream)
    graph.__enter__()
    graph.__exit__(None, None, None)
    with pytest.raises(StateError, match="captured once"):
        graph.__enter__()
    del graph
    assert backend.streams.current() is backend.streams.default()


def test_refusals_leave_the_capture_alone(backend: Any) -> None:
    stream, event = backend.streams.create(), backend.events.create(timing=True)
    seen: list[int] = []
    with backend.streams.capture(stream) as graph:
        event.record()
        for call in (
            stream.query,
            stream.synchronize,
            event.query,
            event.synchronize,
            lambda: event.elapsed_time(event),
            backend.streams.synchronize,
            lambda: graph.replay(stream),
            backend.streams.capture(stream).__enter__,
        ):
            with pytest.raises(StateError):
                call()
        stream.add_callback(lambda: seen.append(1))
    graph.replay(stream)
    stream.synchronize()
    assert seen == [1]
    with pytest.raises(StateError, match="outside the capture"):
        event.query()
    event.record(stream)
    event.synchronize()


def test_what_cannot_be_captured(backend: Any) -> None:
    with pytest.raises(ArgumentError, match="default stream"):
        backend.streams.capture(backend.streams.default()).__enter__()
    with pytest.raises(DTypeError):
        backend.streams.capture(backend.events.create())


def test_not_joined(backend: Any) -> None:
    stream, other = backend.streams.create(), backend.streams.create()
    graph = backend.streams.capture(stream)
    graph.__enter__()
    other.wait_stream(stream)
    other.add_callback(lambda: None)
    with pytest.raises(StateError, match=r"UNJOINED.*wait_stream"):
        graph.__exit__(None, None, None)
    assert backend.streams.current() is backend.streams.default()
    for s in (stream, other):
        s.synchronize()


@pytest.mark.parametrize(
    "entry", ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"]
)
def test_a_driver_that_fails(backend: Any, driver: Any, entry: str) -> None:
    """Whatever step fails, the current stream is what it was."""
    stream = backend.streams.create()
    driver.fail(entry, 1)
    graph = backend.streams.capture(stream)

    def both_ends() -> None:
        with graph:
            pass

    with pytest.raises(RuntimeError, match=entry):
        both_ends()
    assert backend.streams.current() is backend.streams.default()
    with pytest.raises(StateError):
        graph.replay(stream)
    driver.mend()
    with backend.streams.capture(stream) as again:
        pass
    again.replay(stream)
    stream.synchronize()


def test_a_failing_callback_fails_the_replaying_stream(backend: Any) -> None:
    captured, stream, third = (backend.streams.create() for _ in range(3))
    with backend.streams.capture(captured) as graph:
        captured.add_callback(lambda: 1 // 0)
    for _ in range(2):
        graph.replay(stream)
        with pytest.raises(AsyncError) as caught:
            stream.synchronize()
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        stream.synchronize()
    third.synchronize()
    # What the captured stream does by itself is no longer the other's to report.
    captured.add_callback(lambda: 1 // 0)
    while not captured.query():
        time.sleep(0.001)
    stream.synchronize()
    with pytest.raises(AsyncError):
        captured.synchronize()


def test_many_threads_capture(backend: Any) -> None:
    """Captures of different threads have nothing to do with each other."""
    problems: list[BaseException] = []

    def work() -> None:
        try:
            stream, seen = backend.streams.create(), []
            for i in range(20):
                with backend.streams.capture(stream) as graph:
                    _native.keep(stream, Operand())
                    stream.add_callback(lambda i=i: seen.append(i))
                graph.replay(stream)
                graph.replay()
                stream.synchronize()
            backend.streams.default().synchronize()
            assert sorted(seen) == sorted([*range(20), *range(20)])
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
