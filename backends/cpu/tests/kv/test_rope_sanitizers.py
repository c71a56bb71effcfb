"""Repositioning alone, built from tests/native/rope_engine.cpp with sanitizers.

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
SOURCES = [
    TESTS / "native" / "rope_engine.cpp",
    *(NATIVE / "rope" / f"{name}.cpp" for name in ("turns", "head", "reposition")),
    NATIVE / "runtime" / "parallel.cpp",
    NATIVE / "numeric" / "rows.cpp",
]
#: Each in a translation unit of its own: they choose their instructions to the end of the file.
ROW_LOOPS = [NATIVE / "numeric" / f"rows_{name}.cpp" for name in ("portable", "avx2", "avx512")]
ROUNDS = 20_000 if os.environ.get("ACCEL_SOAK") == "1" else 800


def compiler() -> str:
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and shutil.which(name):
            return name
    pytest.skip("no C++ compiler: set CXX, or install g++ or clang++")


@pytest.mark.parametrize(("sanitizer", "share"), [("address,undefined", 1), ("thread", 4)])
def test_random_keys(tmp_path, sanitizer, share):
    flags = ["-O1", "-g", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"]
    trivial = tmp_path / "trivial.cpp"
    trivial.write_text("int main() { return 0; }\n")
    probe = [compiler(), *flags, str(trivial), "-o", str(tmp_path / "trivial"), "-pthread"]
    if subprocess.run(probe, capture_output=True).returncode:
        pytest.skip(f"{compiler()} cannot link -fsanitize={sanitizer}")

    program = tmp_path / "rope_engine"
    everything = tmp_path / "everything.cpp"
    everything.write_text("".join(f'#include "{source}"\n' for source in SOURCES))
    command = [compiler(), "-std=c++17", "-Wall", "-Wextra", "-Werror", *flags]
    includes = [f"-I{NATIVE}", f"-I{accel.get_include()}"]
    built = subprocess.run(
        [*command, "-ffp-contract=off", *includes, str(everything), *map(str, ROW_LOOPS),
         "-o", str(program), "-pthread"],
        capture_output=True,
        text=True,
    )  # fmt: skip
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
