"""Collectives on the CPU: gloo, with timeouts, from core's shared implementation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from accel.capabilities import Capability, Level
from accel.collectives import TorchCollectives, channels_for

if TYPE_CHECKING:
    from accel.backend import Backend

__all__ = ["CpuCollectives"]


class CpuCollectives(TorchCollectives):
    """Communicators for CPU tensors.

    Messages are gloo's own and leave from the tensors themselves (NATIVE); collectives are
    composed from them (COMPOSED), so that reductions have the same bits on every rank.
    """

    capabilities: Mapping[Capability, Level]

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        usable = self.channels()
        if usable:
            self.capabilities = {
                Capability.COLLECTIVES: Level.COMPOSED,
                Capability.COLLECTIVE_TIMEOUT: Level.NATIVE,
                Capability.P2P: Level.NATIVE,
            }
            self.notes = (f"collectives by {usable[0]}",)
        else:
            self.capabilities = {}
            self.notes = tuple(
                f"no collectives by {c.name}: {c.why_unusable()}" for c in channels_for("cpu")
            )
