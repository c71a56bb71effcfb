"""Queues: order, priorities, the implicit ones, host functions, and both codes of "not ready"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from accel_sim import read_traces


@pytest.mark.parametrize(("not_ready", "number"), [("notready", 1), ("busy", 632014)])
def test_not_ready(cnrt: Any, not_ready: str, number: int) -> None:
    cnrt(
        f"""
        q, n = queue(), notifier()
        opened = gate(q)
        ok("cnrtPlaceNotifier", n, q)
        assert code("cnrtQueueQuery", q) == {number}
        assert code("cnrtQueryNotifier", n) == {number}
        opened.set()
        ok("cnrtWaitNotifier", n)
        ok("cnrtQueryNotifier", n)
        ok("cnrtQueueSync", q)
        ok("cnrtQueueQuery", q)
        """,
        not_ready=not_ready,
    )


def test_priorities_are_clamped(cnrt: Any) -> None:
    cnrt(
        """
        least, greatest = c_int(), c_int()
        ok("cnrtDeviceGetQueuePriorityRange", byref(least), byref(greatest))
        assert (least.value, greatest.value) == (7, 0)
        def of(q):
            value = c_int()
            ok("cnrtQueueGetPriority", q, byref(value))
            return value.value
        assert [of(queue(p)) for p in (0, 3, 7, 8, 100, -1, -100)] == [0, 3, 7, 7, 7, 0, 0]
        assert of(queue()) == of(None) == 7
        made_ = byref(c_void_p())
        assert code("cnrtQueueCreateWithPriority", made_, 1, 0) == ARGS, "flags"
        """
    )


def test_priorities_decide_what_runs_next(cnrt: Any, tmp_path: Path) -> None:
    """With both slots of a device taken, the work that waits is taken up in order of priority."""
    prefix = str(tmp_path / "trace")
    cnrt(
        """
        big = malloc(1 << 29)
        fillers, root, n = [queue(7), queue(7)], queue(0), notifier()
        waiting = [(priority, queue(priority)) for priority in (3, 7, 0, 5, 1)]
        for attempt in range(6):
            # One notifier lets all of them go, while two long fills take the slots.
            opened = gate(root)
            ok("cnrtPlaceNotifier", n, root)
            for priority, q in waiting:
                nbytes = (1 << 25) + 16 * attempt + priority
                ok("cnrtQueueWaitNotifier", n, q, 0)
                ok("cnrtMemsetAsync", c_void_p(big), 1, c_size_t(nbytes), q)
            for q in fillers:
                ok("cnrtMemsetAsync", c_void_p(big), 0, c_size_t(1 << 29), q)
            time.sleep(0.02)
            opened.set()
            ok("cnrtSyncDevice")
        lib.accel_simulator_write_trace()
        """,
        memory=1 << 30,
        trace=prefix,
    )
    (trace,) = read_traces(prefix)
    orders = []
    for attempt in range(6):
        first = (1 << 25) + 16 * attempt
        spans = [s for s in trace.named("cnrtMemsetAsync") if first <= s.bytes < first + 16]
        orders.append([s.bytes - first for s in sorted(spans, key=lambda span: span.start)])
    assert all(sorted(order) == [0, 1, 3, 5, 7] for order in orders)
    # Two begin at about the same time. A busy machine may wake a stream late, not each time.
    assert any(set(o[:2]) == {0, 1} and set(o[2:4]) == {3, 5} for o in orders), orders


def test_work_of_one_priority_takes_turns(cnrt: Any) -> None:
    """More queues than slots: all of them come to their end, host functions hold no slot."""
    cnrt(
        """
        queues = [queue(7) for _ in range(8)]
        p = malloc(1 << 16)
        gates = [gate(q) for q in queues[:6]]  # more host functions at once than there are slots
        for q in queues:
            for value in range(4):
                ok("cnrtMemsetAsync", c_void_p(p), value, c_size_t(1 << 16), q)
        ok("cnrtQueueSync", queues[6])
        ok("cnrtQueueSync", queues[7])
        for one in reversed(gates):
            one.set()
        ok("cnrtSyncDevice")
        assert read(p, 1 << 16) == bytes([3]) * (1 << 16)
        """,
        delay_us=300,
    )


def test_implicit_queues(cnrt: Any) -> None:
    """NULL and LEGACY are the device's; PER_THREAD is one of each thread."""
    cnrt(
        """
        import threading
        opened = gate(None)
        assert code("cnrtQueueQuery", LEGACY) == NOT_READY
        assert code("cnrtQueueQuery", PER_THREAD) == 0
        opened.set()
        ok("cnrtQueueSync", LEGACY)
        opened, seen = gate(PER_THREAD), []
        def other():
            seen.append(code("cnrtQueueQuery", PER_THREAD))
            seen.append(code("cnrtQueueQuery", LEGACY))
        asks = threading.Thread(target=other)
        asks.start(); asks.join()
        assert seen == [0, 0], "another thread's queue is its own"
        assert code("cnrtQueueQuery", PER_THREAD) == NOT_READY
        ok("cnrtSetDevice", 1)
        assert code("cnrtQueueQuery", PER_THREAD) == 0, "and another device's too"
        ok("cnrtSetDevice", 0)
        opened.set()
        ok("cnrtSyncDevice")
        assert code("cnrtQueueDestroy", None) == HANDLE
        assert code("cnrtQueueSync", c_void_p(3)) == HANDLE
        """
    )


