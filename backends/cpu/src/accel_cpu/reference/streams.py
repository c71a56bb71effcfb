"""Synchronous streams and events: all work runs inline, so everything is always complete."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from accel.capabilities import Capabilities, Capability, Level
from accel.errors import CapabilityError, DTypeError, StateError
from accel.providers import Event, Events, Stream, Streams

if TYPE_CHECKING:
    from types import TracebackType

    import torch

    from accel.backend import Backend

__all__ = ["ReferenceEvent", "ReferenceEvents", "ReferenceStream", "ReferenceStreams"]

_handles = itertools.count(1)


class ReferenceStream:
    """A stream whose work runs when it is given."""

    priority = 0

    def __init__(self, streams: ReferenceStreams) -> None:
        self._streams = streams
        self._entered: list[AbstractContextManager[Stream]] = []
        self.device = streams.device
        self.handle = next(_handles)

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        """Nothing is ever pending."""

    def wait_event(self, event: Event) -> None:
        if not isinstance(event, ReferenceEvent):
            raise DTypeError("event", "an event of this backend", type(event).__name__)

    def wait_stream(self, stream: Stream) -> None:
        check_stream(stream)

    def record_event(self, event: Event | None = None) -> Event:
        event = event if event is not None else ReferenceEvent(self._streams, timing=False)
        event.record(self)
        return event

    def add_callback(self, fn: Callable[[], object]) -> None:
        # Run here and now it would break the promise that the call returns at once.
        raise CapabilityError(Capability.STREAM_CALLBACK, "cpu-reference", "use the `cpu` backend")

    def as_torch(self) -> Any:
        raise CapabilityError(Capability.STREAM_TORCH, "cpu-reference", "use the `cpu` backend")

    def __enter__(self) -> ReferenceStream:
        scope = self._streams.use(self)
        scope.__enter__()
        self._entered.append(scope)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entered.pop().__exit__(exc_type, exc, traceback)

    def __repr__(self) -> str:
        return f"<cpu-reference stream {self.handle}>"


def check_stream(stream: object) -> None:
    """DTypeError unless None or a stream of this backend."""
    if stream is not None and not isinstance(stream, ReferenceStream):
        raise DTypeError("stream", "a stream of this backend, or None", type(stream).__name__)


class ReferenceStreams(Streams):
    """Streams for form's sake: FIFO because nothing is ever queued."""

    capabilities = Capabilities({Capability.STREAMS: Level.COMPOSED})
    notes = ("synchronous: every call returns when its work is done",)

    def __init__(self, backend: Backend) -> None:
        self.device: torch.device = backend.device
        self._default = ReferenceStream(self)
        self._local = threading.local()

    def create(self, priority: int = 0) -> Stream:
        return ReferenceStream(self)

    def default(self) -> Stream:
        return self._default

    def current(self) -> Stream:
        stack: list[Stream] = getattr(self._local, "stack", [])
        return stack[-1] if stack else self._default

    @contextmanager
    def _use(self, stream: Stream) -> Iterator[Stream]:
        stack: list[Stream] = self._local.__dict__.setdefault("stack", [])
        stack.append(stream)
        try:
            yield stream
        finally:
            stack.pop()

    def use(self, stream: Stream) -> AbstractContextManager[Stream]:
        if not isinstance(stream, ReferenceStream):
            raise DTypeError("stream", "a stream of this backend", type(stream).__name__)
        return self._use(stream)

    def synchronize(self) -> None:
        """Nothing is ever pending."""


class ReferenceEvent:
    """An event that has always completed; keeps the time of its record when asked to."""

    def __init__(self, streams: ReferenceStreams, *, timing: bool) -> None:
        self._streams, self._timing = streams, timing
        self._time: float | None = None
        self.device = streams.device
        self.handle = next(_handles)

    def record(self, stream: Stream | None = None) -> None:
        check_stream(stream)
        self._time = time.perf_counter()

    def wait(self, stream: Stream | None = None) -> None:
        check_stream(stream)

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        """Nothing is ever pending."""

    def elapsed_time(self, end: Event) -> float:
        if not isinstance(end, ReferenceEvent):
            raise DTypeError("end", "an event of this backend", type(end).__name__)
        for name, event in (("this event", self), ("end", end)):
            if not event._timing:
                raise StateError(f"{name} was created without timing=True")
            if event._time is None:
                raise StateError(f"{name} was never recorded")
        assert self._time is not None
        assert end._time is not None
        return (end._time - self._time) * 1e3

    def ipc_handle(self) -> bytes:
        raise CapabilityError(Capability.EVENT_IPC, "cpu-reference", "use the `cpu` backend")


class ReferenceEvents(Events):
    """Events that have always completed."""

    capabilities = Capabilities(
        {
            Capability.EVENTS: Level.COMPOSED,
            Capability.EVENT_TIMING: Level.COMPOSED,
        }
    )

    def __init__(self, backend: Backend) -> None:
        if not isinstance(backend.streams, ReferenceStreams):
            raise DTypeError("backend.streams", "ReferenceStreams", type(backend.streams).__name__)
        self._streams = backend.streams

    def create(self, *, timing: bool = False, interprocess: bool = False) -> Event:
        if interprocess:
            raise self.unsupported(Capability.EVENT_IPC, "use the `cpu` backend")
        return ReferenceEvent(self._streams, timing=timing)
