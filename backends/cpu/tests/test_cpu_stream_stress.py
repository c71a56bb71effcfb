"""The native runtime under sanitizers: random graphs of work against a sequential oracle.

Builds tests/native/stream_stress.cpp with the runtime's sources. 10,000 graphs each with
ACCEL_SOAK=1, a tenth of that by default; ACCEL_STRESS_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

import accel

HERE = Path(__file__).resolve().parent
NATIVE = HERE.parent / "native"
INCLUDE = accel.get_include()
GRAPHS = 10_000 if os.environ.get("ACCEL_SOAK") == "1" else 1_000
BUILDS = {
    "thread": ["-O1", "-g", "-fsanitize=thread"],
    "address,undefined": [
        "-O1",
        "-g",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=undefined",
    ],
    "none": ["-O2"],
}


def compiler() -> str:
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and shutil.which(name):
            return name
    pytest.skip("no C++ compiler: set CXX, or install g++ or clang++")


def build(tmp_path: Path, flags: list[str]) -> Path:
    """One translation unit, since the standard headers are most of the work."""
    program = tmp_path / "stream_stress"
    sources = [HERE / "native" / "stream_stress.cpp", *sorted((NATIVE / "runtime").glob("*.cpp"))]
    everything = tmp_path / "everything.cpp"
    everything.write_text("".join(f'#include "{source}"\n' for source in sources))
    command = [
        compiler(),
        "-std=c++17",
        "-Wall",
        "-Wextra",
        "-Werror",
        *flags,
        f"-I{NATIVE}",
        f"-I{INCLUDE}",
    ]
    done = subprocess.run(
        [*command, str(everything), "-o", str(program), "-pthread", "-lrt"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return program


def sanitizer_works(tmp_path: Path, flags: list[str]) -> str:
    """Empty when a trivial program builds and runs, else why not."""
    source = tmp_path / "trivial.cpp"
    source.write_text("int main() { return 0; }\n")
    program = tmp_path / "trivial"
    built = subprocess.run(
        [compiler(), *flags, str(source), "-o", str(program)], capture_output=True, text=True
    )
    if built.returncode != 0:
        return built.stderr
    ran = subprocess.run(run_command(program), capture_output=True, text=True)
    return ran.stderr if ran.returncode != 0 else ""


def run_command(program: Path) -> list[str]:
    # ThreadSanitizer's memory map does not fit some kernels' address randomisation.
    setarch = shutil.which("setarch")
    if setarch and subprocess.run([setarch, "-R", "true"], capture_output=True).returncode == 0:
        return [setarch, "-R", str(program)]
    return [str(program)]


@pytest.mark.parametrize("sanitizer", BUILDS)
def test_random_graphs(tmp_path, sanitizer):
    flags = BUILDS[sanitizer]
    why = sanitizer_works(tmp_path, flags)
    if why:
        pytest.skip(f"the compiler's {sanitizer} sanitizer does not work here: {why[:200]}")
    seed = os.environ.get("ACCEL_STRESS_SEED") or str(random.SystemRandom().randrange(1 << 31))
    print(f"ACCEL_STRESS_SEED={seed}")
    arguments = [str(GRAPHS), seed]
    if sanitizer == "none":  # sanitizers keep freed memory for themselves
        arguments.append("check-resident-memory")
    done = subprocess.run(
        [*run_command(build(tmp_path, flags)), *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "TSAN_OPTIONS": "halt_on_error=1", "ACCEL_CPU_THREADS": "2"},
    )
    assert done.returncode == 0, f"seed {seed}\n{done.stdout}\n{done.stderr[-5000:]}"
    assert "all right" in done.stdout
