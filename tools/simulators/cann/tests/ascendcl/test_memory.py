"""Device memory: behind a guard, checked at both ends, and limited."""

from __future__ import annotations

import signal
from typing import Any


def test_the_host_cannot_read_or_write_device_memory(acl: Any) -> None:
    read = acl("ctypes.string_at(malloc(4096), 1)", check=False)
    written = acl("ctypes.memset(malloc(4096), 0, 1)", check=False)
    assert (read.returncode, written.returncode) == (-signal.SIGSEGV, -signal.SIGSEGV)


def test_bytes_come_back(acl: Any) -> None:
    acl(
        """
        data = os.urandom(100_001)
        p = malloc(len(data))
        write(p, data)
        assert read(p, len(data)) == data
        assert read(p + 17, 1000) == data[17:1017]
        q = malloc(len(data))
        copy(q, p, len(data), D2D)
        assert read(q, len(data)) == data
        """
    )


def test_bounds_and_freed_memory(acl: Any) -> None:
    acl(
        """
        p = malloc(1000)
        host = ctypes.create_string_buffer(2000)
        at = ctypes.addressof(host)
        assert copy_code(at, p, 1001, D2H) == 507053
        assert b"run over the end" in lib.aclGetRecentErrMsg()
        assert copy_code(at, p + 1000, 1, D2H) == 507053
        assert copy_code(at, p - 1, 1, D2H) == 507053
        ok("aclrtFree", c_void_p(p))
        assert copy_code(at, p, 1, D2H) == 507053
        assert b"was freed" in lib.aclGetRecentErrMsg()
        assert code("aclrtFree", c_void_p(p)) == 107000
        assert code("aclrtFree", c_void_p(at)) == 107000
        assert code("aclrtFree", c_void_p(malloc(64) + 8)) == 107000
        """
    )


def test_memory_freed_before_its_copy_runs_is_an_error_of_the_stream(acl: Any) -> None:
    acl(
        """
        s, p, h = stream(), malloc(64), pinned(64)
        opened = gate(s)
        assert copy_async(p, h, 64, H2D, s) == 0
        ok("aclrtFree", c_void_p(p))
        opened.set()
        assert code("aclrtSynchronizeStream", s) == 507053
        assert code("aclrtSynchronizeStream", s) == 0
        """
    )


def test_the_limit_of_a_device(acl: Any) -> None:
    acl(
        """
        free, total = c_size_t(), c_size_t()
        def left():
            ok("aclrtGetMemInfo", 0, byref(free), byref(total))
            return free.value
        assert left() == total.value == 64 << 20
        p = malloc(40 << 20)
        assert left() == 24 << 20
        q = c_void_p()
        assert code("aclrtMalloc", byref(q), c_size_t(25 << 20), 0) == 207001
        ok("aclrtSetDevice", 1)
        malloc(60 << 20)
        ok("aclrtSetDevice", 0)
        ok("aclrtFree", c_void_p(p))
        for _ in range(1000):
            ok("aclrtFree", c_void_p(malloc(60 << 20)))
        assert left() == total.value
        """,
        memory=64 << 20,
    )


def test_fresh_memory_is_not_zero_when_strict(acl: Any) -> None:
    acl("assert set(read(malloc(5000), 5000)) == {0xA5}", strict=True)


def test_addresses_are_aligned_and_apart(acl: Any) -> None:
    acl(
        """
        import random
        random.seed(5)
        live = {}
        for _ in range(500):
            if live and random.random() < 0.4:
                p = random.choice(list(live))
                assert read(p, live[p]) == bytes([p // 512 % 251]) * live.pop(p)
                ok("aclrtFree", c_void_p(p))
            n = random.randrange(1, 3000)
            p = malloc(n)
            assert p % 512 == 0
            live[p] = n
            write(p, bytes([p // 512 % 251]) * n)
        for p, n in live.items():
            assert read(p, n) == bytes([p // 512 % 251]) * n
        """
    )


