"""The KV engine alone, built from programs of tests/native with sanitizers.

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
RUNTIME = [NATIVE / "runtime" / f"{name}.cpp" for name in ("copy_bytes", "parallel")]
ENGINE = [NATIVE / "kv" / f"{name}.cpp" for name in ("leaf", "box", "transfer")]
#: Program -> its sources: those that make one translation unit, since the standard headers are most
#: of the work, and those that have one each.
PROGRAMS = {
    "kv_engine": ([*ENGINE, *RUNTIME], []),
    "kv_conversions": (
        [*ENGINE, *RUNTIME],
        [NATIVE / "kv" / "elements.cpp", *sorted((NATIVE / "numeric").glob("*.cpp"))],
    ),
}
NUMERIC_FLAGS = ["-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno"]
ROUNDS = 20_000 if os.environ.get("ACCEL_SOAK") == "1" else 800


def compiler() -> str:
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and shutil.which(name):
            return name
    pytest.skip("no C++ compiler: set CXX, or install g++ or clang++")


@pytest.mark.parametrize(("sanitizer", "share"), [("address,undefined", 1), ("thread", 4)])
@pytest.mark.parametrize("name", PROGRAMS)
def test_random_plans(tmp_path, name, sanitizer, share):
    flags = ["-O1", "-g", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"]
    trivial = tmp_path / "trivial.cpp"
    trivial.write_text("int main() { return 0; }\n")
    probe = [compiler(), *flags, str(trivial), "-o", str(tmp_path / "trivial"), "-pthread"]
    if subprocess.run(probe, capture_output=True).returncode:
        pytest.skip(f"{compiler()} cannot link -fsanitize={sanitizer}")

    together, apart = PROGRAMS[name]
    program, everything = tmp_path / name, tmp_path / "everything.cpp"
    sources = [TESTS / "native" / f"{name}.cpp", *together]
    everything.write_text("".join(f'#include "{source}"\n' for source in sources))
    command = [compiler(), "-std=c++17", "-Wall", "-Wextra", "-Werror", *flags, *NUMERIC_FLAGS]
    includes = [f"-I{NATIVE}", f"-I{accel.get_include()}"]
    built = subprocess.run(
        [*command, *includes, str(everything), *map(str, apart), "-o", str(program), "-pthread"],
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
