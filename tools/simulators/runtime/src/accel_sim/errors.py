"""What can go wrong before a program runs on a simulator."""

from __future__ import annotations

__all__ = ["ModeError", "SimulatorError"]


class ModeError(ValueError):
    """A mode has a value that makes no sense; says which, what is expected, what was given."""


class SimulatorError(RuntimeError):
    """A simulator cannot be used here; says why and what to do."""
