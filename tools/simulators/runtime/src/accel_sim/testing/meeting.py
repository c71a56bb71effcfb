"""How the ranks of a test tell each other something beside what is under test."""

from __future__ import annotations

import time
from pathlib import Path


class Meeting:
    """Files in a folder that all ranks see."""

    def __init__(self, rank: int, ranks: int, folder: Path) -> None:
        self.rank, self.ranks, self.folder = rank, ranks, folder

    def tell(self, name: str, content: bytes = b"") -> None:
        """Make a file that the other ranks can see."""
        hidden = self.folder / f".{name}.{self.rank}"
        hidden.write_bytes(content)
        hidden.rename(self.folder / name)

    def told(self, name: str, limit: float = 120.0) -> bytes:
        """Wait for a file of another rank."""
        end = time.monotonic() + limit
        while not (self.folder / name).exists():
            assert time.monotonic() < end, f"{name} did not come"
            time.sleep(0.005)
        return (self.folder / name).read_bytes()

    def meet(self, name: str) -> None:
        """Wait until every rank has come here."""
        self.tell(f"{name}-{self.rank}")
        for rank in range(self.ranks):
            self.told(f"{name}-{rank}")
