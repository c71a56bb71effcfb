"""Stress: random graphs of stream work against a sequential oracle."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch

from accel import Backend, Capability
from accel.providers import Event, Stream
from accel_conformance.byte_compare import random_bytes
from accel_conformance.case import case
from accel_conformance.fixtures import Effort, ReportProperty
from accel_conformance.resident_memory import resident_bytes
from accel_conformance.stream_graphs import Graph, random_graph

GRAPHS = [
    Capability.STREAMS, Capability.STREAM_CALLBACK, Capability.EVENTS, Capability.COPY,
]  # fmt: skip
MIB = 1 << 20


class _Bench:
    """Streams, events and buffers, made once and used by graph after graph."""

    def __init__(self, backend: Backend, rng: torch.Generator, nbytes: int, streams: int) -> None:
        self._backend = backend
        self.streams: list[Stream] = [backend.streams.create() for _ in range(streams)]
        self.events: list[Event] = [backend.events.create() for _ in range(4)]
        self.contents = random_bytes((6, nbytes), torch.uint8, rng).to(backend.device)
        self.buffers = torch.empty_like(self.contents)

    def run(self, graph: Graph, jitter: random.Random) -> None:
        """Submit the program, wait, and compare with the oracle."""
        backend, streams = self._backend, self.streams
        # Events keep their last record from graph to graph: only a new one was never recorded.
        self.events = [backend.events.create() for _ in range(graph.events)]
        self.buffers.copy_(self.contents)
        backend.streams.default().synchronize()
        logs: list[list[int]] = [[] for _ in range(graph.streams)]
        for step in graph.steps:
            stream = streams[step.stream]
            if step.kind == "copy":
                backend.memcpy.copy_async(self.buffers[step.b], self.buffers[step.a], stream)
            elif step.kind == "record":
                stream.record_event(self.events[step.a])
            elif step.kind == "wait":
                stream.wait_event(self.events[step.a])
            elif step.kind == "join":
                stream.wait_stream(streams[step.a])
            else:
                stream.add_callback(_append(logs[step.stream], step.a))
        for stream in jitter.sample(streams, len(streams)):
            stream.synchronize()
            assert stream.query()
        expected = self.contents[torch.tensor(graph.final, device=backend.device)]
        if not torch.equal(self.buffers[: len(graph.final)], expected):
            raise AssertionError(f"wrong bytes after {graph}")
        assert logs == graph.logs, f"callbacks left {logs} after {graph}"


def _append(log: list[int], mark: int) -> Callable[[], None]:
    return lambda: log.append(mark)


@case(level=4, needs=GRAPHS, seconds=600)
@pytest.mark.parametrize("part", range(4))
def test_small_graphs(
    backend: Backend,
    rng: torch.Generator,
    seed: int,
    effort: Effort,
    report_property: ReportProperty,
    part: int,
) -> None:
    """2,500 graphs of 12 calls on 3 streams; with its siblings 10,000. Memory stays flat."""
    count = effort(2500, 250)
    bench = _Bench(backend, rng, 4096, 3)
    draw = random.Random(seed)
    for _ in range(count // 5):  # allocators and pools reach their size
        bench.run(random_graph(draw), draw)
    before = resident_bytes()
    for _ in range(count - count // 5):
        bench.run(random_graph(draw), draw)
    after = resident_bytes()
    report_property("graphs", count)
    if before is not None and after is not None:
        report_property("resident_growth_bytes", after - before)
        grown = (after - before) / MIB
        assert grown < 16, f"resident memory grew by {grown:.1f} MiB"


@case(level=4, needs=GRAPHS, seconds=600)
def test_deep_graphs(backend: Backend, rng: torch.Generator, seed: int, effort: Effort) -> None:
    """Graphs of 400 calls on 6 streams, with copies long enough to overlap."""
    bench = _Bench(backend, rng, 96 << 10, 6)
    draw = random.Random(seed)
    for _ in range(effort(60, 10)):
        bench.run(random_graph(draw, streams=6, events=4, buffers=6, steps=400), draw)


@case(level=4, needs=GRAPHS, seconds=600)
def test_fresh_streams(backend: Backend, rng: torch.Generator, seed: int, effort: Effort) -> None:
    """Graphs on streams made for each and dropped: resources come and go, memory stays flat."""
    draw = random.Random(seed)
    count = effort(200, 40)
    before: int | None = None
    for i in range(count):
        _Bench(backend, rng, 1024, 3).run(random_graph(draw), draw)
        if i == count // 4:
            before = resident_bytes()
    after = resident_bytes()
    if before is not None and after is not None:
        grown = (after - before) / MIB
        assert grown < 16, f"resident memory grew by {grown:.1f} MiB"
