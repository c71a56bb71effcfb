"""Random stream programs: what is reported against a brute-force happens-before graph.

A program is source text with one call on each line, so that a report's lines name its calls. The
oracle draws the graph of all calls, closes it, and compares sets of bytes: nothing of it is shared
with the sanitizer.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import accel
from accel import KVCache, MemRef, StreamRaceWarning, StreamSanitizer

STREAMS, EVENTS = 3, 2
#: Two storages of 8 slots of 2 heads of 4 bytes; each also is a cache of 8 tokens.
SLOTS, HEADS, DIM = 8, 2, 4
BYTES = SLOTS * HEADS * DIM

Bytes = set[tuple[str, int]]


@dataclass
class Oracle:
    """The graph: nodes are numbers, ``after[n]`` all that happens before n."""

    after: list[set[int]] = field(default_factory=list)
    host: int = -1
    streams: list[int] = field(default_factory=lambda: [-1] * STREAMS)
    events: list[int] = field(default_factory=lambda: [-1] * EVENTS)
    accesses: list[tuple[int, int, Bytes, Bytes]] = field(default_factory=list)

    def node(self, *before: int) -> int:
        known: set[int] = set()
        for b in before:
            if b >= 0:
                known |= {b} | self.after[b]
        self.after.append(known)
        return len(self.after) - 1

    def on_host(self, *before: int) -> int:
        self.host = self.node(self.host, *before)
        return self.host

    def on_stream(self, stream: int, *before: int) -> int:
        self.on_host()
        if stream < 0:  # the default stream runs on the calling thread
            return self.host
        self.streams[stream] = self.node(self.streams[stream], self.host, *before)
        return self.streams[stream]

    def races(self) -> set[tuple[int, int]]:
        found = set()
        for i, (line, node, reads, writes) in enumerate(self.accesses):
            for other_line, other, other_reads, other_writes in self.accesses[:i]:
                if other == node or other in self.after[node] or node in self.after[other]:
                    continue
                if writes & (other_writes | other_reads) or reads & other_writes:
                    found.add((other_line, line))
        return found


def flat(name: str, lo: int, hi: int) -> Bytes:
    return {(name, i) for i in range(lo, hi)}


def heads(name: str, head: int, lo: int, hi: int) -> Bytes:
    return {(name, (s * HEADS + head) * DIM + d) for s in range(lo, hi) for d in range(DIM)}


def slots(name: str, which: list[int]) -> Bytes:
    return {(name, s * HEADS * DIM + i) for s in which for i in range(HEADS * DIM)}


names = st.sampled_from(["x", "y"])
streams = st.integers(-1, STREAMS - 1)
events = st.integers(0, EVENTS - 1)


@st.composite
def ranges(draw: st.DrawFn, limit: int) -> tuple[int, int]:
    lo = draw(st.integers(0, limit - 1))
    return lo, draw(st.integers(lo + 1, limit))


@st.composite
def step(draw: st.DrawFn) -> tuple[object, ...]:
    kind = draw(
        st.sampled_from(
            ["copy", "raw", "heads", "heads", "heads", "heads", "fill", "transfer"]
            + [
                "record",
                "wait",
                "record",
                "wait",
                "join",
                "sync",
                "event_sync",
                "host_write",
                "host_read",
                "idle",
            ]
        )
    )
    if kind in ("copy", "raw"):
        return kind, draw(names), draw(ranges(BYTES)), draw(streams)
    if kind == "heads":
        return (
            kind,
            draw(names),
            draw(st.integers(0, HEADS - 1)),
            draw(ranges(SLOTS)),
            draw(streams),
        )
    if kind in ("fill", "host_write", "host_read"):
        return kind, draw(names), draw(ranges(BYTES)), draw(streams)
    if kind == "transfer":
        which = draw(st.lists(st.integers(0, SLOTS - 1), min_size=1, max_size=3, unique=True))
        return kind, draw(names), which, draw(streams)
    if kind in ("record", "wait"):
        return kind, draw(events), draw(st.integers(0, STREAMS - 1))
    if kind == "join":
        return kind, draw(st.integers(0, STREAMS - 1)), draw(st.integers(0, STREAMS - 1))
    if kind == "sync":
        return kind, draw(st.integers(0, STREAMS - 1))
    return kind, draw(events)


def render(steps: list[tuple[object, ...]]) -> tuple[str, Oracle]:
    """The program's text, and its graph. Copies go between a storage and memory of their own."""
    lines: list[str] = []
    oracle = Oracle()
    for number, (kind, *rest) in enumerate(steps, 1):
        stream = f"s[{rest[-1]}]" if isinstance(rest[-1], int) and rest[-1] >= 0 else "None"
        reads: Bytes = set()
        writes: Bytes = set()
        node = -1
        if kind in ("copy", "raw", "heads", "fill", "transfer"):
            node = oracle.on_stream(rest[-1])  # type: ignore[arg-type]
        name = rest[0]
        if kind == "copy":  # reads
            lo, hi = rest[1]  # type: ignore[misc]
            lines.append(f"b.memcpy.copy_async(own({hi - lo}), {name}[{lo}:{hi}], {stream})")
            reads = flat(name, lo, hi)  # type: ignore[arg-type]
        elif kind == "raw":  # writes
            lo, hi = rest[1]  # type: ignore[misc]
            lines.append(f"b.memcpy.copy_async(raw({name}, {lo}, {hi}), own({hi - lo}), {stream})")
            writes = flat(name, lo, hi)  # type: ignore[arg-type]
        elif kind == "heads":
            head, (lo, hi) = rest[1], rest[2]  # type: ignore[misc]
            view = f"{name}.view({SLOTS}, {HEADS}, {DIM})[{lo}:{hi}, {head}]"
            lines.append(f"b.memcpy.copy_async({view}, own({hi - lo}, {DIM}), {stream})")
            writes = heads(name, head, lo, hi)  # type: ignore[arg-type]
        elif kind == "fill":
            lo, hi = rest[1]  # type: ignore[misc]
            lines.append(f"b.memcpy.fill({name}[{lo}:{hi}], 1, {stream})")
            writes = flat(name, lo, hi)  # type: ignore[arg-type]
        elif kind == "transfer":
            which = rest[1]
            other = "y" if name == "x" else "x"
            index = f"torch.tensor({which})"
            lines.append(f"b.kv.transfer(c{name}, c{other}, {index}, {index}, stream={stream})")
            reads, writes = slots(name, which), slots(other, which)  # type: ignore[arg-type]
        elif kind in ("host_write", "host_read"):
            lo, hi = rest[1]  # type: ignore[misc]
            node = oracle.on_host()
            lines.append(f"{name}[{lo}:{hi}].{'zero_' if kind == 'host_write' else 'sum'}()")
            bytes_ = flat(name, lo, hi)  # type: ignore[arg-type]
            reads, writes = (set(), bytes_) if kind == "host_write" else (bytes_, set())
        elif kind == "record":
            lines.append(f"e[{rest[0]}].record(s[{rest[1]}])")
            oracle.events[rest[0]] = oracle.on_stream(rest[1])  # type: ignore[index,arg-type]
        elif kind == "wait":
            lines.append(f"s[{rest[1]}].wait_event(e[{rest[0]}])")
            oracle.on_stream(rest[1], oracle.events[rest[0]])  # type: ignore[index,arg-type]
        elif kind == "join":
            lines.append(f"s[{rest[0]}].wait_stream(s[{rest[1]}])")
            oracle.on_stream(rest[0], oracle.streams[rest[1]])  # type: ignore[index,arg-type]
        elif kind == "sync":
            lines.append(f"s[{rest[0]}].synchronize()")
            oracle.on_host(oracle.streams[rest[0]])  # type: ignore[index]
        elif kind == "event_sync":
            lines.append(f"e[{rest[0]}].synchronize()")
            oracle.on_host(oracle.events[rest[0]])  # type: ignore[index]
        else:
            lines.append("b.streams.synchronize()")
            oracle.on_host(*oracle.streams)
        if reads or writes:
            oracle.accesses.append((number, node, reads, writes))
    return "\n".join(lines), oracle


