"""Division for codes, against that of the machine: see quotient.h. A GPU tries every divisor."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import numpy as np
from cuda_shim import harness

ALL = 1 << 23  # significands
LAST = ALL - 1  # of all ones: accel_divides_fast leaves it out


class QuotientsArgs(ctypes.Structure):
    _fields_ = [
        ("significands", ctypes.c_uint64), ("wrong", ctypes.c_uint64),
        ("count", ctypes.c_uint32), ("unused", ctypes.c_uint32),
    ]  # fmt: skip


def wrong_quotients(shim, significands):
    library = shim(str(Path(harness.__file__).with_name("quotients.cu")))
    with library.memory() as memory:
        given = memory.put(significands.astype(np.uint32))
        wrong = memory.empty((len(significands), 2), np.uint32)
        args = QuotientsArgs(given.ctypes.data, wrong.ctypes.data, len(significands), 0)
        library.launch("try_quotients", args, grid=-(-len(significands) // 256), block=256)
        return wrong.copy()


def test_codes_are_those_of_the_exact_quotient(shim):
    significands = np.arange(ALL - 1)
    if os.environ.get("ACCEL_SHIM_TARGET") != "gpu":
        some = np.random.default_rng().choice(significands, 4000, replace=False)
        significands = np.unique(np.concatenate([significands[:100], some, significands[-100:]]))
    wrong = wrong_quotients(shim, significands)
    assert not wrong.any(), significands[wrong.any(1)][:10]


def test_the_divisor_that_is_left_out_has_a_reason(shim):
    assert wrong_quotients(shim, np.array([LAST]))[0, 1] > 0
