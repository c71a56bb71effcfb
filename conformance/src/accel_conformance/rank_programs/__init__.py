"""What ranks run: programs by name. They are given to ranks by :mod:`accel_conformance.ranks`."""

from . import failures, messages, movement, reductions, wrong_calls
from .context import PROGRAMS, Context, SkipProgram

__all__ = [
    "PROGRAMS",
    "Context",
    "SkipProgram",
    "failures",
    "messages",
    "movement",
    "reductions",
    "wrong_calls",
]
