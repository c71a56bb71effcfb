"""A backend around another backend, so that one call of it can be broken.

Every call goes through, streams and events being wrapped on the way out and unwrapped on the way
in. Unbroken, the wrapper conforms: defects are subclasses that override one member.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import accel

__all__ = [
    "WrappedCollectives",
    "WrappedEvent",
    "WrappedEvents",
    "WrappedKV",
    "WrappedMemcpy",
    "WrappedPinned",
    "WrappedStream",
    "WrappedStreams",
    "raw",
]


class _Wrapped:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def raw(value: Any) -> Any:
    """The good backend's own stream or event; anything else as it is."""
    return value._inner if isinstance(value, _Wrapped) else value


class WrappedEvent(_Wrapped):
    """An event of the good backend."""

    def record(self, stream: Any = None) -> None:
        self._inner.record(raw(stream))

    def wait(self, stream: Any = None) -> None:
        self._inner.wait(raw(stream))

    def query(self) -> bool:
        return bool(self._inner.query())

    def synchronize(self) -> None:
        self._inner.synchronize()

    def elapsed_time(self, end: Any) -> float:
        return float(self._inner.elapsed_time(raw(end)))


class WrappedStream(_Wrapped):
    """A stream of the good backend."""

    event_type: Any = WrappedEvent

    def query(self) -> bool:
        return bool(self._inner.query())

    def synchronize(self) -> None:
        self._inner.synchronize()

    def wait_event(self, event: Any) -> None:
        self._inner.wait_event(raw(event))

    def wait_stream(self, stream: Any) -> None:
        self._inner.wait_stream(raw(stream))

    def record_event(self, event: Any = None) -> Any:
        if event is None:
            event = self.event_type(self._inner.record_event())
        event.record(self)
        return event

    def add_callback(self, fn: Callable[[], object]) -> None:
        self._inner.add_callback(fn)

    def __enter__(self) -> Any:
        self._inner.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._inner.__exit__(*exc)


class WrappedStreams(accel.Streams):
    """The streams of the good backend."""

    stream_type: Any = WrappedStream

    def __init__(self, inner: accel.Streams) -> None:
        self.inner = inner
        self.capabilities = inner.capabilities
        self.notes = inner.notes

    def create(self, priority: int = 0) -> Any:
        return self.stream_type(self.inner.create(priority=priority))

    def priority_range(self) -> tuple[int, int]:
        return self.inner.priority_range()

    def default(self) -> Any:
        return self.stream_type(self.inner.default())

    def current(self) -> Any:
        return self.stream_type(self.inner.current())

    def use(self, stream: Any) -> Any:
        return self._use(stream)

    @contextmanager
    def _use(self, stream: Any) -> Iterator[Any]:
        with self.inner.use(raw(stream)):
            yield stream

    def from_handle(self, handle: int) -> Any:
        return self.stream_type(self.inner.from_handle(handle))

    def from_torch(self, stream: Any) -> Any:
        return self.stream_type(self.inner.from_torch(stream))

    def synchronize(self) -> None:
        self.inner.synchronize()


class WrappedEvents(accel.Events):
    """The events of the good backend."""

    event_type: Any = WrappedEvent

    def __init__(self, inner: accel.Events) -> None:
        self.inner = inner
        self.capabilities = inner.capabilities

    def create(self, *, timing: bool = False, interprocess: bool = False) -> Any:
        return self.event_type(self.inner.create(timing=timing, interprocess=interprocess))

    def from_ipc_handle(self, handle: bytes) -> Any:
        return self.event_type(self.inner.from_ipc_handle(handle))


def _through(base: type) -> dict[str, Any]:
    """Methods that call the good backend's, for every public member of an area's base class."""

    def method(name: str) -> Any:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            kwargs = {key: raw(value) for key, value in kwargs.items()}
            return getattr(self.inner, name)(*map(raw, args), **kwargs)

        return call

    def init(self: Any, inner: Any) -> None:
        self.inner = inner
        self.capabilities = inner.capabilities
        self.notes = inner.notes

    bases = [c for c in base.__mro__ if issubclass(c, accel.Provider) and c is not accel.Provider]
    members = [(n, v) for c in bases for n, v in vars(c).items()]
    names = [n for n, v in members if callable(v) and not n.startswith("_")]
    return {"__init__": init, **{name: method(name) for name in names}}


WrappedMemcpy: Any = type("WrappedMemcpy", (accel.Memcpy,), _through(accel.Memcpy))
WrappedPinned: Any = type("WrappedPinned", (accel.PinnedMemory,), _through(accel.PinnedMemory))
WrappedKV: Any = type("WrappedKV", (accel.KVKernels,), _through(accel.KVKernels))
WrappedCollectives: Any = type(
    "WrappedCollectives", (accel.Collectives,), _through(accel.Collectives)
)
