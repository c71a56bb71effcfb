"""The KV engine alone, built from programs of tests/native with sanitizers.

ACCEL_STRESS_SEED repeats a run; ACCEL_SOAK=1 runs 25 times as many cases.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

NATIVE = Path(__file__).resolve().parents[2] / "native"
ENGINE = [NATIVE / "kv" / f"{name}.cpp" for name in ("leaf", "box", "transfer")]
RUNTIME = [NATIVE / "runtime" / f"{name}.cpp" for name in ("copy_bytes", "parallel")]
NUMERIC = [NATIVE / "kv" / "elements.cpp", *sorted((NATIVE / "numeric").glob("*.cpp"))]
NUMERIC_FLAGS = ["-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno"]
#: Program -> the sources that it has a translation unit of its own for.
PROGRAMS = {"kv_engine": [], "kv_conversions": NUMERIC}
ROUNDS = 20_000 if os.environ.get("ACCEL_SOAK") == "1" else 800


@pytest.mark.parametrize(("sanitizer", "share"), [("address,undefined", 1), ("thread", 4)])
@pytest.mark.parametrize("name", PROGRAMS)
def test_random_plans(native_program, name, sanitizer, share):
    program = native_program(
        name, sanitizer, together=[*ENGINE, *RUNTIME], apart=PROGRAMS[name], flags=NUMERIC_FLAGS
    )
    rounds = ROUNDS // share
    assert f"{rounds} rounds" in program.run(program.seed, rounds, threads=3)
