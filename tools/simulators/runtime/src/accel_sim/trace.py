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
    """One operation of a stream.

    Attributes:
        name: the call that queued it.
        stream: the thread id of the trace: which stream.
        start: microseconds.
        duration: microseconds.
        arguments: what the simulator says of it, such as its bytes.
    """

    name: str
    stream: int
    start: float
    duration: float
    arguments: dict[str, Any]

    @property
    def bytes(self) -> int:
        """Bytes moved; 0 if it moved none."""
        return int(self.arguments.get("bytes", 0))


@dataclass(frozen=True)
class ProcessTrace:
    """What one process did.

    Attributes:
        pid: the process.
        spans: the operations in the order in which they began.
        streams: stream ids and their names.
        events: the trace's own events, everything that is in the file.
    """

    pid: int
    spans: tuple[Span, ...]
    streams: dict[int, str]
    events: tuple[dict[str, Any], ...]

    def counts(self) -> Counter[str]:
        """How many operations there were, by name."""
        return Counter(span.name for span in self.spans)

    def named(self, *names: str) -> tuple[Span, ...]:
        """The operations that have one of these names."""
        return tuple(span for span in self.spans if span.name in names)


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
    spans, streams, pids = [], {}, set()
    for event in events:
        try:
            pids.add(int(event["pid"]))
            if event["ph"] == "X":
                spans.append(_span(event))
            elif event["ph"] == "M" and event["name"] == "thread_name":
                streams[int(event["tid"])] = str(event["args"]["name"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is no trace: {error!r} in {event!r}") from error
    if len(pids) != 1:
        raise ValueError(f"{path} is no trace of one process: it names {sorted(pids) or 'none'}")
    spans.sort(key=lambda span: span.start)
    return ProcessTrace(pids.pop(), tuple(spans), streams, tuple(events))


def read_traces(prefix: str | Path) -> list[ProcessTrace]:
    """Read ``PREFIX.*.json``, in the order of process ids."""
    return sorted((read_trace(path) for path in _files(prefix)), key=lambda one: one.pid)


def merge_traces(traces: Iterable[ProcessTrace], path: str | Path) -> None:
    """Write the traces of several processes as one file, to look at them on one time axis."""
    events = [event for trace in traces for event in trace.events]
    Path(path).write_text(json.dumps({"traceEvents": events}), encoding="utf-8")


def _span(event: dict[str, Any]) -> Span:
    start, duration = float(event["ts"]), float(event.get("dur", 0))
    return Span(event["name"], int(event["tid"]), start, duration, dict(event.get("args", {})))


def _files(prefix: str | Path) -> Sequence[str]:
    return sorted(glob.glob(f"{glob.escape(str(prefix))}.*.json"))
