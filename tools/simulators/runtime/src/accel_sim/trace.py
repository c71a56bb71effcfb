"""Traces: what the streams of simulated devices did, as Chrome-trace JSON.

A process that runs with the mode `trace` writes one file, ``PREFIX.PID.json``, that chrome://tracing
and Perfetto show. Here the files of a run are read, counted and joined.
"""

from __future__ import annotations

import glob
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ProcessTrace", "Span", "merge_traces", "read_trace", "read_traces"]


@dataclass(frozen=True)
class Span:
    """One stretch of work.

    Attributes:
        name: the call that asked for it.
        device: where it ran.
        stream: on which of its streams; -1 if a host thread did it.
        start: microseconds.
        duration: microseconds.
        bytes: moved by it; 0 if it moved none.
    """

    name: str
    device: int
    stream: int
    start: float
    duration: float
    bytes: int


@dataclass(frozen=True)
class ProcessTrace:
    """What one process did.

    Attributes:
        pid: the process.
        spans: the work in the order in which it began.
        rows: the names of the rows of the picture: streams, and host threads that did work.
        calls: how often each function of the vendor's interface was called.
        events: the trace's own events, everything that is in the file.
    """

    pid: int
    spans: tuple[Span, ...]
    rows: tuple[str, ...]
    calls: Counter[str]
    events: tuple[dict[str, Any], ...]

    def counts(self) -> Counter[str]:
        """How many stretches of work there were on streams, by name."""
        return Counter(span.name for span in self.spans if span.stream >= 0)

    def named(self, *names: str) -> tuple[Span, ...]:
        """The work that has one of these names."""
        return tuple(span for span in self.spans if span.name in names)

    def streams(self) -> frozenset[tuple[int, int]]:
        """Device and number of the streams that worked."""
        return frozenset((span.device, span.stream) for span in self.spans if span.stream >= 0)


def read_trace(path: str | Path) -> ProcessTrace:
    """Read one file.

    Raises:
        ValueError: it is no trace; names the file and what is wrong.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no trace: {error}") from error
    events = document.get("traceEvents") if isinstance(document, dict) else None
    if not isinstance(events, list):
        raise ValueError(f"{path} is no trace: expected an object with a list traceEvents")
    spans, rows, pids = [], [], set()
    try:
        for event in events:
            pids.add(int(event["pid"]))
            if event["ph"] == "X":
                spans.append(_span(event))
            elif event["ph"] == "M" and event["name"] == "thread_name":
                rows.append(str(event["args"]["name"]))
        counted = dict(document.get("otherData", {})).get("calls", {})
        calls = Counter({str(name): int(count) for name, count in counted.items()})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no trace: {error!r}") from error
    if len(pids) != 1:
        raise ValueError(f"{path} is no trace of one process: it names {sorted(pids) or 'none'}")
    spans.sort(key=lambda span: span.start)
    return ProcessTrace(pids.pop(), tuple(spans), tuple(rows), calls, tuple(events))


def read_traces(prefix: str | Path) -> list[ProcessTrace]:
    """Read ``PREFIX.*.json``, in the order of process ids."""
    return sorted((read_trace(path) for path in _files(prefix)), key=lambda one: one.pid)


def merge_traces(traces: Iterable[ProcessTrace], path: str | Path) -> None:
    """Write the traces of several processes as one file, to look at them on one time axis."""
    events = [event for trace in traces for event in trace.events]
    document = {"traceEvents": events, "otherData": {"simulated": True}}
    Path(path).write_text(json.dumps(document), encoding="utf-8")


def _span(event: dict[str, Any]) -> Span:
    facts = event.get("args", {})
    return Span(
        name=str(event["name"]),
        device=int(facts.get("device", 0)),
        stream=int(facts["stream"]),
        start=float(event["ts"]),
        duration=float(event.get("dur", 0)),
        bytes=int(facts.get("bytes", 0)),
    )


def _files(prefix: str | Path) -> Sequence[str]:
    return sorted(glob.glob(f"{glob.escape(str(prefix))}.*.json"))
