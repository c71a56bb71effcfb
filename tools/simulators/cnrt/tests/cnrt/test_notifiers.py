"""Notifiers: what a wait waits for, times, flags."""

from __future__ import annotations

from typing import Any


def test_a_wait_sees_the_place_before_it(cnrt: Any) -> None:
    cnrt(
        """
        a, b, n = queue(), queue(), notifier()
        ok("cnrtWaitNotifier", n)  # never placed: at once
        ok("cnrtQueryNotifier", n)
        ok("cnrtQueueWaitNotifier", n, b, 0)
        ok("cnrtQueueSync", b)
        first, seen = gate(a), []
        call(a, lambda: seen.append("a"))
        ok("cnrtPlaceNotifier", n, a)
        ok("cnrtQueueWaitNotifier", n, b, 0)
        call(b, lambda: seen.append("b"))
        second = gate(a)
        ok("cnrtPlaceNotifier", n, a)  # what b waits for is not changed
        first.set()
        ok("cnrtQueueSync", b)
        assert seen == ["a", "b"]
        assert code("cnrtQueryNotifier", n) == NOT_READY, "the query sees the latest"
        second.set()
        ok("cnrtWaitNotifier", n)
        assert code("cnrtQueueWaitNotifier", n, b, 1) == ARGS
        assert code("cnrtPlaceNotifierWithFlags", n, b, 1) == ARGS
        ok("cnrtPlaceNotifierWithFlags", n, b, 0)
        """,
        delay_us=300,
    )


def test_times(cnrt: Any) -> None:
    cnrt(
        """
        q, start, end = queue(), notifier(), notifier()
        value = c_float()
        def elapsed(a, b):
            return code("cnrtNotifierElapsedTime", a, b, byref(value))
        assert elapsed(start, end) == DRIVER, "never placed"
        ok("cnrtPlaceNotifier", start, q)
        assert elapsed(start, end) == DRIVER
        call(q, lambda: time.sleep(0.05))
        opened = gate(q)
        ok("cnrtPlaceNotifier", end, q)
        assert elapsed(start, end) == NOT_READY
        opened.set()
        ok("cnrtQueueSync", q)
        assert milliseconds(start, end) >= 50
        us = c_float()
        ok("cnrtNotifierDuration", start, end, byref(us))
        assert abs(us.value / 1e3 - milliseconds(start, end)) < 0.01
        assert milliseconds(end, start) < 0
        for flags in (UNTIMED, UNTIMED_SOFTWARE):
            untimed = notifier(flags)
            ok("cnrtPlaceNotifier", untimed, q)
            ok("cnrtWaitNotifier", untimed)
            assert elapsed(start, untimed) == ARGS and elapsed(untimed, end) == ARGS
        """
    )


def test_flags(cnrt: Any) -> None:
    program = """
    def create(flags):
        return code("cnrtNotifierCreateWithFlags", byref(c_void_p()), c_uint(flags))
    assert create(1) == create(16) == ARGS
    assert create(INTERPROCESS) == ARGS if lib.accel_simulator().find(b"6.14") > 0 else True
    print(create(INTERPROCESS | UNTIMED))
    n = made("cnrtNotifierCreate", c_void_p)
    ok("cnrtNotifierDestroy", n)
    assert code("cnrtNotifierDestroy", n) == HANDLE
    assert code("cnrtPlaceNotifier", n, None) == HANDLE
    """
    assert cnrt(program).last == "0"
    assert cnrt(program, cnrt="6.0").last == "100050"


def test_a_notifier_placed_after_a_failure_tells_it(cnrt: Any) -> None:
    cnrt(
        """
        q, n = queue(), notifier()
        p = malloc(8)
        opened = gate(q)
        ok("cnrtMemsetAsync", c_void_p(p), 0, c_size_t(8), q)
        ok("cnrtPlaceNotifier", n, q)
        ok("cnrtFree", c_void_p(p))
        opened.set()
        assert code("cnrtWaitNotifier", n) == DRIVER
        """
    )
