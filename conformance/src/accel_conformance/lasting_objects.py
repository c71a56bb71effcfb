"""What lives as long as the run is kept out of the garbage collector's way.

Many cases collect, to see that nothing is let go too early or kept for too long. What torch, a
vendor's package and thousands of collected cases have made is then looked at each time, which takes
most of such a case's time.
"""

from __future__ import annotations

import gc
import sys

__all__ = ["LastingObjects"]

#: Packages import others on first use: more modules than this are worth a collection.
MODULES = 50


class LastingObjects:
    """Sets them apart, again when a case has imported much."""

    def __init__(self) -> None:
        self._modules = 0

    def set_apart(self) -> None:
        """Between cases, when no object of one is alive."""
        if len(sys.modules) - self._modules > MODULES:
            if self._modules:
                gc.collect()  # the garbage of cases shall not last
            gc.freeze()
            self._modules = len(sys.modules)

    def give_back(self) -> None:
        """At the end of a run that this process may outlive; xdist's workers end with theirs."""
        gc.unfreeze()
