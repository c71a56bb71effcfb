"""Defects that a pipeline of layers meets: waits, records and copies that do not hold."""

from __future__ import annotations

import time
from typing import Any

from .defect import Defect
from .wrapping import (
    WrappedEvent,
    WrappedEvents,
    WrappedMemcpy,
    WrappedStream,
    WrappedStreams,
    raw,
)

__all__ = ["DEFECTS"]

#: Cases that any lost order must fail.
ORDER = ("L1-layer::compute_held", "L1-layer::copies_held")


def _streams(**members: Any) -> Any:
    """Streams whose stream objects have these members instead."""
    stream = type("BrokenStream", (WrappedStream,), members)
    return type("BrokenStreams", (WrappedStreams,), {"stream_type": stream})


def _memcpy(**members: Any) -> Any:
    return type("BrokenMemcpy", (WrappedMemcpy,), members)


def _wait_ignored(self: Any, event: Any) -> None:
    return None


def _wait_on_host(self: Any, event: Any) -> None:
    raw(event).synchronize()


def _record_dropped(self: Any, event: Any = None) -> Any:
    return event if event is not None else WrappedEvent(self._inner.record_event())


def _record_once(self: Any, event: Any = None) -> Any:
    if event is None:
        event = WrappedEvent(self._inner.record_event())
    if not event.__dict__.get("_recorded"):
        event._recorded = True
        event.record(self)
    return event


def _copy_on_host(self: Any, dst: Any, src: Any, stream: Any = None) -> None:
    self.inner.copy(dst, src, raw(stream))


def _copy_on_current(self: Any, dst: Any, src: Any, stream: Any = None) -> None:
    self.inner.copy_async(dst, src)


def _batch_short(self: Any, dsts: Any, srcs: Any, stream: Any = None) -> None:
    self.inner.copy_batch(dsts[:-1], srcs[:-1], raw(stream))


class _HostTimes(WrappedEvent):
    """Times of the record calls, not of the stream."""

    def record(self, stream: Any = None) -> None:
        super().record(stream)
        self._called = time.perf_counter()

    def elapsed_time(self, end: Any) -> float:
        self._inner.elapsed_time(raw(end))
        return float(end._called - self._called) * 1e3


DEFECTS = (
    Defect(
        "pipeline-wait-ignored",
        (*ORDER, "L1-layer::both_held", "L1-layer::contents[*]"),
        streams=_streams(wait_event=_wait_ignored),
    ),
    Defect(
        "pipeline-wait-on-host",
        ("L1-layer::compute_held",),
        streams=_streams(wait_event=_wait_on_host),
    ),
    Defect(
        "pipeline-record-dropped",
        (*ORDER, "L1-layer::write_back[*]"),
        streams=_streams(record_event=_record_dropped),
    ),
    Defect(
        "pipeline-record-once",
        ("L1-layer::compute_held",),
        streams=_streams(record_event=_record_once),
    ),
    Defect(
        "pipeline-copy-on-host",
        ("L1-layer::both_held",),
        memcpy=_memcpy(copy_async=_copy_on_host),
    ),
    Defect(
        "pipeline-copy-on-current",
        ("L1-layer::copies_held",),
        memcpy=_memcpy(copy_async=_copy_on_current),
    ),
    Defect(
        "pipeline-batch-short",
        ("L1-layer::contents[*]",),
        memcpy=_memcpy(copy_batch=_batch_short),
    ),
    Defect(
        "pipeline-times-of-host",
        ("L1-layer::report[pipelined]",),
        events=type("HostTimes", (WrappedEvents,), {"event_type": _HostTimes}),
    ),
)
