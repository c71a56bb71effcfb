"""The CANN simulator's libraries. Importing this activates nothing."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
