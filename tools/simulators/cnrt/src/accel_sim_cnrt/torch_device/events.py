"""Notifiers as events."""

from __future__ import annotations

from typing import Any

import torch

from .devices import DEVICE_TYPE, index_of
from .names import torch_name
from .native import native

__all__ = ["Event"]


class Event(torch.Event):
    """A mark in a stream; made on the device where it is first recorded.

    Args:
        enable_timing: keep the time of the record, for :meth:`elapsed_time`.
        blocking: accepted; waits always block.
        interprocess: accepted; handing events to other processes is not simulated.
    """

    def __new__(
        cls, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False
    ) -> Event:
        made: Event = torch.Event.__new__(
            cls, torch_name().device, enable_timing=enable_timing, blocking=blocking
        )
        made._interprocess = interprocess
        return made

    _interprocess: bool

    def record(self, stream: Any = None) -> None:
        super().record(_current() if stream is None else stream)

    def wait(self, stream: Any = None) -> None:
        super().wait(_current() if stream is None else stream)

    def elapsed_time(self, end: Event) -> float:  # type: ignore[override]
        """Milliseconds between two records that are done."""
        return float(native.elapsed_ms(*_recorded(self, end)))

    def hardware_time(self, end: Event) -> float:
        """Microseconds between two records, as the device's own clock has them."""
        return float(native.hardware_us(*_recorded(self, end)))

    def ipc_handle(self) -> bytes:
        raise NotImplementedError("events between processes are not simulated")

    def __repr__(self) -> str:
        return f"<torch.{torch_name().device}.Event {self.event_id or 0:#x}>"


def _recorded(start: Event, end: Event) -> tuple[int, int]:
    if not (start.event_id and end.event_id):
        raise RuntimeError("both events must be recorded before the time between them is known")
    return int(start.event_id), int(end.event_id)


def _current() -> torch.Stream:
    index = index_of(None)
    return torch.Stream(
        stream_id=native.current_stream(index), device_index=index, device_type=DEVICE_TYPE
    )
