"""Which ways of moving KV the process may use, best first."""

from __future__ import annotations

import os

from accel.errors import ArgumentError

__all__ = ["TIERS", "TIERS_VARIABLE", "allowed_tiers"]

#: Which tiers may be used, as ``copies,operators``; all of them by default. Operators always are.
TIERS_VARIABLE = "ACCEL_ASCEND_KV_TIERS"

TIERS = ("kernels", "copies", "operators")


def allowed_tiers() -> tuple[str, ...]:
    """The tiers that the environment allows.

    Raises:
        ArgumentError: a word that is none.
    """
    text = os.environ.get(TIERS_VARIABLE, "")
    words = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in words if word not in TIERS]
    if unknown:
        raise ArgumentError(TIERS_VARIABLE, f"some of {','.join(TIERS)}", text)
    return tuple(t for t in TIERS if not words or t in words or t == "operators")
