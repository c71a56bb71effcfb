"""Streams of the NPU: torch_npu's, with host callbacks through ACL.

torch_npu hands operators to ACL from a thread of its own (TASK_QUEUE_ENABLE, on by default), so a
call into ACL may come before operators that the program launched earlier. Everything here that
gives a stream work directly takes its handle from :meth:`TorchStream.submit_handle`, which waits
until that thread has handed over what it has, for this stream's device. Work that torch_npu is
given later comes later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from accel.torch_device.native_streams import NativeStreams

from . import _native
from .runtime import NPU, device_index

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["AscendStreams"]


class AscendStreams(NativeStreams):
    """torch_npu's streams. Host callbacks by aclrtLaunchHostFunc, else aclrtLaunchCallback."""

    native: ClassVar[Any] = _native
    callback_cure = "upgrade CANN: this one has neither aclrtLaunchHostFunc nor aclrtLaunchCallback"

    def __init__(self, backend: Backend) -> None:
        super().__init__(NPU, device_index(backend))
        acl: dict[str, Any] = _native.describe_acl()
        simulated = f", simulated: {acl['simulator']}" if acl["simulator"] else ""
        missing = ", ".join(acl["missing"])
        self.notes = (
            f"CANN {acl['cann'] or 'of unknown version'} on {acl['soc'] or 'an unknown chip'}"
            f" ({acl['library']}){simulated}",
            *self.notes,
            *((f"this CANN lacks: {missing}",) if missing else ()),
        )
