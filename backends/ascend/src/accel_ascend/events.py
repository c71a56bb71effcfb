"""Events of the NPU: torch_npu's."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from accel.torch_device.events import TorchEvents
from accel.torch_device.streams import TorchStreams

from . import _native

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["AscendEvents"]


class AscendEvents(TorchEvents):
    """Snapshots with timing. Between processes where CANN, its driver and torch_npu have it."""

    def __init__(self, backend: Backend) -> None:
        missing = _native.describe_acl()["missing"]
        streams = cast(TorchStreams, backend.streams)
        super().__init__(streams, interprocess="aclrtIpcGetEventHandle" not in missing)
