"""What a rank holds that is not in the group it helped to make."""

from __future__ import annotations

from typing import Any

from .base import TorchCommunicator

__all__ = ["OutsideCommunicator"]


class OutsideCommunicator(TorchCommunicator):
    """A communicator closed from the start: ``rank`` is -1, every operation a StateError."""

    def __init__(self, world_rank: int, **common: Any) -> None:
        super().__init__(rank=-1, **common)
        self._closed = f"rank {world_rank} of the world is not among its ranks {list(self.ranks)}"
