"""Streams of the NPU: torch_npu's, with host callbacks through ACL.

torch_npu hands operators to ACL from a thread of its own (TASK_QUEUE_ENABLE, on by default), so a
call into ACL may come before operators that the program launched earlier. Everything here that
gives a stream work directly takes its handle from :meth:`TorchStream.submit_handle`, which waits
until that thread has handed over what it has, for this stream's device. Work that torch_npu is
given later comes later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from accel import Capabilities, Capability, Level
from accel.torch_device.streams import TorchStream, TorchStreams

from . import _native
from .runtime import NPU, connect

__all__ = ["AscendStreams"]


class AscendStreams(TorchStreams):
    """torch_npu's streams. Host callbacks where CANN has aclrtLaunchHostFunc."""

    callback_cure = "upgrade CANN: this one has no aclrtLaunchHostFunc"

    def __init__(self, index: int) -> None:
        connect()
        super().__init__(NPU, index)
        acl: dict[str, Any] = _native.describe_acl()
        levels = dict(self.capabilities.items())
        if _native.has_host_functions():
            levels[Capability.STREAM_CALLBACK] = Level.NATIVE
            self.launch_host_function = _launch
        self.capabilities = Capabilities(levels)
        simulated = f", simulated: {acl['simulator']}" if acl["simulator"] else ""
        missing = ", ".join(acl["missing"])
        self.notes = (
            f"CANN {acl['cann'] or 'of unknown version'} on {acl['soc'] or 'an unknown chip'}"
            f" ({acl['library']}){simulated}",
            *self.notes,
            *((f"this CANN lacks: {missing}",) if missing else ()),
        )

    def given(self, stream: TorchStream | None) -> list[tuple[int, int]]:
        return _native.given(self.index, None if stream is None else stream.handle)

    def passed(self, given: Any) -> None:
        _native.passed(self.index, given)


def _launch(stream: TorchStream, run: Callable[[], None]) -> None:
    _native.launch_host_function(stream.index, stream.submit_handle(), run)
