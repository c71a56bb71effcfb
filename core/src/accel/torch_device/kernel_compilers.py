"""Compiling kernel sources: what the vendors' ways have in common, and the way for simulators."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ..distributions import entry_points_of
from ..errors import AccelError
from .kernel_files import KernelFiles

__all__ = ["KernelBuildError", "compile_for_simulator", "run_compiler", "standin_folders"]


class KernelBuildError(AccelError, RuntimeError):
    """A kernel was not built; the message says what is missing, or what the compiler said."""


def compile_for_simulator(files: KernelFiles, file: str, libraries: Sequence[str] = ()) -> bytes:
    """A host shared object of a source file and the simulator's stand-in of the vendor's language.

    Raises:
        KernelBuildError: no simulator is installed, or no compiler, or it refuses the source.
    """
    folders = standin_folders(files.simulator)
    if not folders:
        raise KernelBuildError(
            f"the {files.simulator} simulator's stand-in of {files.language} is not installed."
            f" Cure: `pip install accel-sim-{files.simulator}`"
        )
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise KernelBuildError("no C++ compiler: set CXX, or install g++ or clang++")
    source = files.sources / file
    with TemporaryDirectory(prefix=f"accel-{files.backend}-") as made:
        binary = Path(made) / "kernels.so"
        given = [f"-I{folder}" for folder in (*folders, *files.includes())]
        flags = ["-std=c++17", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", *given]
        parts = ["-x", "c++", str(source), str(folders[0] / "shim" / "run.cpp"), "-x", "none"]
        run_compiler([compiler, *flags, *parts, *libraries, "-o", str(binary)], source)
        return binary.read_bytes()


def standin_folders(simulator: str) -> list[Path]:
    """Headers of an installed simulator that stand for the vendor's; those of its core behind."""
    for point in entry_points_of("accel.simulators")[0]:
        if point.name == simulator:
            found = getattr(point.load(), "kernel_folders", None)
            return [Path(folder) for folder in found()] if found is not None else []
    return []


def run_compiler(command: Sequence[str], source: Path) -> None:
    """Run one; KernelBuildError with what it said when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-4000:]
        raise KernelBuildError(f"{source.name}: `{command[0]}` failed:\n{said}")
