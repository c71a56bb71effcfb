"""Streams: in order, lazily started, and what they do with errors."""

from __future__ import annotations

from typing import Any


def test_threads_start_with_the_first_task(acl: Any) -> None:
    acl(
        """
        before = threads()
        made = [stream() for _ in range(64)]
        assert threads() == before
        p, h = malloc(8), pinned(8)
        assert copy_async(p, h, 8, H2D, made[3]) == 0
        assert threads() == before + 1
        ok("aclrtSynchronizeDevice")
        for one in made:
            ok("aclrtDestroyStream", one)
        """
    )


def test_tasks_run_in_order_and_streams_side_by_side(acl: Any) -> None:
    acl(
        """
        a, b, seen = stream(), stream(), []
        opened = gate(a)
        for i in range(100):
            call(a, lambda i=i: seen.append(i))
        call(b, lambda: seen.append("b"))
        ok("aclrtSynchronizeStream", b)
        assert seen == ["b"]
        assert status("aclrtStreamQuery", a) == 1
        opened.set()
        ok("aclrtSynchronizeStream", a)
        assert status("aclrtStreamQuery", a) == 0
        assert seen == ["b", *range(100)]
        """,
        seed=3,
        delay_us=200,
    )


def test_an_error_is_told_once_and_the_stream_goes_on(acl: Any) -> None:
    acl(
        """
        s, p, h = stream(), malloc(8), pinned(8, 7)
        assert copy_async(p, h, 8, H2D, s) == 0  # the planned fault: it fails when it runs
        assert copy_async(p, h, 8, H2D, s) == 0
        e = event()
        ok("aclrtRecordEvent", e, s)
        assert code("aclrtSynchronizeEvent", e) == 507899
        assert code("aclrtStreamQuery", s, byref(c_int())) == 507899
        assert code("aclrtSynchronizeStream", s) == 507899
        assert b"planned fault" in lib.aclGetRecentErrMsg()
        ok("aclrtSynchronizeStream", s)
        assert read(p, 8) == bytes([7] * 8)
        """,
        faults=["call=aclrtMemcpyAsync,nth=1,code=507899,where=stream"],
    )


def test_a_stream_that_stops_on_failure(acl: Any) -> None:
    acl(
        """
        s, p, h = stream(), malloc(8), pinned(8, 7)
        write(p, bytes(8))
        ok("aclrtSetStreamFailureMode", s, c_uint64(1))
        opened = gate(s)
        assert copy_async(p, h, 8, H2D, s) == 0
        assert copy_async(p, h, 8, H2D, s) == 0
        opened.set()
        for _ in range(2):
            assert code("aclrtSynchronizeStream", s) == 507015
        assert copy_async(p, h, 8, H2D, s) == 507015
        assert read(p, 8) == bytes(8)
        """,
        faults=["call=aclrtMemcpyAsync,nth=1,where=stream"],
    )


def test_waits_with_a_limit(acl: Any) -> None:
    acl(
        """
        s = stream()
        opened = gate(s)
        assert code("aclrtSynchronizeStreamWithTimeout", s, c_int32(20)) == 507046
        assert code("aclrtSynchronizeDeviceWithTimeout", c_int32(20)) == 507046
        e = event()
        ok("aclrtRecordEvent", e, s)
        assert code("aclrtSynchronizeEventWithTimeout", e, c_int32(20)) == 507047
        opened.set()
        ok("aclrtSynchronizeStreamWithTimeout", s, c_int32(-1))
        """
    )


def test_handles_that_are_not_alive(acl: Any) -> None:
    acl(
        """
        s = stream()
        ok("aclrtDestroyStream", s)
        assert code("aclrtSynchronizeStream", s) == 107017
        assert code("aclrtDestroyStream", s) == 107017
        assert code("aclrtSynchronizeStream", c_void_p(12345)) == 107017
        e = event()
        ok("aclrtDestroyEvent", e)
        assert code("aclrtRecordEvent", e, None) == 107017
        """
    )


def test_the_first_call_may_be_a_wait_for_the_device(acl: Any) -> None:
    """A thread without a device uses the default one that the configuration names."""
    acl(
        """
        open("acl.json", "w").write('{"defaultDevice": {"default_device": "0"}}')
        ok("aclInit", b"acl.json")
        ok("aclrtSynchronizeDevice")
        device = c_int(-1)
        ok("aclrtGetDevice", byref(device))
        assert device.value == 0
        os.unlink("acl.json")
        """,
        device=None,
    )


def test_without_a_default_device_there_is_none(acl: Any) -> None:
    for release in ("8.5", "8.0"):
        acl(
            """
            open("acl.json", "w").write('{"defaultDevice": {"default_device": "0"}}')
            old = b"8.0" in lib.accel_simulator()
            ok("aclInit", b"acl.json" if old else None)
            assert code("aclrtSynchronizeDevice") == 107002
            assert code("aclrtGetDevice", byref(c_int())) == 107002
            os.unlink("acl.json")
            """,
            device=None,
            cann=release,
        )


def test_callbacks_of_a_serving_thread(acl: Any) -> None:
    acl(
        """
        import threading
        s, seen, ready, stop = stream(), [], threading.Event(), threading.Event()
        ident = []
        def serve():
            ident.append(threading.get_ident())
            ready.set()
            while not stop.is_set():
                lib.aclrtProcessReport(50)
        t = threading.Thread(target=serve)
        t.start()
        ready.wait()
        f = HOST_FUNCTION(lambda arg: seen.append((arg, threading.get_ident())))
        assert code("aclrtLaunchCallback", f, None, 1, s) == 107012
        ok("aclrtSubscribeReport", c_uint64(ident[0]), s)
        for i in range(5):
            ok("aclrtLaunchCallback", f, c_void_p(i + 1), 1, s)
        ok("aclrtSynchronizeStream", s)
        assert seen == [(i + 1, ident[0]) for i in range(5)]
        ok("aclrtUnSubscribeReport", c_uint64(ident[0]), s)
        stop.set()
        t.join()
        """
    )


def test_inside_a_host_function_nothing_is_submitted(acl: Any) -> None:
    acl(
        """
        s, other, codes = stream(), stream(), []
        p, h = malloc(8), pinned(8)
        def inside():
            ok("aclrtSetDevice", 0)
            codes.append(copy_async(p, h, 8, H2D, other))
            codes.append(code("aclrtSynchronizeStream", other))
            codes.append(code("aclrtMalloc", byref(c_void_p()), c_size_t(8), 0))
        call(s, inside)
        ok("aclrtSynchronizeStream", s)
        assert codes == [107000] * 3, codes
        """,
        strict=True,
    )


def test_streams_of_another_device_when_strict(acl: Any) -> None:
    acl(
        """
        s = stream()
        ok("aclrtSetDevice", 1)
        p, h = malloc(8), pinned(8)
        assert copy_async(p, h, 8, H2D, s) == 107003
        """,
        strict=True,
    )


def test_an_abort_drops_what_waits(acl: Any) -> None:
    acl(
        """
        s, seen = stream(), []
        p, h = malloc(8), pinned(8)
        assert copy_async(p, h, 8, H2D, s) == 0  # stalls
        call(s, lambda: seen.append(1))
        assert code("aclrtSynchronizeStreamWithTimeout", s, c_int32(100)) == 507046
        ok("aclrtStreamAbort", s)
        assert code("aclrtSynchronizeStream", s) == 107023
        assert seen == []
        ok("aclrtSynchronizeStream", s)
        """,
        faults=["copy_stalls,nth=1"],
    )
