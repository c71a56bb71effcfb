"""Which ways of moving KV a plugin may use in this process, best first."""

from __future__ import annotations

import os

from ..errors import ArgumentError

__all__ = ["TIERS", "allowed_tiers"]

TIERS = ("kernels", "copies", "operators")


def allowed_tiers(variable: str) -> tuple[str, ...]:
    """The tiers that the environment allows: all of them by default, and operators always.

    Args:
        variable: the plugin's, as ACCEL_ASCEND_KV_TIERS; it holds words as ``copies,operators``.

    Raises:
        ArgumentError: a word that is none.
    """
    text = os.environ.get(variable, "")
    words = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in words if word not in TIERS]
    if unknown:
        raise ArgumentError(variable, f"some of {','.join(TIERS)}", text)
    return tuple(t for t in TIERS if not words or t in words or t == "operators")
