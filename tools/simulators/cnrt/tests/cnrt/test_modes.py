"""Planned faults, forks, delays and traces, seen through CNRT's functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accel_sim import read_traces


def test_planned_faults(cnrt: Any) -> None:
    cnrt(
        """
        p, host, q = malloc(8), pinned(8), queue()
        assert [copy_code(p, host, 8, H2D) for _ in range(3)] == [0, 100007, 0]
        assert [copy_async(p, host, 8, q, H2D) for _ in range(2)] == [0, 0]
        assert code("cnrtQueueSync", q) == KERNEL_TRAP, "its work failed"
        assert code("cnrtMalloc", byref(c_void_p()), c_size_t(8)) == NO_MEMORY
        malloc(8)
        """,
        faults=[
            "call=cnrtMemcpy,nth=2,code=100007",
            "call=cnrtMemcpyAsync,nth=2,where=stream",
            "oom,nth=2",
        ],
    )


def test_a_stalled_copy_holds_its_queue_only(cnrt: Any) -> None:
    cnrt(
        """
        p, host = malloc(8), pinned(8)
        stuck, others = queue(), [queue() for _ in range(4)]
        assert copy_async(p, host, 8, stuck, H2D) == 0
        for q in others:
            assert copy_async(p, host, 8, q, H2D) == 0
            ok("cnrtQueueSync", q)
        assert code("cnrtQueueQuery", stuck) == NOT_READY
        os._exit(0)
        """,
        faults=["copy_stalls,nth=1"],
    )


def test_a_forked_child_is_told_so(cnrt: Any) -> None:
    cnrt(
        """
        malloc(8)
        child = os.fork()
        if child == 0:
            failed = code("cnrtMalloc", byref(c_void_p()), c_size_t(8)) == DRIVER
            os._exit(7 if failed and "fork" in text(DRIVER) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        """
    )


def test_a_missing_wait_shows_under_delays(cnrt: Any) -> None:
    """With a notifier between two queues the bytes are always right; without, not always."""
    program = """
    wait = sys.argv[1:] == ["wait"] or {wait}
    wrong = 0
    a, b, n = queue(), queue(), notifier()
    p, host, out = malloc(64), pinned(64), pinned(64)
    for turn in range(1, 40):
        ctypes.memset(host, turn, 64)
        assert copy_async(p, host, 64, a, H2D) == 0
        ok("cnrtPlaceNotifier", n, a)
        if wait:
            ok("cnrtQueueWaitNotifier", n, b, 0)
        assert copy_async(out, p, 64, b, D2H) == 0
        ok("cnrtQueueSync", b)
        wrong += ctypes.string_at(out, 64) != bytes([turn]) * 64
        ok("cnrtQueueSync", a)
    print(wrong)
    """
    assert int(cnrt(program.format(wait=True), delay_us=1500).last) == 0
    assert int(cnrt(program.format(wait=False), delay_us=1500).last) > 0


def test_traces(cnrt: Any, tmp_path: Path) -> None:
    prefix = str(tmp_path / "trace")
    cnrt(
        """
        p, host, q, n = malloc(100), pinned(100), queue(), notifier()
        assert copy_async(p, host, 100, q, H2D) == 0
        ok("cnrtPlaceNotifier", n, q)
        ok("cnrtMemsetAsync", c_void_p(p), 1, c_size_t(50), q)
        ok("cnrtQueueSync", q)
        assert lib.accel_simulator_calls(b"cnrtMemcpyAsync") == 1
        lib.accel_simulator_write_trace()
        """,
        trace=prefix,
    )
    (trace,) = read_traces(prefix)
    assert [span.bytes for span in trace.named("cnrtMemcpyAsync")] == [100]
    assert [span.bytes for span in trace.named("cnrtMemsetAsync")] == [50]
    assert len(list(trace.named("cnrtPlaceNotifier"))) == 1
    assert trace.calls["cnrtQueueSync"] == 1