def test_6_0_has_one_implicit_queue(cnrt: Any) -> None:
    cnrt(
        """
        ok("cnrtQueueSync", None)
        assert code("cnrtQueueSync", PER_THREAD) == HANDLE
        assert code("cnrtQueueSync", LEGACY) == HANDLE
        """,
        cnrt="6.0",
    )


def test_a_destroyed_queue_ends_its_work(cnrt: Any) -> None:
    """The call returns at once; the device still waits for the work."""
    cnrt(
        """
        q, ran = queue(), []
        opened = gate(q)
        call(q, lambda: ran.append(1))
        ok("cnrtQueueDestroy", q)
        assert not ran
        assert code("cnrtQueueSync", q) == HANDLE
        assert code("cnrtQueueDestroy", q) == HANDLE
        opened.set()
        ok("cnrtSyncDevice")
        assert ran == [1]
        ok("cnrtQueueDestroy", queue())
        """
    )


def test_host_functions_run_in_order(cnrt: Any) -> None:
    cnrt(
        """
        q, p, host, seen = queue(), malloc(8), pinned(8, 5), []
        assert copy_async(p, host, 8, q, H2D) == 0
        out = pinned(8)
        assert copy_async(out, p, 8, q, D2H) == 0
        call(q, lambda: seen.append(ctypes.string_at(out, 8)))
        call(q, lambda: seen.append("last"))
        ok("cnrtQueueSync", q)
        assert seen == [bytes([5]) * 8, "last"]
        assert code("cnrtInvokeHostFunc", q, None, None) == ARGS
        """,
        delay_us=1000,
    )


@pytest.mark.parametrize("strict", [True, False])
def test_host_functions_must_not_call_cnrt(cnrt: Any, strict: bool) -> None:
    expected = "DRIVER" if strict else "0"
    cnrt(
        f"""
        q, codes = queue(), []
        call(q, lambda: codes.append(code("cnrtMalloc", byref(c_void_p()), c_size_t(8))))
        call(q, lambda: codes.append(code("cnrtSyncDevice") if {strict} else 0))
        ok("cnrtQueueSync", q)
        assert codes == [{expected}, {expected}], codes
        """,
        strict=strict,
    )


def test_a_queue_belongs_to_its_device_in_strict_mode(cnrt: Any) -> None:
    cnrt(
        """
        q = queue()
        ok("cnrtSetDevice", 1)
        assert code("cnrtMemsetAsync", c_void_p(malloc(8)), 0, c_size_t(8), q) == 632006
        ok("cnrtQueueSync", q)
        """,
        strict=True,
    )
