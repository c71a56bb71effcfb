"""Streams of a device that torch reaches through a vendor's package: torch's own, adopted.

A stream here is one of torch's, so that eager operations, the vendor's allocator and accel agree on
what it is. torch hands streams out of a pool; :meth:`TorchStreams.create` gives one that nobody
holds through accel, as long as there are any.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

import torch

from ..capabilities import Capabilities, Capability, Level
from ..errors import ArgumentError, AsyncError, DTypeError
from ..providers import Event, Stream, Streams
from ..warn_once import warn_once
from .vendor import TorchVendor

__all__ = ["TorchStream", "TorchStreams"]

#: Streams of torch's pools: at most so many a device and priority, with all vendors.
_POOL = 32

_entered = threading.local()


class TorchStream:
    """One of torch's streams; see :class:`accel.providers.Stream`."""

    __slots__ = (
        "__weakref__",
        "_failures",
        "_home",
        "_torch",
        "device",
        "handle",
        "index",
        "priority",
    )

    def __init__(self, home: TorchStreams, stream: Any, handle: int) -> None:
        self._home = home
        self._torch = stream
        self._failures: list[BaseException] = []
        self.device = home.device
        self.index = home.index
        #: The runtime's handle. To give it work directly use :meth:`submit_handle`.
        self.handle = handle
        self.priority = home.priority_of(stream)

    def submit_handle(self) -> int:
        """The handle, when all that torch was given for this stream has reached the device.

        Vendors queue torch's operations on the host first; a call into the runtime that does not
        wait for that queue would overtake them.

        Raises:
            AsyncError: an operation that torch queued failed on its way to the device.
        """
        return self._home.submit_handle(self._torch)

    def query(self) -> bool:
        given = self._home.given(self)
        with self._home.reporting("query"):
            done = bool(self._torch.query())
        if done:
            self._home.passed(given)
        return done

    def synchronize(self) -> None:
        given = self._home.given(self)
        with self._home.reporting("synchronize"):
            self._torch.synchronize()
        self._home.passed(given)
        self.raise_failures()

    def wait_event(self, event: Event) -> None:
        wait = getattr(event, "wait_on", None)
        if wait is None:
            raise DTypeError("event", f"an event of {self.device.type} devices", repr(event))
        wait(self)

    def wait_stream(self, stream: Stream) -> None:
        if not isinstance(stream, TorchStream):
            raise _not_ours("stream", stream, self.device.type)
        if stream is not self:
            self.wait_event(stream.record_event())

    def record_event(self, event: Event | None = None) -> Event:
        made = self._home.new_event() if event is None else event
        made.record(self)
        return made

    def add_callback(self, fn: Callable[[], object]) -> None:
        if not callable(fn):
            raise DTypeError("fn", "a callable without arguments", repr(fn))
        launch = self._home.launch_host_function
        if launch is None:
            raise self._home.unsupported(Capability.STREAM_CALLBACK, self._home.callback_cure)
        failures = self._failures

        def run() -> None:
            try:
                fn()
            except BaseException as error:
                failures.append(error)

        launch(self, run)

    def as_torch(self) -> Any:
        return self._torch

    def raise_failures(self) -> None:
        """What callbacks raised since the last synchronisation, as the cause of an AsyncError."""
        if not self._failures:
            return
        failures, self._failures[:] = list(self._failures), []
        more = f" (the first of {len(failures)})" if len(failures) > 1 else ""
        raise AsyncError(
            f"a host callback on {self!r} raised {type(failures[0]).__name__}: {failures[0]}{more}"
        ) from failures[0]

    def __enter__(self) -> TorchStream:
        context = self._home.torch.stream(self._torch)
        context.__enter__()
        stack = getattr(_entered, "stack", None)
        if stack is None:
            stack = _entered.stack = []
        stack.append(context)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _entered.stack.pop().__exit__(exc_type, exc, traceback)

    def __repr__(self) -> str:
        return f"<{self.device} stream {self.handle:#x}>"


