"""Collectives on NPUs: HCCL, from core's shared implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel.torch_device.collectives import TorchDeviceCollectives, device_channel

from .runtime import NPU, connect

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["HCCL", "AscendCollectives"]

#: Messages are matched by their order alone: HCCL has no tags. Its sum is divided for an average.
#: A batch takes one message each way with a peer. torch_npu's gather sends a pickled list first and
#: then gathers everywhere: that alone is asked for. Of the reductions only prod does not take
#: bfloat16.
HCCL = device_channel(
    NPU,
    connect,
    summary="HCCL: HCCS, PCIe, RoCE; one rank an NPU",
    repeats=False,
    widened=(("bfloat16", "prod"),),
)


class AscendCollectives(TorchDeviceCollectives):
    """Communicators for tensors on NPUs, over HCCL, else over gloo through pinned memory."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend, HCCL)
