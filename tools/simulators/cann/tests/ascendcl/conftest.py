"""Programs that call libascendcl through ctypes, each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accel_sim.abi import programs
from accel_sim.simulation import Finished

#: The `acl` fixture's type.
Acl = Callable[..., Finished]

_FIRST = """\
import ctypes, os, sys, time
from ctypes import byref, c_char_p, c_float, c_int, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from acl import *

"""


@pytest.fixture
def acl(simulation: Any) -> Acl:
    """``acl(source, device=0, check=True, strict=True, ...)``: runs a program.

    The program starts with everything of acl.py and ctypes, and with the device chosen unless
    `device` is None.
    """
    folder = Path(__file__).parent
    return programs(simulation, "cann", folder, _FIRST, 'ok("aclrtSetDevice", {})')