class TorchStreams(Streams):
    """The streams of ``torch.<device type>``.

    A plugin whose vendor can call the host back sets ``launch_host_function``; one that keeps
    operands alive overrides :meth:`given` and :meth:`passed`; one whose vendor orders streams by
    priority passes the range that torch has there.
    """

    #: ``launch(stream, run)``: has ``run()`` called in the stream's order; None where it cannot be.
    launch_host_function: Callable[[TorchStream, Callable[[], None]], None] | None = None
    callback_cure = ""

    def __init__(
        self, vendor: TorchVendor, index: int, priorities: tuple[int, int] = (0, 0)
    ) -> None:
        """``priorities``: ``(least, greatest)`` of torch's streams; (0, 0) where accepted only."""
        self.vendor = vendor
        self.torch = vendor.load()
        self.index = index
        self.device = torch.device(vendor.device_type, index)
        self.handle_name = vendor.handle or f"{vendor.device_type}_stream"
        self._priorities = priorities
        self._lock = threading.Lock()
        self._by_id: weakref.WeakValueDictionary[int, TorchStream] = weakref.WeakValueDictionary()
        self._make_event: Callable[[], Event] | None = None
        self._no_handle = 0 if vendor.host_queue else -1
        with self.on_device():  # some vendors make a device's streams when it is first current
            self._default = self._wrap(self.torch.default_stream(index))
        levels = {
            Capability.STREAMS: Level.NATIVE,
            Capability.STREAM_HANDLE: Level.NATIVE,
            Capability.STREAM_TORCH: Level.NATIVE,
        }
        if priorities[0] != priorities[1]:
            levels[Capability.STREAM_PRIORITY] = Level.NATIVE
            self.notes = (f"stream priorities {priorities[0]} to {priorities[1]}",)
        else:
            self.notes = ("stream priorities are accepted, and not honoured",)
        self.capabilities = Capabilities(levels)

    # --- the contract

    def create(self, priority: int = 0) -> Stream:
        if not isinstance(priority, int):
            raise DTypeError("priority", "an integer", repr(priority))
        shared, busy = None, None
        for candidate in self._pool(priority):
            with self._lock:
                held = self._by_id.get(candidate.stream_id)
            if held is not None:
                shared = held
            elif candidate.query():
                return self._wrap(candidate)
            else:  # its last owner's work is still there
                busy = candidate
        if busy is not None:
            return self._wrap(busy)
        further = self._further(priority)
        if further is not None:
            return further
        warn_once(
            f"all streams that torch has for {self.device} are in use: further ones are shared with"
            " those, so that their work is in one order. Cure: keep fewer streams"
        )
        return self._default if shared is None else shared

    def priority_range(self) -> tuple[int, int]:
        return self._priorities

    def priority_of(self, stream: Any) -> int:
        """The priority of one of torch's streams, 0 where priorities are not honoured."""
        least, greatest = self._priorities
        if least == greatest:  # where priorities are nothing, some vendors refuse to tell
            return 0
        return min(least, max(greatest, int(stream.priority)))

    def _further(self, priority: int) -> Stream | None:
        """A stream beyond torch's pools, where the vendor can make one that torch takes."""
        return None

    def default(self) -> Stream:
        return self._default

    def current(self) -> TorchStream:
        return self._wrap(self.torch.current_stream(self.index))

    def use(self, stream: Stream) -> AbstractContextManager[Stream]:
        if not isinstance(stream, TorchStream):
            raise _not_ours("stream", stream, self.vendor.device_type)
        return stream

    def from_handle(self, handle: int) -> Stream:
        if not isinstance(handle, int) or not 0 <= handle < 2**64 or handle == self._no_handle:
            raise ArgumentError(
                "handle",
                f"a stream of {self.device}, as stream.handle or torch's"
                f" {self.handle_name} gives it",
                repr(handle),
            )
        for candidate in self._torch_streams():
            found = self._wrap(candidate)
            if found.handle == handle:
                return found
        return self.adopt_foreign(handle)

    def adopt_foreign(self, handle: int) -> Stream:
        """A stream that torch did not make; refused where torch cannot order its own work by it."""
        raise ArgumentError(
            "handle",
            f"one of torch's streams of {self.device}: their events and memory are looked after"
            " by torch, those of other streams are not",
            hex(handle),
            f"create the stream with torch.{self.vendor.device_type}.Stream() or"
            " backend.streams.create(), and give the other library its handle",
        )

    def from_torch(self, stream: Any) -> Stream:
        ours = isinstance(stream, self.torch.Stream)
        if not ours and (
            not isinstance(stream, torch.Stream) or stream.device.type != self.device.type
        ):
            raise DTypeError("stream", f"a torch.{self.vendor.device_type}.Stream", repr(stream))
        if stream.device.index != self.index:
            raise ArgumentError(
                "stream",
                f"a stream of device {self.device}",
                f"one of {stream.device}",
                "use the backend of that device",
            )
        if not ours:  # torch's general kind, as torch.accelerator.current_stream() gives
            stream = self.torch.Stream(
                stream_id=stream.stream_id,
                device_index=stream.device_index,
                device_type=stream.device_type,
            )
        return self._wrap(stream)

    def synchronize(self) -> None:
        given = self.given(None)
        with self.reporting("synchronize"):
            self.torch.synchronize(self.index)
        self.passed(given)
        with self._lock:
            known = list(self._by_id.values())
        for stream in known:
            stream.raise_failures()

    # --- for the rest of the backend

    def resolve(self, stream: Stream | None, argument: str = "stream") -> TorchStream:
        """The stream that a call's argument means, checked to be of this device."""
        if stream is None:
            return self.current()
        if not isinstance(stream, TorchStream):
            raise _not_ours(argument, stream, self.vendor.device_type)
        if stream.index != self.index:
            raise ArgumentError(argument, f"a stream of {self.device}", f"one of {stream.device}")
        return stream

    def submit_handle(self, stream: Any) -> int:
        """The handle of torch's stream, behind all work that torch was given for its device.

        Reading the handle makes torch's host-side queue run empty, but it is the current device's
        queue that is looked at: so the stream's device is made current first.
        """
        with self.reporting("submit"), self.on_device():
            handle = int(getattr(stream, self.handle_name))
        if handle == self._no_handle:
            # What the property gives when the queue stopped at a failed operation: to go on would
            # put work on the runtime's default stream, in nobody's order.
            raise AsyncError(
                f"an operation that torch queued for {self.device} failed on its way to the device,"
                f" and its queue takes no more: torch.{self.vendor.device_type}.synchronize() says"
                " why"
            )
        return handle

    def on_device(self) -> AbstractContextManager[Any]:
        """Makes this device torch's current one, where it is not."""
        if self.torch.current_device() == self.index:
            return nullcontext()
        context: AbstractContextManager[Any] = self.torch.device(self.index)
        return context

    def reporting(self, what: str) -> AbstractContextManager[None]:
        return _Reporting(self, what)

    def given(self, stream: TorchStream | None) -> Any:
        """What ``stream``, or the whole device, has been given so far, for :meth:`passed`."""

    def passed(self, given: Any) -> None:
        """All of ``given`` has completed: let go of what it kept alive."""

    def use_events(self, make: Callable[[], Event]) -> None:
        """How ``record_event()`` makes an event."""
        self._make_event = make

    def new_event(self) -> Event:
        if self._make_event is None:
            raise self.unsupported(Capability.EVENTS)
        return self._make_event()

    def _wrap(self, stream: Any) -> TorchStream:
        key = int(stream.stream_id)
        with self._lock:
            known = self._by_id.get(key)
        if known is not None:
            return known
        made = TorchStream(self, stream, self.submit_handle(stream))
        with self._lock:
            return self._by_id.setdefault(key, made)

    def _torch_streams(self) -> Iterator[Any]:
        """The default stream, the known ones and torch's pools."""
        with self._lock:
            known = [stream.as_torch() for stream in self._by_id.values()]
        yield self._default.as_torch()
        yield self.torch.current_stream(self.index)
        yield from known
        least, greatest = self._priorities
        for priority in range(least, greatest - 1, -1):
            yield from self._pool(priority)

    def _pool(self, priority: int) -> Iterator[Any]:
        """Once round torch's pools for a priority, which hand out their streams in turn."""
        least, greatest = self._priorities
        wanted = [min(least, max(greatest, priority))]
        if least == greatest:
            # A vendor's pool for -1 has further streams, that go no sooner.
            wanted = [0, -1]
        for priority in wanted:
            for _ in range(_POOL):
                yield self.torch.Stream(device=self.index, priority=priority)


class _Reporting:
    """Turns torch's RuntimeError about work that failed earlier into an AsyncError."""

    __slots__ = ("_home", "_what")

    def __init__(self, home: TorchStreams, what: str) -> None:
        self._home = home
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(exc, RuntimeError) and not isinstance(exc, AsyncError):
            raise AsyncError(
                f"{self._what} on {self._home.device}: work given earlier failed: {exc}"
            ) from exc


def _not_ours(argument: str, given: object, device_type: str) -> DTypeError:
    return DTypeError(
        argument,
        f"a stream of {device_type} devices",
        repr(given),
        "create streams with backend.streams.create(), or adopt one with from_torch",
    )
