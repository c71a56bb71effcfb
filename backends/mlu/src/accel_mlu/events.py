"""Events of the MLU: torch_mlu's."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from accel.torch_device.events import TorchEvents
from accel.torch_device.streams import TorchStreams

from . import _native

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["MluEvents"]


class MluEvents(TorchEvents):
    """Snapshots with timing. Between processes where CNRT and torch_mlu have it (6.14)."""

    def __init__(self, backend: Backend) -> None:
        lacks = "cnrtIpcGetNotifierHandle" in _native.describe_cnrt()["missing"]
        super().__init__(cast(TorchStreams, backend.streams), interprocess=not lacks)
