"""Programs that call libcnrt through ctypes, each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accel_sim.abi import programs
from accel_sim.simulation import Finished

_FIRST = """\
import ctypes, os, sys, time
from ctypes import addressof, byref, c_float, c_int, c_size_t, c_uint, c_uint64, c_void_p
from cnrt import *

"""


@pytest.fixture
def cnrt(simulation: Any) -> Callable[..., Finished]:
    """``cnrt(source, device=0, check=True, cnrt="6.0", strict=True, ...)``: runs a program."""
    return programs(simulation, "cnrt", Path(__file__).parent, _FIRST, 'ok("cnrtSetDevice", {})')
