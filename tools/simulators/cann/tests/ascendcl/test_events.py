"""Events: a snapshot of the record before, and three different ways to say complete."""

from __future__ import annotations

from typing import Any


def test_complete_before_the_first_record(acl: Any) -> None:
    acl(
        """
        e, s = event(), stream()
        assert status("aclrtQueryEventStatus", e) == 1
        assert status("aclrtQueryEventWaitStatus", e) == 0
        ok("aclrtStreamWaitEvent", s, e)
        ok("aclrtSynchronizeStream", s)
        ok("aclrtSynchronizeEvent", e)
        """
    )


def test_statuses_while_a_record_waits(acl: Any) -> None:
    acl(
        """
        e, s = event(), stream()
        opened = gate(s)
        ok("aclrtRecordEvent", e, s)
        assert status("aclrtQueryEventStatus", e) == 0
        assert status("aclrtQueryEventWaitStatus", e) == 1
        assert status("aclrtQueryEvent", e) == 1
        opened.set()
        ok("aclrtSynchronizeEvent", e)
        assert status("aclrtQueryEventStatus", e) == 1
        assert status("aclrtQueryEventWaitStatus", e) == 0
        """
    )


def test_a_wait_orders_streams(acl: Any) -> None:
    acl(
        """
        for _ in range(20):
            a, b, e, seen = stream(), stream(), event(), []
            hold(a, 0.01)
            call(a, lambda: seen.append("a"))
            ok("aclrtRecordEvent", e, a)
            ok("aclrtStreamWaitEvent", b, e)
            call(b, lambda: seen.append("b"))
            ok("aclrtSynchronizeStream", b)
            assert seen == ["a", "b"]
        """,
        delay_us=500,
    )


def test_recording_again_does_not_move_an_earlier_wait(acl: Any) -> None:
    acl(
        """
        a, b, slow, e, seen = stream(), stream(), stream(), event(), []
        ok("aclrtRecordEvent", e, a)
        ok("aclrtStreamWaitEvent", b, e)
        opened = gate(slow)
        call(slow, lambda: seen.append("slow"))
        ok("aclrtRecordEvent", e, slow)
        call(b, lambda: seen.append("b"))
        ok("aclrtSynchronizeStream", b)
        assert seen == ["b"]
        assert status("aclrtQueryEventStatus", e) == 0
        opened.set()
        ok("aclrtSynchronizeEvent", e)
        assert seen == ["b", "slow"]
        """
    )


def test_elapsed_time(acl: Any) -> None:
    acl(
        """
        s, start, end, plain = stream(), event(EVENT_TIME_LINE), event(EVENT_TIME_LINE), event()
        ms = c_float()
        assert code("aclrtEventElapsedTime", byref(ms), start, end) == 107006
        ok("aclrtRecordEvent", start, s)
        hold(s, 0.1)
        opened = gate(s)
        ok("aclrtRecordEvent", end, s)
        assert code("aclrtEventElapsedTime", byref(ms), start, end) == 507006
        opened.set()
        ok("aclrtSynchronizeEvent", end)
        assert elapsed_ms(start, end) >= 100
        assert elapsed_ms(end, start) <= -100
        ok("aclrtRecordEvent", plain, s)
        ok("aclrtSynchronizeEvent", plain)
        assert code("aclrtEventElapsedTime", byref(ms), start, plain) == 107006
        """
    )


def test_flags(acl: Any) -> None:
    acl(
        """
        make = lambda flag: code("aclrtCreateEventExWithFlag", byref(c_void_p()), c_uint32(flag))
        assert make(0) == 107000 and make(0x80) == 107000
        assert make(EVENT_IPC | EVENT_TIME_LINE) == 107000
        assert make(EVENT_SYNC | EVENT_TIME_LINE) == 0 and make(EVENT_IPC) == 0
        """
    )


def test_an_event_between_processes(acl: Any) -> None:
    """The other process's stream waits for work of this one."""
    acl(
        """
        import subprocess
        child = '''
        from acl import *
        import sys
        ok("aclrtSetDevice", 0)
        class Handle(ctypes.Structure):
            _fields_ = [("text", ctypes.c_char * 64)]
        handle = Handle(bytes.fromhex(sys.argv[1]))
        e, s = c_void_p(), stream()
        ok("aclrtIpcOpenEventHandle", handle, byref(e))
        ok("aclrtStreamWaitEvent", s, e)
        print("waiting", flush=True)
        assert status("aclrtQueryEventStatus", e) == 0
        ok("aclrtSynchronizeStream", s)
        assert status("aclrtQueryEventStatus", e) == 1
        print("reached", flush=True)
        '''
        import textwrap, threading
        go = threading.Event()
        e, s = event(EVENT_IPC), stream()
        call(s, go.wait)
        ok("aclrtRecordEvent", e, s)
        handle = ctypes.create_string_buffer(64)
        ok("aclrtIpcGetEventHandle", e, handle)
        other = subprocess.Popen([sys.executable, "-c", textwrap.dedent(child), handle.raw.hex()],
                                 stdout=subprocess.PIPE, text=True)
        assert other.stdout.readline() == "waiting\\n"
        time.sleep(0.2)
        go.set()
        assert other.stdout.readline() == "reached\\n"
        assert other.wait() == 0
        plain = event()
        assert code("aclrtIpcGetEventHandle", plain, handle) == 507022
        """
    )
