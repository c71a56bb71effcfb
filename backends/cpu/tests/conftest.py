"""Programs of tests/native, built together with the backend's own sources and sanitizers."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import accel

TESTS = Path(__file__).resolve().parent
NATIVE = TESTS.parent / "native"
WARNINGS = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-pthread"]


@pytest.fixture
def native_program(tmp_path: Path) -> Callable[..., Program]:
    """``native_program(name, sanitizer, ...)`` builds tests/native/NAME.cpp; see :class:`Program`.

    Skips where there is no compiler, or where the sanitizer's programs do not link and run.
    """

    def build(name: str, sanitizer: str, **sources: Iterable[Path | str]) -> Program:
        return Program(tmp_path, name, sanitizer, **sources)

    return build


class Program:
    """A built program.

    Args:
        sanitizer: for -fsanitize; empty for none, optimised.
        together: sources of the one translation unit that has the program itself, since the
            standard headers are most of the work.
        apart: sources that have one each.
        flags: for all of them; a later one overrides.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        sanitizer: str,
        together: Iterable[Path | str] = (),
        apart: Iterable[Path | str] = (),
        flags: Iterable[Path | str] = (),
    ) -> None:
        self.seed = int(os.environ.get("ACCEL_STRESS_SEED", random.randrange(2**31)))
        self.program = folder / name
        self._compiler = _compiler()
        self._flags = ["-O2"]
        if sanitizer:
            self._flags = ["-O1", "-g1", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"]
            self._check_sanitizer(folder, sanitizer)
        self._flags += map(str, flags)
        everything = folder / "everything.cpp"
        units = [TESTS / "native" / f"{name}.cpp", *together]
        everything.write_text("".join(f'#include "{unit}"\n' for unit in units))
        with ThreadPoolExecutor(2) as pool:
            made = list(pool.map(self._compile, [everything, *map(Path, apart)]))
        self._make(*map(str, made), "-o", str(self.program), "-lrt")

    def run(self, *arguments: object, threads: int, timeout: float = 600) -> str:
        """Run to the end and return what it printed. ACCEL_STRESS_SEED repeats ``self.seed``."""
        print(f"seed {self.seed}: ACCEL_STRESS_SEED={self.seed} repeats it")
        done = subprocess.run(
            [*_without_randomisation(), str(self.program), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env={
                **os.environ, "TSAN_OPTIONS": "halt_on_error=1", "ACCEL_CPU_THREADS": str(threads)
            },
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr[-5000:]
        return done.stdout

    def _compile(self, source: Path) -> Path:
        made = self.program.parent / f"{source.stem}.o"
        self._make(f"-I{NATIVE}", f"-I{accel.get_include()}", "-c", str(source), "-o", str(made))
        return made

    def _make(self, *arguments: str) -> None:
        command = [self._compiler, *WARNINGS, *self._flags, *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def _check_sanitizer(self, folder: Path, sanitizer: str) -> None:
        trivial = folder / "trivial"
        trivial.with_suffix(".cpp").write_text("int main() { return 0; }\n")
        build = [self._compiler, *self._flags, f"{trivial}.cpp", "-o", str(trivial), "-pthread"]
        for command in (build, [*_without_randomisation(), str(trivial)]):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"the {sanitizer} sanitizer does not work here: {done.stderr[:200]}")


def _compiler() -> str:
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and shutil.which(name):
            return name
    pytest.skip("no C++ compiler: set CXX, or install g++ or clang++")


def _without_randomisation() -> list[str]:
    """ThreadSanitizer's memory map does not fit some kernels' address randomisation."""
    setarch = shutil.which("setarch")
    if setarch and subprocess.run([setarch, "-R", "true"], capture_output=True).returncode == 0:
        return [setarch, "-R"]
    return []
