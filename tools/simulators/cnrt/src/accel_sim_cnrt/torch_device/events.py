"""Notifiers as events."""

from __future__ import annotations

from typing import Any

import torch

from .devices import index_of
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

    def hardware_time(self, end: Event) -> float:
        """Microseconds between two records, as the device's own clock has them."""
        if not (self.event_id and end.event_id):
            raise RuntimeError("hardware_time: both events must be recorded first")
        return float(native.hardware_us(self.event_id, end.event_id))

    def ipc_handle(self) -> bytes:
        raise NotImplementedError("events between processes are not simulated")

    def __repr__(self) -> str:
        return f"<torch.{torch_name().device}.Event {self.event_id or 0:#x}>"


def _current() -> torch.Stream:
    index = index_of(None)
    return torch.Stream(
        stream_id=native.current_stream(index), device_index=index, device_type=20
    )
