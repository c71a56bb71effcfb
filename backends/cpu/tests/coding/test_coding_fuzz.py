"""The coder alone, built from tests/native/coding_fuzz.cpp with sanitizers, on damaged input.

ACCEL_FUZZ_SECONDS (60) says for how long; ACCEL_STRESS_SEED repeats a run.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

NATIVE = Path(__file__).resolve().parents[2] / "native"
#: They have flags of their own.
SOURCES = [
    *sorted(p for p in (NATIVE / "coding").glob("*.cpp") if p.name != "bind_coding.cpp"),
    NATIVE / "runtime" / "parallel.cpp",
]
SECONDS = float(os.environ.get("ACCEL_FUZZ_SECONDS", "60"))


@pytest.mark.parametrize(
    ("sanitizer", "level", "seconds"),
    [("address,undefined", "-O1", SECONDS), ("thread", "-O0", SECONDS / 10)],
)
def test_damaged_input(native_program, sanitizer, level, seconds):
    program = native_program("coding_fuzz", sanitizer, apart=SOURCES, flags=[level])
    said = program.run(seconds, program.seed, threads=2, timeout=seconds + 300)
    print(said)
    assert "refused" in said
