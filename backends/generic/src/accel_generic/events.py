"""Events of any device of torch: torch's own."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from accel.torch_device.events import TorchEvents
from accel.torch_device.streams import TorchStreams

from .table import row_of

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["GenericEvents"]


class GenericEvents(TorchEvents):
    """Snapshots with timing, within this process."""

    def __init__(self, backend: Backend) -> None:
        row = row_of(backend.info.device_type)
        streams = cast(TorchStreams, backend.streams)
        space = import_module(row.events) if row.events else streams.torch
        super().__init__(streams, make=space.Event)
