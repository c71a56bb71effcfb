"""A port that ranks can meet at."""

from __future__ import annotations

import random
import socket
from pathlib import Path

__all__ = ["free_port"]

_LOWEST = 10_000
_HANDED_OUT = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """A port that nobody listens at, below those that the system hands out.

    One of those might be taken by anybody's connection before the ranks come to listen.
    """
    for _ in range(100):
        port = random.SystemRandom().randrange(_LOWEST, _first_handed_out())
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port from {_LOWEST} to {_first_handed_out()} in a hundred tries")


def _first_handed_out() -> int:
    try:
        first = int(_HANDED_OUT.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        first = 32_768  # Linux's own choice
    return first if first > _LOWEST else 65_536
