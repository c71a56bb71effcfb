"""Collectives of any vendor whose library torch.distributed knows."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from accel.collectives import Channel
from accel.torch_device.collectives import TorchDeviceCollectives, device_channel

from .table import row_of

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["GenericCollectives", "channel_of"]


class GenericCollectives(TorchDeviceCollectives):
    """Communicators over the vendor's library, else over gloo through host memory.

    What a library reduces is not known here, so only what every one has is asked of it: averages
    are sums that are divided, messages have no tags, gather is an all_gather, and float64 is
    reduced on the host.
    """

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend, channel_of(backend.info.device_type))


@cache
def channel_of(device_type: str) -> Channel:
    """The channel of a row of the table."""
    row = row_of(device_type)
    return device_channel(
        row.vendor,
        row.vendor.load,
        summary=f"{row.maker}'s {row.vendor.distributed}",
        on_host=("float64",),
    )
