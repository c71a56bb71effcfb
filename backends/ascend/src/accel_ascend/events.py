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
        streams = cast(TorchStreams, backend.streams)
        super().__init__(streams, interprocess=_interprocess(streams))


def _interprocess(streams: TorchStreams) -> bool:
    event = streams.torch.Event
    if "aclrtIpcGetEventHandle" in _native.describe_acl()["missing"]:
        return False
    if not hasattr(event, "from_ipc_handle"):
        return False
    try:
        event(interprocess=True)  # torch_npu asks the driver
    except (RuntimeError, TypeError):
        return False
    return True
