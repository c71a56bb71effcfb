"""Compiling AscendC sources: by CANN's toolchain, or for the CANN simulator by a C++ compiler.

What the vendor's toolchain makes of these sources has not been tried: there was none here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from accel.distributions import entry_points_of
from accel.errors import AccelError

from .kernel_files import FOLDER, includes

__all__ = ["KernelBuildError", "compile_for_chip", "compile_for_simulator", "standin_folder"]

#: Where releases of the toolkit have ascendc.cmake, below its home.
_PLACES = (
    "tools/tikcpp/ascendc_kernel_cmake",
    "compiler/tikcpp/ascendc_kernel_cmake",
    "ascendc_devkit/tikcpp/samples/cmake",
)
_HOMES = ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME")
_FATBIN = "fatbin/accel_kernel/accel_kernel.o"


class KernelBuildError(AccelError, RuntimeError):
    """A kernel was not built; the message says what is missing, or what the compiler said."""


def compile_for_chip(source: Path, chip: str) -> bytes:
    """The binary that CANN's toolchain makes of a source file.

    Raises:
        KernelBuildError: there is no toolchain, or it refuses the source.
    """
    rules = _cmake_rules()
    cmake = shutil.which("cmake")
    if cmake is None:
        raise KernelBuildError("no cmake on PATH. Cure: `pip install cmake`")
    with TemporaryDirectory(prefix="accel-ascend-") as made:
        build, prefix = Path(made) / "build", Path(made) / "out"
        options = {
            "ASCENDC_CMAKE_DIR": rules,
            "ASCEND_CANN_PACKAGE_PATH": _home() or "",
            "SOC_VERSION": chip,
            "RUN_MODE": "npu",
            "CMAKE_BUILD_TYPE": "Release",
            "CMAKE_INSTALL_PREFIX": prefix,
            "ACCEL_SOURCE": source,
            "ACCEL_INCLUDE": includes()[-1],
        }
        given = [f"-D{name}={value}" for name, value in options.items()]
        _run([cmake, "-S", str(FOLDER), "-B", str(build), *given], source)
        _run([cmake, "--build", str(build), "--target", "install"], source)
        binary = prefix / _FATBIN
        if not binary.is_file():
            raise KernelBuildError(
                f"CANN's toolchain built {source.name} for {chip} but left no {_FATBIN}"
            )
        return binary.read_bytes()


def compile_for_simulator(source: Path) -> bytes:
    """A host shared object of a source file and the CANN simulator's stand-in of AscendC.

    Raises:
        KernelBuildError: no simulator is installed, or no compiler, or it refuses the source.
    """
    standin = standin_folder()
    if standin is None:
        raise KernelBuildError(
            "the CANN simulator's stand-in of AscendC is not installed."
            " Cure: `pip install accel-sim-cann`"
        )
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise KernelBuildError("no C++ compiler: set CXX, or install g++ or clang++")
    with TemporaryDirectory(prefix="accel-ascend-") as made:
        binary = Path(made) / "kernels.so"
        folders = [f"-I{folder}" for folder in (standin, *includes())]
        flags = ["-std=c++17", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", *folders]
        parts = [str(source), str(standin / "shim" / "run.cpp")]
        _run([compiler, *flags, *parts, "-o", str(binary)], source)
        return binary.read_bytes()


def standin_folder() -> Path | None:
    """The headers of the installed CANN simulator that stand for AscendC's."""
    for point in entry_points_of("accel.simulators")[0]:
        if point.name == "cann":
            found = getattr(point.load(), "ascendc_folder", None)
            return Path(found()) if found is not None else None
    return None


def _cmake_rules() -> Path:
    given = os.environ.get("ASCENDC_CMAKE_DIR")
    if given:
        if (Path(given) / "ascendc.cmake").is_file():
            return Path(given)
        raise KernelBuildError(
            f"ASCENDC_CMAKE_DIR is {given}, which has no ascendc.cmake."
            " Cure: name the folder that has it, or unset the variable"
        )
    home = _home()
    if home is None:
        raise KernelBuildError(
            f"CANN's toolkit was not found: neither ASCENDC_CMAKE_DIR nor {' nor '.join(_HOMES)} is"
            " set. Cure: install the toolkit (the runtime alone has no compiler), then"
            " `source /usr/local/Ascend/ascend-toolkit/set_env.sh`"
        )
    for place in _PLACES:
        if (home / place / "ascendc.cmake").is_file():
            return home / place
    raise KernelBuildError(
        f"{home} has no ascendc.cmake in {', '.join(_PLACES)}: it is a runtime without AscendC's"
        " compiler, or a release that keeps it elsewhere. Cure: install CANN's toolkit, or set"
        " ASCENDC_CMAKE_DIR to the folder of ascendc.cmake"
    )


def _home() -> Path | None:
    for name in _HOMES:
        if os.environ.get(name):
            return Path(os.environ[name])
    return None


def _run(command: Sequence[str], source: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-4000:]
        raise KernelBuildError(f"{source.name}: `{command[0]}` failed:\n{said}")
