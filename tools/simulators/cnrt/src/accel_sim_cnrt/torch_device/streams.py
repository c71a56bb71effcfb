"""Queues as streams: those of torch's pools, and others by their handle."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch

from .devices import DEVICE_TYPE, index_of
from .events import Event
from .names import torch_name
from .native import native

__all__ = [
    "ExternalStream",
    "Stream",
    "StreamContext",
    "current_stream",
    "default_stream",
    "set_stream",
    "stream",
]


class Stream(torch.Stream):
    """One of the 32 queues that a device has for a priority, handed out in turn.

    Args:
        device: None: the current one.
        priority: 0 to -3; a lower one goes first, one out of range is clamped.
    """

    def __new__(cls, device: Any = None, priority: int = 0, **known: int) -> Any:
        if "stream_id" in known:
            return _make(cls, known["stream_id"], known["device_index"])
        index = index_of(device)
        made = torch.Stream(torch.device(torch_name().device, index), priority=priority)
        return _make(cls, made.stream_id, index)

    @property
    def queue(self) -> int:
        """The cnrtQueue_t; 0 is the default queue."""
        return int(native.queue(self.device_index, self.stream_id))

    @property
    def priority(self) -> int:
        return int(native.priority(self.device_index, self.stream_id))

    @staticmethod
    def priority_range() -> tuple[int, int]:
        """The least and the greatest priority."""
        return 0, -3

    def wait_event(self, event: Any) -> None:
        event.wait(self)

    def wait_stream(self, stream: Any) -> None:
        self.wait_event(stream.record_event())

    def record_event(self, event: Event | None = None) -> Event:  # type: ignore[override]
        made = Event() if event is None else event
        made.record(self)
        return made

    def __repr__(self) -> str:
        return f"<torch.{torch_name().device}.Stream device={self.device} queue={self.queue:#x}>"


class ExternalStream(Stream):
    """A queue that something else made, and keeps alive.

    Args:
        stream_ptr: its cnrtQueue_t.
        device: the device that it belongs to; None: the current one.
    """

    def __new__(cls, stream_ptr: int, device: Any = None, **_: int) -> Any:
        index = index_of(device)
        return _make(cls, native.external_stream(index, stream_ptr), index)


def _make(cls: Any, stream_id: int, index: int) -> Any:
    return torch.Stream.__new__(
        cls, stream_id=stream_id, device_index=index, device_type=DEVICE_TYPE
    )


def current_stream(device: Any = None) -> Stream:
    index = index_of(device)
    made: Stream = Stream(stream_id=native.current_stream(index), device_index=index)
    return made


def default_stream(device: Any = None) -> Stream:
    made: Stream = Stream(stream_id=0, device_index=index_of(device))
    return made


def set_stream(stream: Any) -> None:
    """Makes a stream its device's current one, for this thread."""
    if stream is not None:
        native.exchange_stream(stream.device_index, stream.stream_id)


class StreamContext:
    """Makes a stream current, and its device, inside a ``with`` block; None changes nothing."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self._before: list[tuple[int, int]] = []

    def __enter__(self) -> None:
        if self.stream is None:
            return
        index = self.stream.device_index
        device = int(native.exchange_device(index))
        self._before.append((device, native.exchange_stream(index, self.stream.stream_id)))

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.stream is None:
            return
        device, stream_id = self._before.pop()
        native.exchange_stream(self.stream.device_index, stream_id)
        native.exchange_device(device)


def stream(stream: Any) -> StreamContext:
    return StreamContext(stream)
