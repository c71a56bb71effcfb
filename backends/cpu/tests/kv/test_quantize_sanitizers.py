"""Quantising alone, built from tests/native/quantize_rows.cpp with sanitizers.

ACCEL_STRESS_SEED repeats a run; ACCEL_SOAK=1 runs 25 times as many cases.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

NATIVE = Path(__file__).resolve().parents[2] / "native"
SOURCES = [
    *sorted((NATIVE / "numeric").glob("*.cpp")),
    *sorted(p for p in (NATIVE / "quantize").glob("*.cpp") if p.name != "bind_quantize.cpp"),
    NATIVE / "runtime" / "parallel.cpp",
]
ROUNDS = 20_000 if os.environ.get("ACCEL_SOAK") == "1" else 800


@pytest.mark.parametrize(("sanitizer", "share"), [("address,undefined", 1), ("thread", 8)])
def test_random_problems(native_program, sanitizer, share):
    program = native_program("quantize_rows", sanitizer, apart=SOURCES, flags=["-ffp-contract=off"])
    rounds = ROUNDS // share
    assert f"{rounds} rounds" in program.run(program.seed, rounds, threads=3)
