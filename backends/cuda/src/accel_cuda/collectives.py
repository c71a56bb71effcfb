"""Collectives on GPUs: NCCL (RCCL under HIP), from core's shared implementation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from accel.capabilities import Capability, Level
from accel.collectives import Channel, TorchCollectives, channels_for, register_channel

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["NCCL", "CudaCollectives"]

#: How much later than accel NCCL's own watchdog gives up. It ends the process when it does.
WATCHDOG_GRACE = timedelta(minutes=10)


def _unusable() -> str:
    """Why NCCL cannot be used here, or ""."""
    import torch
    import torch.distributed as dist

    if not dist.is_available():
        return "this torch was built without torch.distributed"
    if not dist.is_nccl_available():
        return "this torch was built without NCCL"
    devices, ranks = torch.cuda.device_count(), _ranks_here()
    if ranks > devices:
        many = f"{devices} GPU{'s' if devices != 1 else ''}"
        return f"{ranks} ranks share {many} here (LOCAL_WORLD_SIZE), and NCCL takes one rank a GPU"
    return ""


def _ranks_here() -> int:
    """Ranks of the world on this machine, as torchrun says; 1 where nobody does."""
    text = os.environ.get("LOCAL_WORLD_SIZE", "")
    return int(text) if text.isdecimal() else 1


def _group_options(timeout: float) -> Mapping[str, Any]:
    return {"timeout": timedelta(seconds=timeout) + WATCHDOG_GRACE}


#: Messages are matched by their order alone: NCCL has no tags.
NCCL = Channel(
    "nccl",
    "cuda",
    unusable=_unusable,
    group_options=_group_options,
    averages=True,
    tags=False,
    summary="NCCL (RCCL under HIP): NVLink, PCIe, InfiniBand; one rank a GPU",
)


class CudaCollectives(TorchCollectives):
    """Communicators for tensors on GPUs.

    Over NCCL, collectives are its own (NATIVE). Two claims are not made there: COLLECTIVE_TIMEOUT,
    since a call returns when its result is ordered on the stream, so that a rank that never comes
    shows in ``work.wait(timeout)``, ``barrier()`` or a later call; and P2P, since messages have no
    tags and run in the order of the calls. Where NCCL cannot be used, all of it goes through
    pinned host memory and gloo (STAGED).
    """

    capabilities: Mapping[Capability, Level]

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        register_channel(NCCL)
        usable = self.channels()
        refused = tuple(
            f"no collectives by {c.name}: {reason}"
            for c in channels_for("cuda")
            if (reason := c.why_unusable())
        )
        if NCCL.name in usable:
            self.capabilities = {Capability.COLLECTIVES: Level.NATIVE}
            self.notes = (
                "collectives by nccl; messages between the same two ranks arrive in the order of"
                " the calls, without tags: exchange with batch(), which keeps tags apart",
                *refused,
            )
        elif usable:
            staged = (Capability.COLLECTIVES, Capability.COLLECTIVE_TIMEOUT, Capability.P2P)
            self.capabilities = dict.fromkeys(staged, Level.STAGED)
            self.notes = (f"collectives by {usable[0]}, staged through pinned memory", *refused)
        else:
            self.capabilities = {}
            self.notes = refused