def test_what_a_pointer_is(acl: Any) -> None:
    acl(
        """
        class Attributes(ctypes.Structure):
            _fields_ = [("id", c_uint32), ("type", c_uint32), ("page", c_uint32),
                        ("reserved", c_uint32 * 4)]
        def kind(pointer):
            a = Attributes()
            ok("aclrtPointerGetAttributes", c_void_p(pointer), byref(a))
            return a.type, a.id
        HOST, DEVICE, UNREGISTERED = range(3)
        p = malloc(100)
        ok("aclrtSetDevice", 1)
        q = malloc(100)
        assert kind(p + 99) == (DEVICE, 0) and kind(q) == (DEVICE, 1)
        assert kind(pinned(10) + 9) == (HOST, 0)
        plain = ctypes.create_string_buffer(10)
        assert kind(ctypes.addressof(plain)) == (UNREGISTERED, 0)
        ok("aclrtFree", c_void_p(p))
        assert kind(p) == (UNREGISTERED, 0)
        assert code("aclrtPointerGetAttributes", None, byref(Attributes())) == 100000
        """
    )


def test_host_registration(acl: Any) -> None:
    acl(
        """
        import mmap
        area = mmap.mmap(-1, 5 * 4096)
        at = ctypes.addressof(ctypes.c_char.from_buffer(area))
        MAPPED, PINNED = 2, 0x10000000
        register = lambda p, n, flag=MAPPED: code(
            "aclrtHostRegisterV2", c_void_p(p), c_uint64(n), c_uint32(flag))
        assert register(at + 8, 4096) == 107000
        assert register(at, 0) == 107000
        assert register(at, 4096, 1) == 107000
        assert register(at, 1 << 45) == 507910
        assert register(at, 3 * 4096) == 0
        assert register(at + 4096, 4096) == 507910
        assert register(at + 3 * 4096, 4096, PINNED) == 0
        d = c_void_p()
        ok("aclrtHostGetDevicePointer", c_void_p(at + 100), byref(d), c_uint32(0))
        area[100:108] = b"12345678"
        assert read(d.value, 8) == b"12345678"
        p = malloc(8)
        copy(p, d.value, 8, D2D)
        assert read(p, 8) == b"12345678"
        assert code("aclrtHostGetDevicePointer", c_void_p(at + 3 * 4096), byref(d), 0) == 507910
        ok("aclrtHostUnregister", c_void_p(at))
        assert code("aclrtHostUnregister", c_void_p(at)) == 507910
        assert copy_code(p, d.value, 8, D2D) == 507053
        """
    )


def test_registration_needs_the_right_chip(acl: Any) -> None:
    acl(
        """
        import mmap
        area = mmap.mmap(-1, 4096)
        at = ctypes.addressof(ctypes.c_char.from_buffer(area))
        assert code("aclrtHostRegisterV2", c_void_p(at), c_uint64(4096), c_uint32(2)) == 207000
        """,
        soc="310P",
    )


def test_pinned_memory_ends_where_it_ends(acl: Any) -> None:
    finished = acl("ctypes.memset(pinned(4096) + 4096, 0, 1)", check=False)
    assert finished.returncode == -signal.SIGSEGV


def test_neighbouring_mappings_are_one_memory(acl: Any) -> None:
    acl(
        """
        class Properties(ctypes.Structure):
            _fields_ = [("handle_type", c_int), ("allocation", c_int), ("attribute", c_int),
                        ("id", c_uint32), ("type", c_uint32), ("reserved", c_uint64)]
        M = 2 << 20
        base = c_void_p()
        ok("aclrtReserveMemAddress", byref(base), c_size_t(8 * M), c_size_t(0), None, c_uint64(1))
        parts = []
        for i in range(3):
            h = c_void_p()
            ok("aclrtMallocPhysical", byref(h), c_size_t(M),
               byref(Properties(0, 0, 4, 0, 1, 0)), c_uint64(0))
            place = c_void_p(base.value + i * M), c_size_t(M), c_size_t(0)
            ok("aclrtMapMem", *place, h, c_uint64(0))
            parts.append(h)
        data = os.urandom(2 * M)
        write(base.value + M // 2, data)
        assert read(base.value + M // 2, 2 * M) == data
        at = ctypes.addressof(ctypes.create_string_buffer(4 * M))
        assert copy_code(at, base.value, 3 * M + 1, D2H) == 507053
        ok("aclrtUnmapMem", c_void_p(base.value + M))
        assert copy_code(at, base.value, 2 * M, D2H) == 507053
        assert code("aclrtReleaseMemAddress", base) == 107000
        for i in (0, 2):
            ok("aclrtUnmapMem", c_void_p(base.value + i * M))
        for h in parts:
            ok("aclrtFreePhysical", h)
        ok("aclrtReleaseMemAddress", base)
        assert code("aclrtMallocPhysical", byref(h), c_size_t(M + 1),
                    byref(Properties(0, 0, 4, 0, 1, 0)), c_uint64(0)) == 107008
        """
    )
