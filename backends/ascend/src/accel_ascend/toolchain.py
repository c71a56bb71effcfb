"""Compiling AscendC sources by CANN's toolchain.

What it makes of these sources has not been tried: there was none here.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from accel.torch_device.kernel_compilers import KernelBuildError, run_compiler

from .kernel_files import FILES

__all__ = ["compile_for_chip"]

#: Where releases of the toolkit have ascendc.cmake, below its home.
_PLACES = (
    "tools/tikcpp/ascendc_kernel_cmake",
    "compiler/tikcpp/ascendc_kernel_cmake",
    "ascendc_devkit/tikcpp/samples/cmake",
)
_HOMES = ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME")
_FATBIN = "fatbin/accel_kernel/accel_kernel.o"


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
            "ACCEL_INCLUDE": FILES.includes()[-1],
        }
        given = [f"-D{name}={value}" for name, value in options.items()]
        run_compiler([cmake, "-S", str(FILES.sources), "-B", str(build), *given], source)
        run_compiler([cmake, "--build", str(build), "--target", "install"], source)
        binary = prefix / _FATBIN
        if not binary.is_file():
            raise KernelBuildError(
                f"CANN's toolchain built {source.name} for {chip} but left no {_FATBIN}"
            )
        return binary.read_bytes()


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
