"""Kernels of BANG C, compiled for the host and launched on a queue by cnrtInvokeKernel."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import accel_sim
from accel_sim_cnrt.simulator import SIMULATOR

LOAD = """
kernels = ctypes.CDLL("{path}")
def launch(pointer, tasks=4, type=1, factor=1, on=None):
    return kernels.launch_add_task(on, c_uint(tasks), c_uint(type), c_void_p(pointer), factor)
BLOCK, UNION1, UNION2 = 1, 4, 8
"""


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The lines that load the compiled kernel."""
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    standin = SIMULATOR.standin_folder()
    if compiler is None:
        pytest.skip("no C++ compiler (c++, g++, clang++)")
    try:
        linked = ["-Wl,--no-as-needed", f"-L{SIMULATOR.folder()}", "-lcnrt"]
    except accel_sim.SimulatorError as error:
        pytest.skip(str(error))
    path = tmp_path_factory.mktemp("kernels") / "kernel.so"
    words = [compiler, "-std=c++17", "-O1", "-shared", "-fPIC", "-pthread", f"-I{standin}"]
    words += [f"-I{accel_sim.native_sources()}/include", str(Path(__file__).parent / "kernel.cpp")]
    subprocess.run(
        [*words, str(standin / "shim" / "run.cpp"), "-o", str(path), *linked], check=True
    )
    return LOAD.replace("{path}", str(path))


def test_launches_run_in_the_queues_order(cnrt: Any, load: str) -> None:
    cnrt(
        load
        + """
p, q = malloc(64 * 8), queue()
for type in (BLOCK, UNION1, UNION2):
    ok("cnrtMemsetAsync", c_void_p(p), 10, c_size_t(64 * 8), q)
    assert launch(p, 8, type, 3, on=q) == 0
    ok("cnrtQueueSync", q)
    assert read(p, 64 * 8) == b"".join(bytes([10 + 3 * task]) * 64 for task in range(8))
assert launch(p) == 0  # the default queue
ok("cnrtQueueSync", None)
""",
        delay_us=500,
    )


def test_what_a_kernel_does_wrong_is_the_queues_error(cnrt: Any, load: str) -> None:
    cnrt(
        load
        + """
p, q = malloc(64 * 4), queue()
assert launch(p, 8, BLOCK, on=q) == 0
assert code("cnrtQueueSync", q) == KERNEL_TRAP
assert "add_task" in text(KERNEL_TRAP) or "kernel" in text(KERNEL_TRAP)
assert launch(p, 4, BLOCK, on=q) == 0
ok("cnrtQueueSync", q)
pageable = ctypes.create_string_buffer(256)
assert launch(addressof(pageable), 4, BLOCK, on=q) == 0
assert code("cnrtQueueSync", q) == KERNEL_TRAP and "pageable" in text(KERNEL_TRAP)
"""
    )


def test_refused_launches(cnrt: Any, load: str) -> None:
    cnrt(
        load
        + """
p = malloc(64 * 64)
assert launch(p, 0) == ARGS
assert launch(p, 6, UNION1) == ARGS and "multiple" in text(ARGS)
assert launch(p, 8, 3) == ARGS, "no such function type"
assert launch(p, 64, 64) == NOT_SUPPORTED, "more clusters than an MLU370 has"
class Dim(ctypes.Structure):
    _fields_ = [("x", c_uint), ("y", c_uint), ("z", c_uint)]
def invoke(kernel):
    return code("cnrtInvokeKernel", kernel, Dim(1, 1, 1), 1, None, c_size_t(0), None)
assert invoke(None) == ARGS
assert invoke(c_void_p(p)) == 100302, "no function"
assert invoke(ctypes.cast(kernels.launch_add_task, c_void_p)) == 101312, "no kernel"
assert invoke(ctypes.cast(lib.cnrtMalloc, c_void_p)) == 101312, "no library of kernels"
ok("cnrtSyncDevice")
""",
        chip="mlu370",
    )
