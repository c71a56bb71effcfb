"""Programs that call libascendcl through ctypes, each in a process of its own."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accel_sim import Simulation
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

    def run(
        source: str,
        *,
        device: int | None = 0,
        check: bool = True,
        variables: dict[str, str] | None = None,
        **options: Any,
    ) -> Finished:
        made = simulation("cann", **options)
        assert isinstance(made, Simulation)
        chosen = "" if device is None else f'ok("aclrtSetDevice", {device})\n'
        program = _FIRST + chosen + textwrap.dedent(source)
        found = {"PYTHONPATH": str(Path(__file__).parent), **(variables or {})}
        return made.python(program, check=check, variables=found)

    return run
