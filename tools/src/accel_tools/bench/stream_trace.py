"""What a call does on which stream, and when: timing events around all that it queues.

The events are recorded in front of the backend's own methods and add a little to every operation;
figures are therefore never taken from a traced call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from accel import Capability
from accel.interpose.interposition import Interposition
from accel.interpose.members import stream_position

if TYPE_CHECKING:
    from accel import Backend, Event, Stream

__all__ = ["NEEDS", "StreamSpan", "trace"]

NEEDS = (Capability.STREAMS, Capability.EVENTS, Capability.EVENT_TIMING)

#: Traced calls, of which the one of median length is kept.
TURNS = 5

Method = Callable[..., Any]


@dataclass(frozen=True)
class StreamSpan:
    """One operation on one stream. Milliseconds since the traced call began."""

    stream: str  #: "current stream", or "stream 1" and so on in the order of their first use
    kind: Literal["copy", "host", "wait"]  #: of memory or KV, a callback, waiting for an event
    call: str  #: the contract's method
    start: float
    end: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def trace(
    backend: Backend, call: Callable[[], object], synchronize: Callable[[], object]
) -> tuple[StreamSpan, ...]:
    """The operations of the traced ``call`` of median length, in the order they were queued.

    Args:
        backend: has :data:`NEEDS`.
        synchronize: waits until everything that ``call`` queued is done.
    """
    turns = []
    for _ in range(TURNS):
        synchronize()
        tracer = _Tracer(backend)
        with tracer.watching():
            call()
            synchronize()
        turns.append(tuple(tracer.spans()))
    return sorted(turns, key=_end)[TURNS // 2]


class _Tracer:
    """The layer in front of the backend's methods, for one call."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._front = Interposition.of(backend)
        self._within = threading.local()
        self._noted: list[tuple[int, str, str, Event, Event]] = []
        self._current: Stream = backend.streams.current()
        self._origin: Event = backend.events.create(timing=True)

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._front.add(self)
        try:
            self._origin.record(self._current)
            yield
        finally:
            self._front.remove(self)

    def spans(self) -> Iterator[StreamSpan]:
        """After the work is done."""
        names = {self._current.handle: "current stream"}
        for handle, kind, call, start, end in self._noted:
            name = names.setdefault(handle, f"stream {len(names)}")
            at = (self._origin.elapsed_time(event) for event in (start, end))
            yield StreamSpan(name, kind, call, *at)  # type: ignore[arg-type]

    # --- the layer -----------------------------------------------------------------------------

    def provider_method(self, area: str, name: str, inner: Method) -> Method | None:
        if area not in ("memcpy", "kv"):
            return None
        position = stream_position(getattr(self._backend, area), name)
        if position is None:
            return None

        def traced(*args: Any, **kwargs: Any) -> Any:
            given = args[position] if 0 <= position < len(args) else kwargs.get("stream")
            stream = self._backend.streams.current() if given is None else given
            return self._between("copy", f"{area}.{name}", stream, inner, args, kwargs)

        return traced

    def object_method(self, kind: str, name: str, inner: Method) -> Method | None:
        what = {"add_callback": "host", "wait_event": "wait"}.get(name)
        if kind != "stream" or what is None:
            return None

        def traced(stream: Any, *args: Any, **kwargs: Any) -> Any:
            return self._between(what, f"stream.{name}", stream, inner, (stream, *args), kwargs)

        return traced

    def _between(
        self, kind: str, call: str, stream: Stream, inner: Method, args: Any, kwargs: Any
    ) -> Any:
        if getattr(self._within, "call", False):
            return inner(*args, **kwargs)  # a part of what is traced already
        create = self._backend.events.create
        start, end = create(timing=True), create(timing=True)
        self._within.call = True
        try:
            start.record(stream)
            result = inner(*args, **kwargs)
            end.record(stream)
        finally:
            self._within.call = False
        self._noted.append((stream.handle, kind, call, start, end))
        return result


def _end(spans: tuple[StreamSpan, ...]) -> float:
    return max((span.end for span in spans), default=0.0)
