"""Device and page-locked memory, their guards, and what a pointer is."""

from __future__ import annotations

import signal
from typing import Any

import pytest


def test_the_host_cannot_touch_device_memory(cnrt: Any) -> None:
    done = cnrt("ctypes.memset(malloc(4096), 1, 1)", check=False)
    assert done.returncode == -signal.SIGSEGV


def test_pinned_memory_ends_at_a_guard(cnrt: Any) -> None:
    cnrt("p = pinned(4096); ctypes.memset(p, 1, 4096)")
    done = cnrt("p = pinned(4096); ctypes.memset(p, 1, 4097)", check=False)
    assert done.returncode == -signal.SIGSEGV


def test_uses_beyond_an_allocation_and_after_it(cnrt: Any) -> None:
    cnrt(
        """
        p, host = malloc(100), pinned(200)
        assert copy_code(p, host, 100, H2D) == 0
        assert copy_code(p, host, 101, H2D) == DRIVER and "over the end" in text(DRIVER)
        assert copy_code(p + 1, host, 100, H2D) == DRIVER
        ok("cnrtFree", c_void_p(p))
        assert copy_code(p, host, 1, H2D) == DRIVER
        assert code("cnrtFree", c_void_p(p)) == ARGS, "freed twice"
        assert code("cnrtFree", c_void_p(malloc(64) + 8)) == ARGS
        ok("cnrtFree", None)
        """
    )


def test_memory_freed_under_a_queue_is_the_queues_error(cnrt: Any) -> None:
    cnrt(
        """
        p, host, q = malloc(64), pinned(64), queue()
        opened = gate(q)
        assert copy_async(host, p, 64, q, D2H) == 0
        ok("cnrtFree", c_void_p(p))
        opened.set()
        assert code("cnrtQueueSync", q) == DRIVER
        assert code("cnrtQueueSync", q) == 0, "an error is told once"
        """
    )


def test_limits(cnrt: Any) -> None:
    cnrt(
        """
        free, total = c_size_t(), c_size_t()
        ok("cnrtMemGetInfo", byref(free), byref(total))
        assert (free.value, total.value) == (1 << 20, 1 << 20)
        p = malloc(1 << 19)
        ok("cnrtMemGetInfo", byref(free), byref(total))
        assert free.value == 1 << 19
        for _ in range(2):
            assert code("cnrtMalloc", byref(c_void_p()), c_size_t((1 << 19) + 1)) == NO_MEMORY
        ok("cnrtFree", c_void_p(p))
        malloc(1 << 20)
        assert code("cnrtMalloc", byref(c_void_p()), c_size_t(0)) == ARGS
        assert code("cnrtMalloc", None, c_size_t(8)) == ARGS
        """,
        memory=1 << 20,
    )


def test_what_a_pointer_is(cnrt: Any) -> None:
    cnrt(
        """
        class Attributes(ctypes.Structure):
            _fields_ = [("type", c_int), ("device", c_int), ("size", c_size_t),
                        ("devicePointer", c_void_p), ("hostPointer", c_void_p),
                        ("cacheMode", c_int), ("deviceBasePointer", c_void_p)]
        def of(pointer):
            a = made("cnrtPointerGetAttributes", Attributes, c_void_p(pointer))
            return a.type, a.device, a.size, a.devicePointer, a.hostPointer, a.deviceBasePointer
        ok("cnrtSetDevice", 1)
        p, host = malloc(100), pinned(50)
        pageable = ctypes.create_string_buffer(8)
        assert of(p + 7) == (2, 1, 100, p + 7, None, p)
        assert of(host + 3)[:2] == (1, 1) and of(host + 3)[4] == host + 3
        assert of(addressof(pageable)) == (0, -1, 0, None, None, None)
        ok("cnrtFree", c_void_p(p))
        assert of(p)[0] == 0
        assert code("cnrtPointerGetAttributes", None, c_void_p(host)) == ARGS
        """
    )


@pytest.mark.parametrize("strict", [True, False])
def test_fresh_memory_is_not_zero_in_strict_mode(cnrt: Any, strict: bool) -> None:
    done = cnrt("print(read(malloc(64), 64) == b'\\xA5' * 64)", strict=strict)
    assert done.last == str(strict)
