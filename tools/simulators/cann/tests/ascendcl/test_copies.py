"""Copies and fills against Python's own slices, and what is refused."""

from __future__ import annotations

from typing import Any


def test_two_dimensional_copies(acl: Any) -> None:
    acl(
        """
        import random
        random.seed(11)
        for _ in range(60):
            width, height = random.randrange(1, 50), random.randrange(1, 20)
            dp, sp = width + random.randrange(9), width + random.randrange(9)
            host = os.urandom(sp * height)
            h = pinned(len(host))
            ctypes.memmove(h, host, len(host))
            p = malloc(dp * height)
            write(p, bytes(dp * height))
            s = stream()
            sizes = c_size_t(width), c_size_t(height)
            ok("aclrtMemcpy2dAsync", c_void_p(p), c_size_t(dp), c_void_p(h), c_size_t(sp), *sizes,
               H2D, s)
            ok("aclrtSynchronizeStream", s)
            expected = bytearray(dp * height)
            for row in range(height):
                expected[row * dp : row * dp + width] = host[row * sp : row * sp + width]
            assert read(p, dp * height) == bytes(expected)
            back = ctypes.create_string_buffer(sp * height)
            ok("aclrtMemcpy2d", back, c_size_t(sp), c_void_p(p), c_size_t(dp), *sizes, DEFAULT)
            for row in range(height):
                assert back.raw[row * sp : row * sp + width] == host[row * sp : row * sp + width]
        """
    )


def test_what_a_two_dimensional_copy_refuses(acl: Any) -> None:
    acl(
        """
        p, h = malloc(1000), pinned(10_000_000)
        s = stream()
        def go(dp, sp, w, hgt, kind=H2D, source=h):
            sizes = c_size_t(dp), c_void_p(source), c_size_t(sp), c_size_t(w), c_size_t(hgt)
            return code("aclrtMemcpy2dAsync", c_void_p(p), *sizes, kind, s)
        assert go(10, 10, 10, 100) == 0
        assert go(10, 10, 10, 101) == 507053      # runs over the end of the target
        assert go(9, 10, 10, 5) == 107000         # rows longer than the pitch
        assert go(10, 9, 10, 5) == 107000
        assert go(10, 10, 0, 5) == 107000 and go(10, 10, 10, 0) == 107000
        assert go(1, 1, 1, 5 * 1024 * 1024 + 1) == 100000
        assert go(10, 10, 10, 10, D2H) == 107000  # not what the pointers are
        assert go(10, 10, 10, 10, D2D, malloc(1000)) == 207000
        """,
        strict=True,
    )


def test_sizes_and_directions(acl: Any) -> None:
    acl(
        """
        p, h = malloc(100), pinned(100)
        plain = ctypes.addressof(ctypes.create_string_buffer(100))
        assert copy_code(p, h, 50, H2D, room=49) == 107000
        assert copy_code(p, h, 50, D2H) == 107000 and copy_code(p, h, 50, H2H) == 107000
        assert copy_code(p, h, 50, 99) == 100000
        assert copy_code(p, h, 50, DEFAULT) == 0 and copy_code(plain, h, 50, H2H) == 0
        assert copy_async(plain, h, 50, H2H, stream()) == 207000
        assert copy_async(plain, h, 50, DEFAULT, stream()) == 207000
        """
    )


def test_pageable_memory_is_copied_before_the_call_returns(acl: Any) -> None:
    """Whatever the delay; page-locked memory is read when the stream comes to it."""
    acl(
        """
        s, p = stream(), malloc(64)
        q = malloc(64)
        plain = ctypes.create_string_buffer(b"x" * 64, 64)
        h = pinned(64, ord("x"))
        opened = gate(s)
        assert copy_async(p, h, 64, H2D, s) == 0
        ctypes.memset(h, ord("y"), 64)
        threading.Timer(0.1, opened.set).start()  # the next call waits for the stream
        assert copy_async(q, ctypes.addressof(plain), 64, H2D, s) == 0
        ctypes.memset(plain, ord("y"), 64)
        ok("aclrtSynchronizeStream", s)
        assert read(p, 64) == b"y" * 64 and read(q, 64) == b"x" * 64
        """,
        delay_us=2000,
    )


BATCH = """
class Location(ctypes.Structure):
    _fields_ = [("id", c_uint32), ("type", c_uint32)]
class Attribute(ctypes.Structure):
    _fields_ = [("target", Location), ("source", Location), ("reserved", ctypes.c_uint8 * 16)]
HOST, DEVICE = 0, 1
UP = Attribute(Location(0, DEVICE), Location(0, HOST))
DOWN = Attribute(Location(0, HOST), Location(0, DEVICE))
failed = c_size_t(0)
def batch(targets, sources, sizes, attributes=(UP,), indexes=(0,), s=None, rooms=None):
    n = len(targets)
    array = lambda type_, items: (type_ * len(items))(*items)
    return code("aclrtMemcpyBatchAsync", array(c_void_p, targets), array(c_size_t, rooms or sizes),
                array(c_void_p, sources), array(c_size_t, sizes), c_size_t(n),
                array(Attribute, attributes), array(c_size_t, indexes),
                c_size_t(len(attributes)), byref(failed), s)
"""


