"""The HIP side of the kernels without a HIP compiler: every family's test file once more, compiled
with HIP's qualifiers over a stand-in for its built-in functions, with waves of 64 and 32 lanes. Of
a family's tests a few are drawn; ACCEL_SOAK=1 runs all.
Where hipcc is there, the files are compiled for the chips that the README names as well.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cuda_shim import harness

import accel
from accel_cuda import kernel_files

HERE = Path(__file__).parent
FILES = sorted(
    path
    for path in HERE.glob("test_*.py")
    if path.name not in (Path(__file__).name, "test_compile.py", "test_kernel_sanitizers.py")
)
#: Of each family three tests, all of the shim's own.
SAMPLE = "all" if os.environ.get("ACCEL_SOAK") == "1" else "3 test_shim.py=all"
CHIPS = ["gfx90a", "gfx906", "gfx942"]


@pytest.mark.parametrize("wave", [64, 32])
def test_files_on_the_hip_side(wave):
    if not any(shutil.which(name) for name in (os.environ.get("CXX"), "g++", "c++") if name):
        pytest.skip("no C++ compiler: set CXX, or install g++")
    environment = {
        **os.environ, "ACCEL_SHIM_TARGET": f"hip{wave}", "ACCEL_SHIM_SAMPLE": SAMPLE
    }  # fmt: skip
    for variable in ("PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"):
        environment.pop(variable, None)
    arguments = ["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [sys.executable, *arguments, *map(str, FILES)],
        capture_output=True,
        text=True,
        timeout=1800,
        env=environment,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    assert " passed" in done.stdout


def test_the_other_half_of_a_wave_is_masked(tmp_path, shim_of):
    """Ballots have noise where the other half of the wave is: seen where nothing masks it."""
    source = tmp_path / "unmasked.cu"
    source.write_text(
        '#include "device.h"\n'
        "struct out_args { accel_u64 out; };\n"
        "ACCEL_KERNEL(unmasked, out_args, args) {\n"
        "  accel_pointer<accel_u64>(args.out)[accel_thread()] = __ballot(1);\n"
        "}\n"
    )
    import numpy as np

    for wave, differ in (("hip32", False), ("hip64", True)):
        library = shim_of(wave).library(source)
        with library.memory() as memory:
            out = memory.empty(64, np.uint64)
            library.launch("unmasked", int(out.ctypes.data).to_bytes(8, "little"), block=64)
            assert (len(set(out.tolist())) > 1) == differ


@pytest.fixture
def shim_of(tmp_path, monkeypatch):
    if harness.compiler() is None:
        pytest.skip("no C++ compiler: set CXX, or install g++ or clang++")

    def builder(target):
        monkeypatch.setenv("ACCEL_SHIM_TARGET", target)
        return harness.ShimBuilder(tmp_path / target)

    return builder


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("file", kernel_files.names())
def test_hipcc(tmp_path, file, chip):
    hipcc = shutil.which("hipcc") or shutil.which("hipcc", path="/opt/rocm/bin:/opt/dtk/bin")
    if hipcc is None:
        pytest.skip("hipcc: install ROCm or DTK")
    includes = [f"-I{kernel_files.FOLDER}", f"-I{accel.get_include()}"]
    options = kernel_files.options("hip", file)
    command = [hipcc, "-x", "hip", "--cuda-device-only", f"--offload-arch={chip}", *options]
    done = subprocess.run(
        [*command, *includes, "-c", str(kernel_files.FOLDER / file), "-o", str(tmp_path / "out")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
