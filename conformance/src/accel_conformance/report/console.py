"""The terminal to print to."""

from __future__ import annotations

import sys
from typing import IO

from rich.console import Console

__all__ = ["console_for"]


def console_for(file: IO[str] | None = None, columns: int = 120) -> Console:
    """A console; in a log or a file, where there is no width, of so many columns."""
    stream = file or sys.stdout
    return Console(file=stream, highlight=False, width=None if stream.isatty() else columns)
