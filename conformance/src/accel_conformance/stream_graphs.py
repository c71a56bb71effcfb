"""Random graphs of stream work, and the sequential oracle that says what they must leave behind."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

__all__ = ["Graph", "Step", "random_graph"]


@dataclass(frozen=True)
class Step:
    """One call, in the order of the calls.

    ``copy``: buffer ``a`` to buffer ``b`` on ``stream``; ``record``/``wait``: event ``a`` on
    ``stream``; ``callback``: append ``a`` to the stream's log; ``join``: ``stream`` waits for
    stream ``a``.
    """

    kind: str
    stream: int
    a: int = 0
    b: int = 0


@dataclass
class Graph:
    """A program over a few streams, events and buffers in which no two accesses race."""

    steps: list[Step]
    streams: int
    events: int
    #: Buffer i holds value i at first; after the program, this.
    final: list[int]
    #: What each stream's callbacks leave in its log.
    logs: list[list[int]]


@dataclass
class _Clocks:
    """Vector clocks: what each stream, and each event's newest snapshot, knows to be done."""

    stream: list[list[int]]
    event: list[list[int] | None]
    #: Of each buffer: (stream, tick) of the last write, and of every read since.
    write: list[tuple[int, int] | None]
    reads: list[list[tuple[int, int]]] = field(default_factory=list)

    def knows(self, stream: int, access: tuple[int, int] | None) -> bool:
        return access is None or self.stream[stream][access[0]] >= access[1]

    def merge(self, stream: int, other: list[int]) -> None:
        mine = self.stream[stream]
        self.stream[stream] = [max(a, b) for a, b in zip(mine, other, strict=True)]


def random_graph(
    rng: random.Random, *, streams: int = 3, events: int = 3, buffers: int = 5, steps: int = 12
) -> Graph:
    """A random program without races.

    Copies are chosen among those whose operands the stream knows to be settled (by vector clocks
    over the waits so far), so a sequential run is the only right result, and a wait that does not
    hold lets a copy run too early.
    """
    clocks = _Clocks(
        [[0] * streams for _ in range(streams)], [None] * events, [None] * buffers,
        [[] for _ in range(buffers)],
    )  # fmt: skip
    values = list(range(buffers))
    logs: list[list[int]] = [[] for _ in range(streams)]
    program: list[Step] = []
    while len(program) < steps:
        stream = rng.randrange(streams)
        kind = rng.choices(("copy", "record", "wait", "callback", "join"), (8, 4, 5, 1, 1))[0]
        step = _draw(rng, kind, stream, clocks, values, logs)
        if step is not None:
            program.append(step)
    return Graph(program, streams, events, values, logs)


def _draw(
    rng: random.Random,
    kind: str,
    stream: int,
    clocks: _Clocks,
    values: list[int],
    logs: list[list[int]],
) -> Step | None:
    if kind == "copy":
        return _draw_copy(rng, stream, clocks, values)
    if kind == "record":
        event = rng.randrange(len(clocks.event))
        clocks.event[event] = list(clocks.stream[stream])
        return Step("record", stream, event)
    if kind == "wait":
        event = rng.randrange(len(clocks.event))
        snapshot = clocks.event[event]
        if snapshot is not None:
            clocks.merge(stream, snapshot)
        return Step("wait", stream, event)
    if kind == "join":
        other = rng.randrange(len(clocks.stream))
        clocks.merge(stream, clocks.stream[other])
        return Step("join", stream, other)
    mark = rng.randrange(1000)
    logs[stream].append(mark)
    return Step("callback", stream, mark)


def _draw_copy(rng: random.Random, stream: int, clocks: _Clocks, values: list[int]) -> Step | None:
    order = rng.sample(range(len(values)), len(values))
    sources = [b for b in order if clocks.knows(stream, clocks.write[b])]
    targets = [b for b in sources if all(clocks.knows(stream, r) for r in clocks.reads[b])]
    pairs = [(s, t) for t in targets for s in sources if s != t]
    if not pairs:
        return None
    # Prefer sources that another stream wrote: those are the copies that a lost wait breaks.
    foreign = [p for p in pairs if (clocks.write[p[0]] or (stream, 0))[0] != stream]
    source, target = rng.choice(foreign or pairs)
    clocks.stream[stream][stream] += 1
    tick = clocks.stream[stream][stream]
    clocks.reads[source].append((stream, tick))
    clocks.write[target] = (stream, tick)
    clocks.reads[target] = []
    values[target] = values[source]
    return Step("copy", stream, source, target)
