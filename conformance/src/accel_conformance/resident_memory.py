"""How much memory this process holds, to see that nothing leaks."""

from __future__ import annotations

import gc
import os
from pathlib import Path

__all__ = ["resident_bytes"]


def resident_bytes() -> int | None:
    """Resident set of this process; None where the system does not tell."""
    gc.collect()
    try:
        fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    except OSError:
        return None
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
