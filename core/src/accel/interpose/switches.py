"""ACCEL_BLOCKING and ACCEL_SANITIZE: read when a backend is built."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import DiscoveryError

if TYPE_CHECKING:
    from ..backend import Backend

__all__ = ["BLOCKING", "SANITIZE", "apply_switches"]

BLOCKING = "ACCEL_BLOCKING"
SANITIZE = "ACCEL_SANITIZE"


def apply_switches(backend: Backend) -> None:
    """Put in front of a backend just built what the environment asks for; nothing by default.

    Raises:
        DiscoveryError: a value that means nothing.
    """
    blocking = _read(BLOCKING, ("1",))
    sanitize = _read(SANITIZE, ("1", "raise"))
    if blocking:
        from .blocking import block

        block(backend)
    if sanitize:
        from ..sanitizer import StreamSanitizer

        StreamSanitizer(backend, raising=sanitize == "raise").start(within_modes=True)


def _read(name: str, meanings: tuple[str, ...]) -> str:
    value = os.environ.get(name, "").strip()
    if value in ("", "0"):
        return ""
    if value not in meanings:
        raise DiscoveryError(
            f"{name}={value!r} means nothing.",
            f"set {name} to 0 or {' or '.join(meanings)}, or leave it out",
        )
    return value
