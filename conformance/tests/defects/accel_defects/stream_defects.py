"""Defects of streams and events."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import accel

from .defect import Defect
from .wrapping import WrappedEvent, WrappedEvents, WrappedStream, WrappedStreams, raw

__all__ = ["DEFECTS"]


def _streams(**members: Any) -> Any:
    """Streams whose stream objects have these members instead."""
    stream = type("BrokenStream", (WrappedStream,), members)
    return type("BrokenStreams", (WrappedStreams,), {"stream_type": stream})


def _events(wait_event: Any = WrappedStream.wait_event, **members: Any) -> dict[str, Any]:
    """Providers whose event objects have these members instead."""
    event = type("BrokenEvent", (WrappedEvent,), members)
    stream = type("Stream", (WrappedStream,), {"event_type": event, "wait_event": wait_event})
    return {
        "events": type("BrokenEvents", (WrappedEvents,), {"event_type": event}),
        "streams": type("Streams", (WrappedStreams,), {"stream_type": stream}),
    }


def _wait_live(self: Any, event: Any) -> None:
    # Reads the event when the stream arrives, not when the call is made.
    self._inner.add_callback(lambda: _poll(raw(event).query))


def _wait_for_any_record(self: Any, event: Any) -> None:
    # An event that was never recorded counts as not complete.
    self._inner.add_callback(lambda: _poll(lambda: hasattr(event, "_stream") and event.query()))


def _poll(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10.0
    while not done() and time.monotonic() < deadline:
        time.sleep(0.001)


def _record_and_remember(self: Any, stream: Any = None) -> None:
    self._stream = stream
    self._inner.record(raw(stream))


def _query_of_stream(self: Any) -> bool:
    stream = self.__dict__.get("_stream")
    return bool(self._inner.query()) if stream is None else bool(raw(stream).query())


def _record_once(self: Any, stream: Any = None) -> None:
    if not self.__dict__.get("_recorded"):
        self._recorded = True
        self._inner.record(raw(stream))


def _record_host_time(self: Any, stream: Any = None) -> None:
    self._inner.record(raw(stream))
    self._called = time.perf_counter()


def _elapsed_host_time(self: Any, end: Any) -> float:
    self._inner.elapsed_time(raw(end))
    return float(end._called - self._called) * 1e3


def _elapsed_at_any_time(self: Any, end: Any) -> float:
    try:
        return float(self._inner.elapsed_time(raw(end)))
    except accel.NotReadyError:
        return 0.0


def _elapsed_without_timing(self: Any, end: Any) -> float:
    with contextlib.suppress(accel.StateError):
        return float(self._inner.elapsed_time(raw(end)))
    return -1.0


def _callback_swallowing(self: Any, fn: Callable[[], object]) -> None:
    def quiet() -> None:
        with contextlib.suppress(Exception):
            fn()

    self._inner.add_callback(quiet)


def _callback_wrapping(self: Any, fn: Callable[[], object]) -> None:
    def rename() -> None:
        try:
            fn()
        except Exception as error:
            raise RuntimeError("something failed") from error

    self._inner.add_callback(rename)


def _callback_in_thread(self: Any, fn: Callable[[], object]) -> None:
    self._inner.add_callback(lambda: threading.Timer(0.002, fn).start())


def _callback_at_once(self: Any, fn: Callable[[], object]) -> None:
    fn()


class _ForgetfulUse(WrappedStreams):
    """``use`` does not restore after an exception."""

    def use(self, stream: Any) -> Any:
        return self._forget(stream)

    @contextmanager
    def _forget(self, stream: Any) -> Iterator[Any]:
        before = getattr(self, "_stuck", None)
        self._stuck = stream
        with self.inner.use(raw(stream)):
            yield stream
        self._stuck = before

    def current(self) -> Any:
        return getattr(self, "_stuck", None) or super().current()


class _SharedUse(WrappedStreams):
    """What one thread makes current is current in all."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self._stack: list[Any] = []

    @contextmanager
    def _use(self, stream: Any) -> Iterator[Any]:
        self._stack.append(stream)
        try:
            with self.inner.use(raw(stream)):
                yield stream
        finally:
            self._stack.pop()

    def current(self) -> Any:
        return self._stack[-1] if self._stack else super().current()


class _LooseRange(WrappedStreams):
    """Priorities are not clamped."""

    def create(self, priority: int = 0) -> Any:
        stream = super().create(priority)
        stream.priority = priority
        return stream


