"""Planned faults, forks, releases and traces, seen through the C functions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def test_the_nth_call_fails(acl: Any) -> None:
    acl(
        """
        p, h = malloc(8), pinned(8)
        codes = [copy_code(p, h, 8, H2D) for _ in range(5)]
        assert codes == [0, 0, 507899, 0, 507015], codes
        """,
        faults=["call=aclrtMemcpy,nth=3,code=507899", "call=aclrtMemcpy,nth=5"],
    )


def test_no_memory_left(acl: Any) -> None:
    acl(
        """
        malloc(8)
        assert code("aclrtMalloc", byref(c_void_p()), c_size_t(8), 0) == 207001
        malloc(8)
        """,
        faults=["oom,nth=2"],
    )


def test_a_child_of_a_used_process_is_told_so(acl: Any) -> None:
    finished = acl(
        """
        p, s = malloc(8), stream()
        child = os.fork()
        if child == 0:
            assert code("aclrtMalloc", byref(c_void_p()), c_size_t(8), 0) == 507899
            assert b"fork" in lib.aclGetRecentErrMsg()
            assert code("aclrtSynchronizeStream", s) == 507899
            assert code("aclrtResetDevice", 0) == 0 and code("aclFinalize") == 0
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        write(p, b"parent!!")
        print("fine")
        """
    )
    assert finished.last == "fine"


def test_a_child_of_an_unused_process_works(acl: Any) -> None:
    acl(
        """
        child = os.fork()
        if child == 0:
            ok("aclrtSetDevice", 0)
            p = malloc(8)
            write(p, b"childish")
            os._exit(7 if read(p, 8) == b"childish" else 8)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        """,
        device=None,
    )


def test_lookups_find_what_the_release_has(acl: Any) -> None:
    program = """
    import json
    compiler = ctypes.CDLL("libacl_op_compiler.so")
    names = ["aclrtMalloc", "aclrtGetSysParamOpt", "aclsysGetCANNVersion", "aclmdlRICaptureBegin",
             "aclrtMemcpyBatchAsync", "aclrtPointerGetAttributes"]
    found = [n for n in names if hasattr(lib, n)]
    assert found == [n for n in names if hasattr(compiler, n)]
    print(json.dumps([lib.accel_simulator().decode(), found]))
    """
    always = ["aclrtMalloc", "aclrtGetSysParamOpt"]
    later = ["aclsysGetCANNVersion", "aclmdlRICaptureBegin"]
    latest = ["aclrtMemcpyBatchAsync", "aclrtPointerGetAttributes"]
    for release, names in (
        ("8.0", always),
        ("8.3", always + later),
        ("8.5", always + later + latest),
    ):
        text, found = json.loads(acl(program, device=None, cann=release).last)
        assert f"posing as CANN {release}" in text
        assert found == names


def test_visible_devices(acl: Any) -> None:
    program = """
    count = c_uint32()
    ok("aclrtGetDeviceCount", byref(count))
    physical = ctypes.c_int64()
    for i in range(count.value):
        ok("aclrtGetDeviceInfo", c_uint32(i), 402, byref(physical))
        print(physical.value)
    assert code("aclrtSetDevice", count.value) == 107001
    """
    for given, expected in ("3,1", ["3", "1"]), ("", []), ("0,9,1", ["0"]), ("2,2", ["2"]):
        environment = {"ASCEND_RT_VISIBLE_DEVICES": given}
        finished = acl(program, device=None, devices=4, variables=environment)
        assert finished.stdout.split() == expected


def test_a_trace_has_rows_of_streams(acl: Any, tmp_path: Path) -> None:
    acl(
        """
        s, t, e = stream(), stream(), event()
        p, h = malloc(1 << 20), pinned(1 << 20)
        for i in range(3):
            assert copy_async(p, h, 1 << 20, H2D, s) == 0
        ok("aclrtRecordEvent", e, s)
        ok("aclrtStreamWaitEvent", t, e)
        assert copy_async(h, p, 100, D2H, t) == 0
        ok("aclrtSynchronizeDevice")
        assert lib.accel_simulator_calls(b"aclrtMemcpyAsync") == 4
        """,
        trace=str(tmp_path / "t"),
    )
    (path,) = tmp_path.glob("t.*.json")
    trace = json.loads(path.read_text())
    work = [x for x in trace["traceEvents"] if x["ph"] == "X" and x["cat"] == "stream"]
    copies = [x for x in work if x["name"] == "aclrtMemcpyAsync"]
    assert [x["args"]["bytes"] for x in copies] == [1 << 20] * 3 + [100]
    rows = {x["tid"] for x in copies}
    assert len(rows) == 2
    one, other = copies[2], copies[3]
    assert one["ts"] + one["dur"] <= other["ts"] + 1e-3
    assert trace["otherData"]["simulated"] is True
    assert trace["otherData"]["calls"]["aclrtMemcpyAsync"] == 4
    names = {x["args"]["name"] for x in trace["traceEvents"] if x["name"] == "thread_name"}
    assert {f"device 0 stream {row}" for row in rows} <= names


def test_limits_of_cores_are_kept(acl: Any) -> None:
    acl(
        """
        s, value = stream(), c_uint32()
        def device(type_):
            ok("aclrtGetDeviceResLimit", 0, type_, byref(value))
            return value.value
        def on_stream(type_):
            ok("aclrtGetStreamResLimit", s, type_, byref(value))
            return value.value
        assert (device(0), device(1)) == (24, 48) == (on_stream(0), on_stream(1))
        ok("aclrtSetDeviceResLimit", 0, 1, c_uint32(40))
        assert (device(0), device(1)) == (24, 40) == (on_stream(0), on_stream(1))
        ok("aclrtSetStreamResLimit", s, 0, c_uint32(3))
        assert (device(0), on_stream(0), on_stream(1)) == (24, 3, 40)
        assert code("aclrtSetDeviceResLimit", 0, 0, c_uint32(25)) == 100000
        ok("aclrtResetDeviceResLimit", 0)
        ok("aclrtResetStreamResLimit", s)
        assert (device(1), on_stream(0)) == (48, 24)
        """
    )
