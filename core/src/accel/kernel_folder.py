"""Where compiled kernels are kept."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["kernel_folder"]


def kernel_folder(variable: str) -> Path | None:
    """The folder that ``variable`` names, else the user's cache; None when there is no home."""
    given = os.environ.get(variable)
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME", "")
    if base and os.path.isabs(base):
        return Path(base) / "accel" / "kernels"
    try:
        return Path.home() / ".cache" / "accel" / "kernels"
    except RuntimeError:
        return None