class _IgnoredPriority(WrappedStreams):
    """Priorities are reported, and ignored."""

    def create(self, priority: int = 0) -> Any:
        stream = super().create(0)
        least, greatest = self.priority_range()
        stream.priority = min(max(priority, greatest), least)
        return stream


class _OtherQueue(WrappedStreams):
    """A handle is adopted as a new queue that only has the same number."""

    def from_handle(self, handle: int) -> Any:
        real = self.inner.from_handle(handle)
        stream = self.create()
        stream.handle = real.handle
        return stream


class _OneQueue(WrappedStreams):
    """All streams are one queue."""

    def create(self, priority: int = 0) -> Any:
        if not hasattr(self, "_only"):
            self._only = self.inner.create()
        return self.stream_type(self._only)


class _LazySynchronize(WrappedStreams):
    """Device synchronisation looks at the default stream only."""

    def synchronize(self) -> None:
        self.inner.default().synchronize()


def _nothing(self: Any, *args: Any) -> None:
    return None


DEFECTS = (
    Defect("query-true", ("L1-streams::query_exact",), streams=_streams(query=lambda s: True)),
    Defect("query-false", ("L1-streams::query_exact",), streams=_streams(query=lambda s: False)),
    Defect(
        "synchronize-nothing",
        ("L1-streams::synchronize_blocks",),
        streams=_streams(synchronize=_nothing),
    ),
    Defect("wait-ignored", ("L1-streams::wait_event",), streams=_streams(wait_event=_nothing)),
    Defect(
        "wait-live",
        ("L1-streams::wait_not_shortened", "L1-streams::wait_keeps_snapshot"),
        streams=_streams(wait_event=_wait_live),
    ),
    Defect(
        "wait-for-any-record",
        ("L1-streams::wait_before_record",),
        **_events(wait_event=_wait_for_any_record, record=_record_and_remember),
    ),
    Defect(
        "wait-stream-ignored", ("L1-streams::wait_stream",), streams=_streams(wait_stream=_nothing)
    ),
    Defect(
        "callback-swallowed",
        ("L1-streams::callback_error", "L1-streams::callback_error_keeps_order"),
        streams=_streams(add_callback=_callback_swallowing),
    ),
    Defect(
        "callback-cause-lost",
        ("L1-streams::callback_error",),
        streams=_streams(add_callback=_callback_wrapping),
    ),
    Defect(
        "callback-detached",
        ("L1-streams::callback_between_copies",),
        streams=_streams(add_callback=_callback_in_thread),
    ),
    Defect(
        "callback-at-once",
        ("L1-streams::callback_returns_at_once", "L1-streams::fifo_chain"),
        streams=_streams(add_callback=_callback_at_once),
    ),
    Defect("use-not-restored", ("L1-streams::use_restores_after_error",), streams=_ForgetfulUse),
    Defect("use-shared", ("L1-streams::use_is_per_thread",), streams=_SharedUse),
    Defect("priority-loose", ("L1-streams::priority_clamped",), streams=_LooseRange),
    Defect("priority-ignored", ("L1-streams::priority_honoured",), streams=_IgnoredPriority),
    Defect("handle-other-queue", ("L1-streams::handle_same_queue",), streams=_OtherQueue),
    Defect("one-queue", ("L1-streams::independent",), streams=_OneQueue),
    Defect("device-not-idle", ("L1-streams::synchronize_device",), streams=_LazySynchronize),
    Defect("event-true", ("L1-events::query_follows_snapshot",), **_events(query=lambda e: True)),
    Defect(
        "event-live",
        ("L1-events::snapshot_not_live",),
        **_events(record=_record_and_remember, query=_query_of_stream),
    ),
    Defect("event-once", ("L1-events::newest_snapshot",), **_events(record=_record_once)),
    Defect("event-no-wait", ("L1-events::synchronize_blocks",), **_events(synchronize=_nothing)),
    Defect(
        "elapsed-seconds",
        ("L1-events::timing",),
        **_events(elapsed_time=lambda e, end: e._inner.elapsed_time(raw(end)) / 1e3),
    ),
    Defect(
        "elapsed-at-call",
        ("L1-events::timing_at_completion",),
        **_events(record=_record_host_time, elapsed_time=_elapsed_host_time),
    ),
    Defect(
        "elapsed-unready",
        ("L1-events::timing_not_ready",),
        **_events(elapsed_time=_elapsed_at_any_time),
    ),
    Defect(
        "elapsed-untimed",
        ("L1-events::timing_refused",),
        **_events(elapsed_time=_elapsed_without_timing),
    ),
)
