"""Collectives on MLUs: CNCL, from core's shared implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel.torch_device.collectives import TorchDeviceCollectives, device_channel

from .runtime import MLU, connect

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["CNCL", "MluCollectives"]

#: Messages are matched by their order alone. There is no average: its sum is divided. There is no
#: float64 either: it is moved as bytes, and reduced on the host, never as float32.
CNCL = device_channel(
    MLU,
    connect,
    summary="CNCL: MLU-Link, PCIe, RoCE; one rank an MLU",
    on_host=("float64",),
)


class MluCollectives(TorchDeviceCollectives):
    """Communicators for tensors on MLUs, over CNCL, else over gloo through pinned memory."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend, CNCL)
