"""Repositioning alone, built from tests/native/rope_engine.cpp with sanitizers.

ACCEL_STRESS_SEED repeats a run; ACCEL_SOAK=1 runs 25 times as many cases.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

NATIVE = Path(__file__).resolve().parents[2] / "native"
SOURCES = [
    *(NATIVE / "rope" / f"{name}.cpp" for name in ("turns", "head", "reposition")),
    NATIVE / "runtime" / "parallel.cpp",
    NATIVE / "numeric" / "rows.cpp",
]
#: Each in a translation unit of its own: they choose their instructions to the end of the file.
ROW_LOOPS = [NATIVE / "numeric" / f"rows_{name}.cpp" for name in ("portable", "avx2", "avx512")]
ROUNDS = 20_000 if os.environ.get("ACCEL_SOAK") == "1" else 800


@pytest.mark.parametrize(("sanitizer", "share"), [("address,undefined", 1), ("thread", 4)])
def test_random_keys(native_program, sanitizer, share):
    program = native_program(
        "rope_engine", sanitizer, together=SOURCES, apart=ROW_LOOPS, flags=["-ffp-contract=off"]
    )
    rounds = ROUNDS // share
    assert f"{rounds} rounds" in program.run(program.seed, rounds, threads=3)