def test_batches(acl: Any) -> None:
    acl(
        BATCH
        + """
p, h, s = malloc(1000), pinned(1000), stream()
data = os.urandom(1000)
ctypes.memmove(h, data, 1000)
parts = [(0, 100, 300), (400, 0, 50), (600, 700, 250)]
targets = [p + t for t, _, _ in parts]
sources = [h + f for _, f, _ in parts]
sizes = [n for _, _, n in parts]
assert batch(targets, sources, sizes, s=s) == 0
assert failed.value == 2**64 - 1
ok("aclrtSynchronizeStream", s)
for t, f, n in parts:
    assert read(p + t, n) == data[f : f + n]
ctypes.memset(h, 0, 1000)
assert batch(sources, targets, sizes, (DOWN, DOWN), (0, 2), s) == 0
ok("aclrtSynchronizeStream", s)
for _, f, n in parts:
    assert ctypes.string_at(h + f, n) == data[f : f + n]
"""
    )


def test_what_a_batch_refuses_before_anything_is_copied(acl: Any) -> None:
    acl(
        BATCH
        + """
p, h, s = malloc(1000), pinned(1000, 7), stream()
write(p, bytes(1000))
two = [p, p + 500], [h, h + 500]
assert batch(*two, [100, 501], s=s) == 507053 and failed.value == 1
assert batch(*two, [100, 100], rooms=[100, 99], s=s) == 107000 and failed.value == 1
assert batch(*two, [100, 100], (DOWN,), s=s) == 100000 and failed.value == 0
assert batch(*two, [100, 100], (UP, DOWN), (0, 1), s=s) == 100000 and failed.value == 1
assert batch(*two, [100, 100], (UP, UP), (0, 2), s=s) == 100000
assert batch(*two, [100, 100], (UP,), (1,), s=s) == 100000
assert batch([p, h], [h, p], [1, 1], (UP, DOWN), (0, 1), s) == 207000
BETWEEN = Attribute(Location(0, DEVICE), Location(0, DEVICE))
assert batch([p], [p + 500], [1], (BETWEEN,), s=s) == 207000
assert batch([], [], [], s=s) == 100000
ok("aclrtSynchronizeStream", s)
assert read(p, 1000) == bytes(1000)
"""
    )


def test_batches_need_the_right_chip(acl: Any) -> None:
    acl(BATCH + "assert batch([malloc(8)], [pinned(8)], [8]) == 207000", soc="310P")


def test_fills(acl: Any) -> None:
    acl(
        """
        p, s = malloc(100), stream()
        write(p, bytes(100))
        ok("aclrtMemsetAsync", c_void_p(p + 10), c_size_t(90), 0x1FE, c_size_t(20), s)
        ok("aclrtSynchronizeStream", s)
        assert read(p, 100) == bytes(10) + b"\\xfe" * 20 + bytes(70)
        assert code("aclrtMemset", c_void_p(p), c_size_t(9), 1, c_size_t(10)) == 107000
        assert code("aclrtMemset", c_void_p(p), c_size_t(101), 1, c_size_t(101)) == 507053
        """
    )


def test_copies_between_devices(acl: Any) -> None:
    program = """
    p = malloc(64)
    write(p, b"z" * 64)
    ok("aclrtSetDevice", 1)
    q = malloc(64)
    strict = os.environ.get("ACCEL_SIM_STRICT") == "1"
    assert copy_code(q, p, 64, D2D) == (107003 if strict else 0)
    can = c_int32()
    ok("aclrtDeviceCanAccessPeer", byref(can), 1, 0)
    assert can.value == 1
    ok("aclrtDeviceEnablePeerAccess", 0, c_uint32(0))
    assert copy_code(q, p, 64, D2D) == 0
    assert read(q, 64) == b"z" * 64
    assert code("aclrtDeviceEnablePeerAccess", 1, c_uint32(0)) == 107001
    """
    acl(program)
    acl(program, strict=True)


def test_random_delays_do_not_change_what_is_ordered(acl: Any) -> None:
    for seed in range(3):
        acl(
            """
            a, b, e = stream(), stream(), event()
            p, h, back = malloc(4096), pinned(4096), pinned(4096)
            for round in range(20):
                ctypes.memset(h, round, 4096)
                assert copy_async(p, h, 4096, H2D, a) == 0
                ok("aclrtRecordEvent", e, a)
                ok("aclrtStreamWaitEvent", b, e)
                assert copy_async(back, p, 4096, D2H, b) == 0
                ok("aclrtSynchronizeStream", b)
                assert ctypes.string_at(back, 4096) == bytes([round]) * 4096
            """,
            seed=seed,
            delay_us=1000,
            strict=True,
        )


def test_a_missing_wait_shows_under_delays(acl: Any) -> None:
    """The race that the seeded delays are for: without the wait some round must be wrong."""
    finished = acl(
        """
        a, b = stream(), stream()
        p, h, back = malloc(4096), pinned(4096), pinned(4096)
        wrong = 0
        for round in range(1, 60):
            ctypes.memset(h, round, 4096)
            assert copy_async(p, h, 4096, H2D, a) == 0
            assert copy_async(back, p, 4096, D2H, b) == 0
            ok("aclrtSynchronizeDevice")
            wrong += ctypes.string_at(back, 4096) != bytes([round]) * 4096
        print(wrong)
        """,
        seed=1,
        delay_us=3000,
    )
    assert int(finished.last) > 0
