"""The coder alone, built from tests/native/coding_fuzz.cpp with sanitizers, on damaged input.

ACCEL_FUZZ_SECONDS (60) says for how long; ACCEL_STRESS_SEED repeats a run.
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
    TESTS / "native" / "coding_fuzz.cpp",
    *sorted(p for p in (NATIVE / "coding").glob("*.cpp") if p.name != "bind_coding.cpp"),
    NATIVE / "runtime" / "parallel.cpp",
]
SECONDS = float(os.environ.get("ACCEL_FUZZ_SECONDS", "60"))


def compiler() -> str:
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and shutil.which(name):
            return name
    pytest.skip("no C++ compiler: set CXX, or install g++ or clang++")


def build(flags: list[str], folder: Path) -> Path:
    """The program; its sources have flags of their own, so each is compiled by itself."""
    trivial = folder / "trivial.cpp"
    trivial.write_text("int main() { return 0; }\n")
    probe = [compiler(), *flags, str(trivial), "-o", str(folder / "trivial"), "-pthread"]
    if subprocess.run(probe, capture_output=True).returncode:
        pytest.skip(f"{compiler()} cannot link {' '.join(flags)}")
    command = [compiler(), "-std=c++17", "-Wall", "-Wextra", "-Werror", "-pthread", *flags]
    command += [f"-I{NATIVE}", f"-I{accel.get_include()}", "-c"]
    objects = [folder / f"{source.stem}.o" for source in SOURCES]
    compiling = [
        subprocess.Popen(
            [*command, str(source), "-o", str(made)], stderr=subprocess.PIPE, text=True
        )
        for source, made in zip(SOURCES, objects, strict=True)
    ]
    said = [process.communicate()[1] for process in compiling]
    assert not any(process.returncode for process in compiling), "\n".join(said)
    program = folder / "coding_fuzz"
    link = [compiler(), *flags, "-pthread", *map(str, objects), "-o", str(program)]
    linked = subprocess.run(link, capture_output=True, text=True)
    assert linked.returncode == 0, linked.stderr
    return program


@pytest.mark.parametrize(
    ("sanitizer", "level", "seconds"),
    [("address,undefined", "-O1", SECONDS), ("thread", "-O0", SECONDS / 10)],
)
def test_damaged_input(tmp_path, sanitizer, level, seconds):
    flags = [level, "-g1", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"]
    program = build(flags, tmp_path)
    seed = int(os.environ.get("ACCEL_STRESS_SEED", random.randrange(2**31)))
    print(f"seed {seed}: ACCEL_STRESS_SEED={seed} repeats it")
    done = subprocess.run(
        [str(program), str(seconds), str(seed)],
        capture_output=True,
        text=True,
        timeout=seconds + 300,
        env={**os.environ, "ACCEL_CPU_THREADS": "2"},
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "refused" in done.stdout
