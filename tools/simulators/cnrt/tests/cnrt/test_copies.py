"""Copies and fills: every form, the order of arguments and the codes of directions."""

from __future__ import annotations

from typing import Any


def test_directions(cnrt: Any) -> None:
    """1 is inside the device and 2 to the host: not as other vendors count."""
    cnrt(
        """
        data = os.urandom(1000)
        host, a, b = pinned(1000), malloc(1000), malloc(1000)
        ctypes.memmove(host, data, 1000)
        assert copy_code(a, host, 1000, H2D) == 0
        assert copy_code(b, a, 1000, D2D) == 0
        back = ctypes.create_string_buffer(1000)
        assert copy_code(addressof(back), b, 1000, D2H) == 0 and back.raw == data
        other = ctypes.create_string_buffer(1000)
        assert copy_code(addressof(other), addressof(back), 1000, H2H) == 0 and other.raw == data
        ctypes.memset(other, 0, 1000)
        assert copy_code(addressof(other), b, 1000, NO_DIRECTION) == 0 and other.raw == data
        for wrong in (-1, 6, 99):
            assert copy_code(a, host, 8, wrong) == DIRECTION
        for mistaken in (D2D, D2H, H2H, P2P):
            assert copy_code(a, host, 8, mistaken) == ARGS, mistaken
        assert copy_code(a, host, 0, H2D) == 0
        """
    )


def test_the_queue_comes_before_the_direction(cnrt: Any) -> None:
    cnrt(
        """
        host, p, q = pinned(64, 7), malloc(64), queue()
        for name in ("cnrtMemcpyAsync", "cnrtMemcpyAsync_V2", "cnrtMemcpyAsync_V3"):
            ok("cnrtMemset", c_void_p(p), 0, c_size_t(64))
            ok(name, c_void_p(p), c_void_p(host), c_size_t(64), q, H2D)
            ok("cnrtQueueSync", q)
            assert read(p, 64) == bytes([7]) * 64, name
        """,
        delay_us=500,
    )


def test_asynchronous_copies_run_in_their_queues_order(cnrt: Any) -> None:
    cnrt(
        """
        host, p, q = pinned(64, 1), malloc(64), queue()
        opened = gate(q)
        assert copy_async(p, host, 64, q, H2D) == 0
        assert code("cnrtQueueQuery", q) == NOT_READY
        ctypes.memset(host, 2, 64)  # too early: the copy has not run
        opened.set()
        ok("cnrtQueueSync", q)
        assert read(p, 64) == bytes([2]) * 64
        """
    )


def test_pageable_memory_is_read_before_the_call_returns(cnrt: Any) -> None:
    cnrt(
        """
        host, p, q = ctypes.create_string_buffer(b"first" * 10, 50), malloc(50), queue()
        assert copy_async(p, addressof(host), 50, q, H2D) == 0
        ctypes.memset(host, 0, 50)
        ok("cnrtQueueSync", q)
        assert read(p, 50) == b"first" * 10
        """,
        delay_us=2000,
    )


def test_asynchronous_copies_inside_the_host_are_refused(cnrt: Any) -> None:
    cnrt(
        """
        a, b, q = pinned(8), pinned(8), queue()
        for direction in (H2H, NO_DIRECTION):
            assert copy_async(a, b, 8, q, direction) == NOT_SUPPORTED
        """
    )


def test_two_dimensions(cnrt: Any) -> None:
    cnrt(
        """
        rows, width = 5, 7
        host = ctypes.create_string_buffer(bytes(range(rows * 11)), rows * 11)
        p, q = malloc(rows * 16), queue()
        ok("cnrtMemset", c_void_p(p), 0xFF, c_size_t(rows * 16))
        def sizes(*numbers):
            return [c_size_t(n) for n in numbers]
        def copy(name, target, tp, source, sp, w, h, *rest):
            return code(name, c_void_p(target), c_size_t(tp), c_void_p(source), c_size_t(sp),
                        c_size_t(w), c_size_t(h), *rest)
        at = addressof(host)
        assert copy("cnrtMemcpy2D", p, 16, at, 11, width, rows, H2D) == 0
        row = lambda r: bytes(range(11 * r, 11 * r + width))
        expected = b"".join(row(r) + b"\\xFF" * 9 for r in range(rows))
        assert read(p, rows * 16) == expected
        back = pinned(rows * 8, 0)
        assert copy("cnrtMemcpy2DAsync", back, 8, p, 16, width, rows, D2H, q) == 0
        ok("cnrtQueueSync", q)
        got = ctypes.string_at(back, rows * 8)
        assert got == b"".join(row(r) + b"\\0" for r in range(rows))
        assert copy("cnrtMemcpy2D", p, 6, at, 11, width, rows, H2D) == ARGS
        assert copy("cnrtMemcpy2D", p, 16, at, 11, 0, rows, H2D) == ARGS
        assert copy("cnrtMemcpy2D", p, 16, at, 11, width, rows + 1, H2D) == DRIVER
        assert copy("cnrtMemcpy2D", p, 16, at, 11, width, rows, 9) == DIRECTION
        assert read(p, rows * 16) == expected, "a refused copy writes nothing"
        """
    )


def test_between_devices(cnrt: Any) -> None:
    cnrt(
        """
        a = malloc(100)
        write(a, b"x" * 100)
        ok("cnrtSetDevice", 1)
        b, q = malloc(100), queue()
        assert made("cnrtGetPeerAccessibility", c_uint, 0, 1).value == 1
        n = c_size_t(100)
        ok("cnrtMemcpyPeer", c_void_p(b), 1, c_void_p(a), 0, n)
        assert read(b, 100) == b"x" * 100
        ok("cnrtMemset", c_void_p(b), 0, n)
        ok("cnrtMemcpyPeerAsync", c_void_p(b), 1, c_void_p(a), 0, n, q)
        ok("cnrtQueueSync", q)
        assert read(b, 100) == b"x" * 100
        assert code("cnrtMemcpyPeer", c_void_p(b), 0, c_void_p(a), 1, n) == ARGS, "swapped"
        assert code("cnrtMemcpyPeer", c_void_p(b), 5, c_void_p(a), 0, n) == 100005
        assert copy_code(a, b, 100, P2P) == 0
        """,
        strict=True,
    )


def test_fills(cnrt: Any) -> None:
    cnrt(
        """
        p, q = malloc(64), queue()
        ok("cnrtMemset", c_void_p(p), 0x1FF, c_size_t(64))
        assert read(p, 64) == b"\\xFF" * 64
        ok("cnrtMemsetAsync", c_void_p(p + 8), 3, c_size_t(8), q)
        ok("cnrtQueueSync", q)
        assert read(p, 64) == b"\\xFF" * 8 + b"\\3" * 8 + b"\\xFF" * 48
        assert code("cnrtMemset", c_void_p(p), 0, c_size_t(65)) == DRIVER
        assert code("cnrtMemset", None, 0, c_size_t(1)) == ARGS
        """
    )
