"""Streams: capturing work into a graph, and replaying it."""

from __future__ import annotations

import gc

import pytest
import torch

from accel import ArgumentError, AsyncError, Backend, Capability, StateError
from accel_conformance.byte_compare import assert_same_bytes
from accel_conformance.case import case
from accel_conformance.fixtures import Gates, Guards, RandomTensor

GRAPHS = [Capability.STREAMS, Capability.STREAM_GRAPHS]
CALLBACKS = [*GRAPHS, Capability.STREAM_CALLBACK]
COPIES = [*GRAPHS, Capability.COPY]


@case(level=1, needs=CALLBACKS)
def test_runs_at_replay(backend: Backend) -> None:
    """What is captured does not run at the capture, and runs once at every replay, in order."""
    stream = backend.streams.create()
    seen: list[str] = []
    with backend.streams.capture(stream) as graph:
        assert backend.streams.current().handle == stream.handle
        stream.add_callback(lambda: seen.append("a"))
        stream.add_callback(lambda: seen.append("b"))
    stream.synchronize()
    assert seen == [], "the captured work ran before any replay"
    for _ in range(3):
        graph.replay(stream)
    stream.synchronize()
    assert seen == ["a", "b"] * 3


@case(level=1, needs=COPIES)
def test_reads_memory_at_replay(
    backend: Backend, guarded: Guards, random_tensor: RandomTensor
) -> None:
    """A replay copies what the operands hold then, not what they held at the capture."""
    stream = backend.streams.create()
    src, dst = random_tensor(5000), guarded(5000)
    with backend.streams.capture(stream) as graph:
        backend.memcpy.copy_async(dst, src)
    for _ in range(3):
        fresh = random_tensor(5000)
        with backend.stream(stream):
            src.copy_(fresh)
        graph.replay(stream)
        stream.synchronize()
        assert_same_bytes(dst, fresh)


@case(level=1, needs=COPIES)
def test_fork_and_join(backend: Backend, guarded: Guards, random_tensor: RandomTensor) -> None:
    """Streams that wait for the captured one join the capture, and are joined by its waits."""
    first, second, third = (backend.streams.create() for _ in range(3))
    src = random_tensor(40_000)
    middles = [guarded(40_000) for _ in range(2)]
    ends = [guarded(40_000) for _ in range(2)]
    event = backend.events.create()
    with backend.streams.capture(first) as graph:
        backend.memcpy.copy_async(middles[0], src, first)
        first.record_event(event)
        second.wait_event(event)
        backend.memcpy.copy_async(ends[0], middles[0], second)
        third.wait_stream(second)
        backend.memcpy.copy_async(middles[1], ends[0], third)
        first.wait_stream(third)
        backend.memcpy.copy_async(ends[1], middles[1], first)
    for _ in range(2):
        fresh = random_tensor(40_000)
        with backend.stream(second):
            src.copy_(fresh)
        graph.replay(second)  # any stream: the graph has its own order inside
        second.synchronize()
        for tensor in (*middles, *ends):
            assert_same_bytes(tensor, fresh)


@case(level=1, needs=[*COPIES, Capability.STREAM_CALLBACK])
def test_in_stream_order(
    backend: Backend, gate: Gates, guarded: Guards, random_tensor: RandomTensor
) -> None:
    """A replay waits for earlier work of its stream, and later work waits for the replay."""
    captured, stream = backend.streams.create(), backend.streams.create()
    src, a, b, c = random_tensor(3000), guarded(3000), guarded(3000), guarded(3000)
    with backend.streams.capture(captured) as graph:
        backend.memcpy.copy_async(b, a)
    held = gate(stream)
    backend.memcpy.copy_async(a, src, stream)
    graph.replay(stream)
    backend.memcpy.copy_async(c, b, stream)
    assert not stream.query()
    held.open()
    stream.synchronize()
    assert_same_bytes(c, src)


@case(level=1, needs=CALLBACKS)
def test_replay_on_current(backend: Backend) -> None:
    """replay without a stream means the current one."""
    captured, stream = backend.streams.create(), backend.streams.create()
    seen: list[int] = []
    with backend.streams.capture(captured) as graph:
        captured.add_callback(lambda: seen.append(1))
    with backend.stream(stream):
        graph.replay()
    stream.synchronize()
    assert seen == [1]


@case(level=1, needs=[*COPIES, Capability.PINNED])
def test_holds_operands(backend: Backend, guarded: Guards, random_tensor: RandomTensor) -> None:
    """A graph keeps the operands of its calls: dropped by the caller, they are not used again."""
    stream = backend.streams.create()
    expected = random_tensor(70_000, device="cpu")
    host = backend.pinned.empty((70_000,), torch.uint8)
    host.copy_(expected)
    dst = guarded(70_000)
    with backend.streams.capture(stream) as graph:
        backend.memcpy.copy_async(dst, host)
    del host
    gc.collect()
    junk = [backend.pinned.empty((70_000,), torch.uint8).fill_(0xA5) for _ in range(4)]
    graph.replay(stream)
    stream.synchronize()
    assert_same_bytes(dst, expected)
    del junk


