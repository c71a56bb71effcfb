"""Quantising alone, built from tests/native/quantize_rows.cpp with sanitizers.

ACCEL_STRESS_SEED repeats a run; ACCEL_SOAK=1 runs 25 times as many cases.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

import accel

TESTS = Path(__file__).resolve().parents[1]
NATIVE = TESTS.parent / "native"
WITH_PYTHON = ("bind_quantize", "operands")
SOURCES = [
    TESTS / "native" / "quantize_rows.cpp",
    *sorted((NATIVE / "numeric").glob("*.cpp")),
    *(f for f in sorted((NATIVE / "quantize").glob("*.cpp")) if f.stem not in WITH_PYTHON),
    NATIVE / "runtime" / "parallel.cpp",
]
ROUNDS = 20_000 if os.environ.get("ACCEL_SOAK") == "1" else 800


def compiler() -> str:
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and shutil.which(name):
            return name
    pytest.skip("no C++ compiler: set CXX, or install g++ or clang++")


@pytest.mark.parametrize(("sanitizer", "share"), [("address,undefined", 1), ("thread", 8)])
def test_random_problems(tmp_path, sanitizer, share):
    flags = ["-O1", "-g", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"]
    trivial = tmp_path / "trivial.cpp"
    trivial.write_text("int main() { return 0; }\n")
    probe = [compiler(), *flags, str(trivial), "-o", str(tmp_path / "trivial"), "-pthread"]
    if subprocess.run(probe, capture_output=True).returncode:
        pytest.skip(f"{compiler()} cannot link -fsanitize={sanitizer}")

    program = tmp_path / "quantize_rows"
    command = [compiler(), "-std=c++17", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off"]
    command += flags
    includes = [f"-I{NATIVE}", f"-I{accel.get_include()}"]
    built = subprocess.run(
        [*command, *includes, *map(str, SOURCES), "-o", str(program), "-pthread"],
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    rounds = ROUNDS // share
    seed = int(os.environ.get("ACCEL_STRESS_SEED", random.randrange(2**31)))
    print(f"seed {seed}: ACCEL_STRESS_SEED={seed} repeats it")
    done = subprocess.run(
        [str(program), str(seed), str(rounds)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "ACCEL_CPU_THREADS": "3"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{rounds} rounds" in done.stdout
