"""Compiling BANG C sources by cncc.

What it makes of these sources has not been tried: there was none here.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from accel.torch_device.kernel_compilers import KernelBuildError, run_compiler

from .kernel_files import FILES

__all__ = ["compile_for_architecture"]


def compile_for_architecture(file: str, architecture: str) -> bytes:
    """The shared object that cncc makes of a source: kernels, and functions that launch them.

    Raises:
        KernelBuildError: there is no cncc, or it refuses the source.
    """
    home = Path(os.environ.get("NEUWARE_HOME") or "/usr/local/neuware")
    compiler = shutil.which("cncc") or shutil.which("cncc", path=str(home / "bin"))
    if compiler is None:
        raise KernelBuildError(
            f"Cambricon's compiler was not found: no cncc on PATH nor in {home / 'bin'}. Cure:"
            " install Neuware's CNToolkit (the runtime alone has no compiler), then"
            " `export NEUWARE_HOME=/usr/local/neuware PATH=$NEUWARE_HOME/bin:$PATH`"
        )
    source = FILES.sources / file
    with TemporaryDirectory(prefix="accel-mlu-") as made:
        binary = Path(made) / "kernels.so"
        folders = [f"-I{folder}" for folder in (*FILES.includes(), home / "include")]
        flags = [f"--bang-mlu-arch={architecture}", "-std=c++11", "-O3", "-fPIC", "-shared"]
        libraries = [f"-L{home / 'lib64'}", "-lcnrt"]
        run_compiler(
            [compiler, *flags, *folders, str(source), *libraries, "-o", str(binary)], source
        )
        return binary.read_bytes()
