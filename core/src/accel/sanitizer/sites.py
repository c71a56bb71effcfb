"""Where in the user's program a call was made."""

from __future__ import annotations

import sys
from types import FrameType
from typing import NamedTuple

__all__ = ["Site", "Skipped"]


class Site(NamedTuple):
    """A line of the user's program."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} ({self.function})"


class Skipped:
    """Finds the innermost frame that is neither accel's, nor the plugin's, nor torch's."""

    def __init__(self, *packages: str) -> None:
        self._packages = frozenset(("accel", "torch", "contextlib", "threading", *packages))
        self._mine: dict[str, bool] = {}

    def site(self, otherwise: Site | None = None) -> Site:
        """The line that is to blame for the call being made now.

        ``otherwise`` where no frame is the program's: a callback that is no Python function.
        """
        innermost = sys._getframe(1)
        frame: FrameType | None = innermost
        mine = self._mine
        while frame is not None:
            name = frame.f_globals.get("__name__", "")
            skip = mine.get(name)
            if skip is None:
                skip = mine[name] = name.partition(".")[0] in self._packages
            if not skip:
                code = frame.f_code
                return Site(code.co_filename, frame.f_lineno, code.co_name)
            frame = frame.f_back
        if otherwise is not None:
            return otherwise
        code = innermost.f_code
        return Site(code.co_filename, innermost.f_lineno, code.co_name)