def reported(program: str) -> list[tuple[int, int]]:
    """The pairs of lines that the sanitizer reports, in order."""
    b = accel.get_backend("cpu")
    x, y = (torch.zeros(BYTES, dtype=torch.uint8) for _ in range(2))
    caches = [KVCache(t.view(SLOTS, HEADS, DIM), "| T H D", block_size=2) for t in (x, y)]
    own: list[torch.Tensor] = []  # never freed while the program runs

    def fresh(*shape: int) -> torch.Tensor:
        own.append(torch.zeros(shape, dtype=torch.uint8))
        return own[-1]

    def raw(t: torch.Tensor, lo: int, hi: int) -> MemRef:
        return MemRef(t.data_ptr() + lo, hi - lo, t.device, t)

    environment = {
        "b": b, "torch": torch, "x": x, "y": y, "cx": caches[0], "cy": caches[1],
        "own": fresh, "raw": raw,
        "s": [b.streams.create() for _ in range(STREAMS)],
        "e": [b.events.create() for _ in range(EVENTS)],
    }  # fmt: skip
    code = compile(program, "the program", "exec")
    environment["__name__"] = "the_program"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StreamRaceWarning)
        with StreamSanitizer(b) as sanitizer:
            exec(code, environment)
    b.streams.synchronize()
    assert all(r.first.site.file == r.second.site.file == "the program" for r in sanitizer.reports)
    return [(r.first.site.line, r.second.site.line) for r in sanitizer.reports]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(step(), min_size=2, max_size=25))
def test_reports_are_what_the_graph_says(steps: list[tuple[object, ...]]) -> None:
    program, oracle = render(steps)
    races, found = oracle.races(), reported(program)
    wrong = [pair for pair in found if pair not in races]
    assert not wrong, f"reported, but ordered or disjoint: {wrong}\n{program}"
    if races:
        # Until the first race nothing was replaced that still mattered: it must be found.
        first = min(later for _, later in races)
        assert any(later == first for _, later in found), f"missed {races}\n{program}"
