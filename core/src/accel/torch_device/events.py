"""Events of a device that torch reaches through a vendor's package: torch's own."""

from __future__ import annotations

from typing import Any

from ..capabilities import Capabilities, Capability, Level
from ..errors import ArgumentError, DeviceError, DTypeError, NotReadyError, StateError
from ..providers import Event, Events, Stream
from .streams import TorchStream, TorchStreams

__all__ = ["TorchEvent", "TorchEvents"]


class TorchEvent:
    """One of torch's events; see :class:`accel.providers.Event`."""

    __slots__ = (
        "__weakref__",
        "_foreign",
        "_stream",
        "_streams",
        "_torch",
        "device",
        "interprocess",
        "timing",
    )

    def __init__(
        self,
        streams: TorchStreams,
        event: Any,
        *,
        timing: bool = False,
        interprocess: bool = False,
        foreign: bool = False,
    ) -> None:
        self._streams = streams
        self._torch = event
        self._stream: TorchStream | None = None  # where it was last recorded
        self._foreign = foreign
        self.device = streams.device
        self.timing = timing
        self.interprocess = interprocess

    @property
    def handle(self) -> int:
        return int(getattr(self._torch, f"{self.device.type}_event") or 0)

    def record(self, stream: Stream | None = None) -> None:
        target = self._streams.resolve(stream)
        with self._streams.reporting("record"):
            self._torch.record(target.as_torch())
        self._stream = target

    def wait(self, stream: Stream | None = None) -> None:
        (self._streams.current() if stream is None else stream).wait_event(self)

    def wait_on(self, stream: TorchStream) -> None:
        """What ``stream.wait_event(self)`` does."""
        if not self._recorded:
            return
        abroad = stream.index != self._streams.index
        if abroad and self._stream is not None:
            # Each device has a host-side queue of its own: the record has to leave its queue
            # before the wait enters another, or the wait finds nothing recorded.
            self._stream.submit_handle()
        with self._streams.reporting("wait_event"):
            self._torch.wait(stream.as_torch())
        if abroad:
            # And the wait has to leave its queue before the event may go, in the first one's.
            stream.submit_handle()

    def query(self) -> bool:
        if not self._recorded:
            return True
        with self._streams.reporting("query"):
            return bool(self._torch.query())

    def synchronize(self) -> None:
        if not self._recorded:
            return
        with self._streams.reporting("synchronize"):
            self._torch.synchronize()

    def elapsed_time(self, end: Event) -> float:
        if not isinstance(end, TorchEvent):
            raise DTypeError("end", f"an event of {self.device.type} devices", repr(end))
        for event, which in ((self, "start"), (end, "end")):
            if not event.timing:
                raise StateError(
                    f"elapsed_time: the {which} event was created without timing."
                    " Cure: backend.events.create(timing=True)"
                )
        for event, which in ((self, "start"), (end, "end")):
            if event._stream is None:
                raise StateError(
                    f"elapsed_time: the {which} event was never recorded."
                    " Cure: record both events on a stream"
                )
        if end.device != self.device:
            raise DeviceError("end", f"an event of {self.device}", f"one of {end.device}")
        # torch would wait for both.
        if not (self.query() and end.query()):
            raise NotReadyError(
                "elapsed_time: one of the events has not completed. Cure: end.synchronize() first"
            )
        return 0.0 if end is self else float(self._torch.elapsed_time(end._torch))

    def ipc_handle(self) -> bytes:
        if not self.interprocess:
            raise StateError(
                "the event was created without interprocess=True. Cure:"
                " backend.events.create(interprocess=True)"
            )
        if self._foreign:
            raise StateError(
                "the event belongs to another process. Cure: hand on the handle that it was"
                " opened with"
            )
        with self._streams.on_device(), self._streams.reporting("ipc_handle"):
            return bytes(self._torch.ipc_handle())

    @property
    def _recorded(self) -> bool:
        return self._stream is not None or self._foreign

    def __repr__(self) -> str:
        return f"<{self.device} event{'' if self._recorded else ', not recorded'}>"


def _makes_interprocess(event: Any) -> bool:
    """Whether torch makes such events here: its package asks the driver."""
    if not hasattr(event, "from_ipc_handle"):
        return False
    try:
        event(interprocess=True).ipc_handle()
    except (RuntimeError, TypeError):
        return False
    return True


class TorchEvents(Events):
    """The events of ``torch.<device type>``."""

    def __init__(
        self, streams: TorchStreams, *, interprocess: bool = False, make: Any = None
    ) -> None:
        """
        Args:
            interprocess: whether the vendor's runtime can hand events to other processes; torch's
                events are asked too.
            make: torch's class of events, where the namespace of the streams has none.
        """
        self._streams = streams
        self._make = streams.torch.Event if make is None else make
        with streams.on_device():
            interprocess = interprocess and _makes_interprocess(self._make)
        levels = {Capability.EVENTS: Level.NATIVE, Capability.EVENT_TIMING: Level.NATIVE}
        if interprocess:
            levels[Capability.EVENT_IPC] = Level.NATIVE
        self.capabilities = Capabilities(levels)
        streams.use_events(self.create)

    def create(self, *, timing: bool = False, interprocess: bool = False) -> Event:
        if not interprocess:
            made = self._make(enable_timing=True) if timing else self._make()
            return TorchEvent(self._streams, made, timing=timing)
        if Capability.EVENT_IPC not in self.capabilities:
            raise self.unsupported(Capability.EVENT_IPC, "upgrade the vendor's runtime and driver")
        if timing:
            raise self.unsupported(
                Capability.EVENT_TIMING,
                "the runtime keeps no time for events between processes: make one event for each",
            )
        with self._streams.on_device():
            return TorchEvent(self._streams, self._make(interprocess=True), interprocess=True)

    def from_ipc_handle(self, handle: bytes) -> Event:
        if Capability.EVENT_IPC not in self.capabilities:
            raise self.unsupported(Capability.EVENT_IPC, "upgrade the vendor's runtime and driver")
        if not isinstance(handle, bytes):
            raise DTypeError("handle", "bytes made by event.ipc_handle()", repr(handle))
        opened = None
        failure: Exception | None = None
        try:
            opened = self._make.from_ipc_handle(self._streams.device, handle)
        except RuntimeError as error:
            failure = error
        if opened is None:
            raise ArgumentError(
                "handle",
                "the handle of a live event of another process",
                f"{len(handle)} bytes that the runtime refuses: {failure}",
                "keep the event alive in the process that made it",
            ) from failure
        return TorchEvent(self._streams, opened, interprocess=True, foreign=True)
