"""Warnings for people: said once in a process, and blamed on the line that called accel."""

from __future__ import annotations

import sys
import warnings

from .errors import AccelWarning

__all__ = ["forget_warnings", "warn_once"]

_said: set[str] = set()


def warn_once(text: str) -> None:
    """Give an AccelWarning unless this text was said before."""
    if text in _said:
        return
    _said.add(text)
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("accel."):
        frame = frame.f_back
        level += 1
    warnings.warn(text, AccelWarning, stacklevel=level)


def forget_warnings() -> None:
    """Say everything anew. For tests."""
    _said.clear()
