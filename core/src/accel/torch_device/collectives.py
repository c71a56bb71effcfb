"""Collectives of a vendor's library, as torch.distributed has it, from core's implementation."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ..capabilities import Capability, Level
from ..collectives import Channel, TorchCollectives, channels_for, register_channel
from .vendor import TorchVendor

if TYPE_CHECKING:
    from ..backend import Backend

__all__ = ["TorchDeviceCollectives", "device_channel"]

#: How much later than accel the library's own watchdog gives up. It may end the process then.
WATCHDOG_GRACE = timedelta(minutes=10)


def device_channel(
    vendor: TorchVendor,
    load: Callable[[], Any],
    *,
    summary: str,
    repeats: bool = True,
    gathers: bool = False,
    widened: tuple[tuple[str, str], ...] = (),
    on_host: tuple[str, ...] = (),
) -> Channel:
    """The channel of a vendor's library.

    Averages are sums that are divided, and messages are matched by their order alone: what all
    vendors' libraries do. ``load`` gives ``torch.<device type>``.
    """

    def unusable() -> str:
        import torch.distributed as dist

        if not dist.is_available():
            return "this torch was built without torch.distributed"
        space = load()
        known = getattr(dist.Backend, "backend_list", [])
        if vendor.distributed not in known:
            return f"{vendor.package or 'torch'} has not registered {vendor.distributed}"
        devices, ranks = int(space.device_count()), _ranks_here()
        if ranks > devices:
            many = f"{devices} device{'s' if devices != 1 else ''}"
            return (
                f"{ranks} ranks share {many} here (LOCAL_WORLD_SIZE), and {vendor.distributed}"
                " takes one rank a device"
            )
        return ""

    return Channel(
        vendor.distributed,
        vendor.device_type,
        unusable=unusable,
        group_options=_group_options,
        averages=False,
        tags=False,
        repeats=repeats,
        gathers=gathers,
        widened=widened,
        on_host=on_host,
        summary=summary,
    )


def _ranks_here() -> int:
    """Ranks of the world on this machine, as torchrun says; 1 where nobody does."""
    text = os.environ.get("LOCAL_WORLD_SIZE", "")
    return int(text) if text.isdecimal() else 1


def _group_options(timeout: float) -> Mapping[str, Any]:
    return {"timeout": timedelta(seconds=timeout) + WATCHDOG_GRACE}


class TorchDeviceCollectives(TorchCollectives):
    """Communicators for tensors of a vendor's devices.

    Over the vendor's library, collectives are its own (NATIVE). Two claims are not made there:
    COLLECTIVE_TIMEOUT, since a call returns when its result is ordered on the stream, so that a
    rank that never comes shows in ``work.wait(timeout)``, ``barrier()`` or a later call; and P2P,
    since messages have no tags and run in the order of the calls. Where it cannot be used, all of
    it goes through pinned host memory and gloo (STAGED).
    """

    capabilities: Mapping[Capability, Level]

    def __init__(self, backend: Backend, channel: Channel) -> None:
        super().__init__(backend)
        register_channel(channel)
        usable = self.channels()
        refused = tuple(
            f"no collectives by {c.name}: {reason}"
            for c in channels_for(channel.device_type)
            if (reason := c.why_unusable())
        )
        if channel.name in usable:
            self.capabilities = {Capability.COLLECTIVES: Level.NATIVE}
            self.notes = (
                f"collectives by {channel.name}; messages between the same two ranks arrive in the"
                " order of the calls, without tags: exchange with batch(), which keeps tags apart",
                *(f"{d}: moved by {channel.name}, reduced on the host" for d in channel.on_host),
                *refused,
            )
        elif usable:
            staged = (Capability.COLLECTIVES, Capability.COLLECTIVE_TIMEOUT, Capability.P2P)
            self.capabilities = dict.fromkeys(staged, Level.STAGED)
            self.notes = (f"collectives by {usable[0]}, staged through pinned memory", *refused)
        else:
            self.capabilities = {}
            self.notes = refused
