"""Backends for the tests of the runner itself: they crash, hang, are simulated, and so on."""

from __future__ import annotations

import ctypes
import time
from typing import Any

import accel
from accel import Capability

from .defect import Defect
from .wrapping import WrappedMemcpy

__all__ = ["DEFECTS", "PASSING", "SOUND", "STALE", "XFAILS"]


class _Crashing(WrappedMemcpy):  # type: ignore[misc]
    """fill reads at address 0."""

    def fill(self, dst: Any, value: int, stream: Any = None) -> None:
        ctypes.string_at(0)


class _Hanging(WrappedMemcpy):  # type: ignore[misc]
    """fill does not return for a long time."""

    def fill(self, dst: Any, value: int, stream: Any = None) -> None:
        time.sleep(300)


class _Modest(WrappedMemcpy):  # type: ignore[misc]
    """Can do pitched copies, but does not say so."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        levels = inner.capabilities
        self.capabilities = {c: levels[c] for c in levels if c != Capability.COPY_2D}


class _NoFill(WrappedMemcpy):  # type: ignore[misc]
    """fill fails every time."""

    def fill(self, dst: Any, value: int, stream: Any = None) -> None:
        raise accel.OutOfMemoryError("no fill today")


def _simulated() -> accel.Probe:
    return accel.Probe(True, "a simulator of a chip", device_count=1, simulated=True)


#: The wrapper with nothing broken: it must pass what the defects fail.
SOUND = Defect("none", ())

DEFECTS = (
    SOUND,
    Defect("crash", (), memcpy=_Crashing),
    Defect("hang", (), memcpy=_Hanging),
    Defect("unclaimed", (), memcpy=_Modest),
    Defect("simulated", (), probe=_simulated),
    Defect("xfail", (), memcpy=_NoFill),
    Defect("xpass", ()),
    Defect("stale", ()),
)

#: Expected failures of the three last ones: true, out of date, and about no case at all.
XFAILS = {"L1-memcpy::fill_raw": "no fill today"}
PASSING = {"L1-memcpy::fill_raw": "no fill today"}
STALE = {"L1-memcpy::no_such_case*": "left over"}
