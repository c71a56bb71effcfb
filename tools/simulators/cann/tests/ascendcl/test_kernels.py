"""Device binaries of the simulator, and captured graphs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import accel_sim

LAUNCH = """
binary, function = c_void_p(), c_void_p()
path = os.environ["KERNEL"].encode()
ok("aclrtBinaryLoadFromFile", path, None, byref(binary))
assert code("aclrtBinaryGetFunction", binary, b"absent", byref(function)) == 107000
ok("aclrtBinaryGetFunction", binary, b"add", byref(function))
def launch(p, n, addend, blocks, s):
    handle = c_void_p()
    ok("aclrtKernelArgsInit", function, byref(handle))
    for value in (p, n, addend):
        ok("aclrtKernelArgsAppend", handle, byref(c_uint64(value)), c_size_t(8), byref(c_void_p()))
    ok("aclrtKernelArgsFinalize", handle)
    return code("aclrtLaunchKernelWithConfig", function, c_uint32(blocks), s, None, handle, None)
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    path = tmp_path_factory.mktemp("kernel") / "kernel.so"
    include = Path(accel_sim.native_sources()) / "include"
    source = Path(__file__).with_name("kernel.c")
    words = [compiler, "-shared", "-fPIC", "-O1", f"-I{include}", str(source), "-o", str(path)]
    subprocess.run(words, check=True)
    return {"KERNEL": str(path)}


def test_a_kernel_runs_once_for_each_block_in_stream_order(acl: Any, kernel: Any) -> None:
    acl(
        LAUNCH
        + """
s, p, h = stream(), malloc(1000), pinned(1000, 1)
hold(s, 0.1)
assert copy_async(p, h, 1000, H2D, s) == 0
assert launch(p, 1000, 5, 7, s) == 0
assert launch(p, 500, 1, 1, s) == 0
ok("aclrtSynchronizeStream", s)
assert read(p, 1000) == bytes([7]) * 500 + bytes([6]) * 500
""",
        variables=kernel,
        delay_us=500,
    )


def test_a_kernel_that_leaves_its_memory(acl: Any, kernel: Any) -> None:
    acl(
        LAUNCH
        + """
s, p = stream(), malloc(1000)
assert launch(p, 1001, 5, 4, s) == 0
assert code("aclrtSynchronizeStream", s) == 507015
text = lib.aclGetRecentErrMsg()
assert b"add" in text and b"block 3" in text and b"run over the end" in text, text
assert launch(p, 1000, 5, 0, s) == 107000
ok("aclrtSynchronizeStream", s)
""",
        variables=kernel,
    )


def test_a_file_that_is_no_binary(acl: Any, tmp_path: Path) -> None:
    (tmp_path / "kernel.o").write_bytes(b"\x7fELF machine code of an AI core")
    acl(
        """
        path = os.environ["KERNEL"].encode()
        assert code("aclrtBinaryLoadFromFile", path, None, byref(c_void_p())) == 200001
        assert b"no binary of the simulator" in lib.aclGetRecentErrMsg()
        """,
        variables={"KERNEL": str(tmp_path / "kernel.o")},
    )


def test_a_captured_graph_runs_again(acl: Any) -> None:
    acl(
        """
        a, b, fork, join = stream(), stream(), event(), event()
        p, q, h, back = malloc(64), malloc(64), pinned(64, 1), pinned(64, 0)
        write(p, bytes(64))
        ok("aclmdlRICaptureBegin", a, 1)
        assert copy_async(p, h, 64, H2D, a) == 0
        ok("aclrtRecordEvent", fork, a)
        ok("aclrtStreamWaitEvent", b, fork)
        assert copy_async(q, p, 64, D2D, b) == 0
        ok("aclrtRecordEvent", join, b)
        ok("aclrtStreamWaitEvent", a, join)
        assert copy_async(back, q, 64, D2H, a) == 0
        state = c_int()
        ok("aclmdlRICaptureGetInfo", b, byref(state), byref(c_void_p()))
        assert state.value == 1
        assert code("aclrtSynchronizeStream", a) == 107032
        model = c_void_p()
        assert code("aclmdlRICaptureEnd", b, byref(model)) == 107032
        ok("aclmdlRICaptureEnd", a, byref(model))
        assert ctypes.string_at(back, 64) == bytes(64) == read(p, 64)  # nothing ran
        for round in range(3):
            ctypes.memset(h, round + 5, 64)
            ok("aclmdlRIExecuteAsync", model, a)
            ok("aclrtSynchronizeStream", a)
            assert ctypes.string_at(back, 64) == bytes([round + 5]) * 64
        ok("aclmdlRIDestroy", model)
        assert code("aclmdlRIExecuteAsync", model, a) == 107017
        assert code("aclmdlRICaptureEnd", a, byref(model)) == 107029
        """
    )
