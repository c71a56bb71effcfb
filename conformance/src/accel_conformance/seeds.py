"""One seed for the run, one for each case: a case alone gets the bytes it got in the full run."""

from __future__ import annotations

import hashlib
import secrets

__all__ = ["case_seed", "fresh_run_seed"]


def fresh_run_seed() -> int:
    """A seed that is short enough to be typed."""
    return secrets.randbelow(2**31)


def case_seed(run_seed: int, case_id: str) -> int:
    """The seed of one case: 63 bits that depend on the run's seed and the case's id only."""
    digest = hashlib.sha256(f"{run_seed}\0{case_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