@case(level=1, needs=CALLBACKS)
def test_captured_callback_error(backend: Backend) -> None:
    """A captured callback that raises fails the stream that its replay ran on, each time."""
    captured, stream = backend.streams.create(), backend.streams.create()
    problem = LookupError("raised inside a captured callback")

    def fail() -> None:
        raise problem

    with backend.streams.capture(captured) as graph:
        captured.add_callback(fail)
    for _ in range(2):
        graph.replay(stream)
        with pytest.raises(AsyncError) as caught:
            stream.synchronize()
        assert caught.value.__cause__ is problem
        stream.synchronize()


@case(level=1, needs=GRAPHS)
def test_waiting_refused(backend: Backend) -> None:
    """Calls that make the host wait or ask are StateErrors, and the capture goes on."""
    stream, other = backend.streams.create(), backend.streams.create()
    event = backend.events.create()
    with backend.streams.capture(stream) as graph:
        stream.record_event(event)
        for call in (
            stream.synchronize,
            stream.query,
            event.query,
            event.synchronize,
            backend.streams.synchronize,
        ):
            with pytest.raises(StateError):
                call()
        other.wait_event(event)
        stream.wait_stream(other)
    graph.replay(stream)
    stream.synchronize()
    for call in (event.query, event.synchronize):  # part of the graph: it has no time of its own
        with pytest.raises(StateError):
            call()
    event.record(stream)
    event.synchronize()


@case(level=1, needs=COPIES)
def test_pageable_refused(backend: Backend, guarded: Guards, random_tensor: RandomTensor) -> None:
    """Copies that block, and copies of pageable memory, are StateErrors; the capture goes on."""
    if backend.device.type == "cpu":
        pytest.skip("needs memory that the device cannot reach, a CPU reaches all")
    stream = backend.streams.create()
    src, dst, again = random_tensor(3000), guarded(3000), guarded(3000)
    pageable = random_tensor(3000, device="cpu")
    with backend.streams.capture(stream) as graph:
        with pytest.raises(StateError):
            backend.memcpy.copy(dst, src)
        with pytest.raises(StateError):
            backend.memcpy.copy_async(dst, pageable)
        with pytest.raises(StateError):
            backend.memcpy.copy_async(pageable, src)
        backend.memcpy.copy_async(again, src)
    graph.replay(stream)
    stream.synchronize()
    assert_same_bytes(again, src)


@case(level=1, needs=CALLBACKS)
def test_not_joined(backend: Backend) -> None:
    """A stream that joined and was not waited for is a StateError; both streams work afterwards."""
    stream, other = backend.streams.create(), backend.streams.create()
    capture = backend.streams.capture(stream)
    graph = capture.__enter__()
    other.wait_stream(stream)
    other.add_callback(lambda: None)
    with pytest.raises(StateError):
        capture.__exit__(None, None, None)
    with pytest.raises(StateError):
        graph.replay(stream)
    seen: list[int] = []
    for s in (stream, other):
        s.add_callback(lambda: seen.append(1))
        s.synchronize()
    assert seen == [1, 1]


@case(level=1, needs=CALLBACKS)
def test_abandoned(backend: Backend) -> None:
    """An exception inside ends the capture, arrives unchanged, and leaves the stream usable."""
    stream = backend.streams.create()
    outside = backend.streams.current().handle
    seen: list[int] = []
    graphs = []

    def inside() -> None:
        with backend.streams.capture(stream) as graph:
            graphs.append(graph)
            stream.add_callback(lambda: seen.append(0))
            raise KeyError("from inside")

    with pytest.raises(KeyError, match="from inside"):
        inside()
    assert backend.streams.current().handle == outside
    with pytest.raises(StateError):
        graphs[0].replay(stream)
    stream.add_callback(lambda: seen.append(1))
    stream.synchronize()
    assert seen == [1]


@case(level=1, needs=GRAPHS)
def test_graph_refused(backend: Backend) -> None:
    """No capture of the default stream, none within itself, and no replay before its end."""
    with pytest.raises(ArgumentError) as caught:
        with backend.streams.capture(backend.streams.default()):
            pass
    assert caught.value.argument == "stream"
    stream = backend.streams.create()
    with backend.streams.capture(stream) as graph:
        with pytest.raises(StateError):
            graph.replay(stream)
        with pytest.raises(StateError), backend.streams.capture(stream):
            pass
    graph.replay(stream)
    stream.synchronize()


@case(level=1, needs=CALLBACKS)
def test_many_graphs(backend: Backend) -> None:
    """Graphs of several streams, replayed in turn and dropped while they run."""
    streams = [backend.streams.create() for _ in range(3)]
    seen: list[tuple[int, int]] = []
    for round_ in range(10):
        for i, stream in enumerate(streams):
            with backend.streams.capture(stream) as graph:
                stream.add_callback(lambda i=i, r=round_: seen.append((i, r)))  # type: ignore[misc]
            graph.replay(stream)
            graph.replay(stream)
            del graph
    backend.streams.synchronize()
    for i in range(3):
        assert [r for j, r in seen if j == i] == [r for r in range(10) for _ in range(2)]
