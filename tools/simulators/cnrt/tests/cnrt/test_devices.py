"""Devices, their attributes and properties, and which library this is."""

from __future__ import annotations

import json
from typing import Any

import pytest

PROPERTIES = """
import struct
raw = ctypes.create_string_buffer(b"\\xEE" * 1024, 1024)
"""


def test_devices_are_counted_and_chosen(cnrt: Any) -> None:
    cnrt(
        """
        import threading
        assert made("cnrtGetDeviceCount", c_uint).value == 3
        assert made("cnrtGetDevice", c_int).value == 0  # a thread that chose none has the first
        ok("cnrtSetDevice", 2)
        assert made("cnrtGetDevice", c_int).value == 2
        other = []
        asks = threading.Thread(target=lambda: other.append(made("cnrtGetDevice", c_int).value))
        asks.start(); asks.join()
        assert other == [0]
        for wrong in (-1, 3):
            assert code("cnrtSetDevice", wrong) == 100005
        assert made("cnrtGetDevice", c_int).value == 2
        assert code("cnrtGetDevice", None) == ARGS
        """,
        devices=3,
        device=None,
    )


def test_visible_devices(cnrt: Any) -> None:
    cnrt(
        """
        assert made("cnrtGetDeviceCount", c_uint).value == 2
        assert made("cnrtDeviceGetAttribute", c_int, 0x406, 0).value == 4  # bus of the fourth
        bus = ctypes.create_string_buffer(32)
        ok("cnrtDeviceGetPCIBusId", bus, 32, 1)
        assert bus.value == b"0000:02:00.0"
        assert made("cnrtDeviceGetByPCIBusId", c_int, bus).value == 1
        assert made("cnrtDeviceGetByPCIBusId", c_int, b"4:0.0").value == 0
        assert code("cnrtDeviceGetByPCIBusId", byref(c_int()), b"0:3:0.0") == 100005
        """,
        devices=4,
        device=None,
        variables={"MLU_VISIBLE_DEVICES": "3,1"},
    )


def test_no_devices(cnrt: Any) -> None:
    cnrt(
        """
        assert made("cnrtGetDeviceCount", c_uint).value == 0
        assert code("cnrtSetDevice", 0) == 100004
        assert code("cnrtMalloc", byref(c_void_p()), c_size_t(8)) == 100004
        """,
        device=None,
        variables={"MLU_VISIBLE_DEVICES": ""},
    )


@pytest.mark.parametrize(
    ("chip", "name", "clusters", "nram", "isa"),
    [("mlu590", "MLU590", 12, 512 << 10, 592), ("mlu370", "MLU370", 8, 768 << 10, 372)],
)
def test_chips(cnrt: Any, chip: str, name: str, clusters: int, nram: int, isa: int) -> None:
    done = cnrt(
        PROPERTIES
        + """
import json
get = lambda attribute: made("cnrtDeviceGetAttribute", c_int, attribute, 1).value
ok("cnrtGetDeviceProperties_V3", raw, 1)
fields = struct.unpack_from("<46i", raw.raw, 256)
print(json.dumps([lib.accel_simulator().decode(), raw.value.decode(), get(0x205), get(0x302),
                  get(0x20a), fields[29], fields[36], fields[34], get(0x405),
                  fields[0]]))
assert code("cnrtDeviceGetAttribute", byref(c_int()), 0x7777, 0) == NO_ATTRIBUTE
assert code("cnrtDeviceGetAttribute", byref(c_int()), 0x205, 9) == 100005
""",
        chip=chip,
        memory=3 << 30,
    )
    said = json.loads(done.last)
    assert name in said[0] and "CNRT simulator" in said[0]
    assert said[1:] == [name, clusters, nram, isa, clusters, nram, isa, 3072, 3072]


def test_the_two_properties_structs(cnrt: Any) -> None:
    """6.0's has 256 bytes; 6.14's has more, under a name of its own."""
    program = (
        PROPERTIES
        + """
ok("cnrtGetDeviceProperties", raw, 0)
assert raw.raw[256:] == b"\\xEE" * 768 and raw.raw[:256].rstrip(b"\\0") == b"MLU590"
if hasattr(lib, "cnrtGetDeviceProperties_V3"):
    ok("cnrtGetDeviceProperties_V3", raw, 0)
    assert raw.raw[584:] == b"\\xEE" * 440, "as many bytes as the struct has"
    assert struct.unpack_from("<Q", raw.raw, 456)[0] == 8 << 30
    print("both")
"""
    )
    assert cnrt(program).last == "both"
    assert cnrt(program, cnrt="6.0").stdout == ""


def test_versions(cnrt: Any) -> None:
    program = """
    parts = [c_int() for _ in range(3)]
    ok("cnrtGetLibVersion", *map(byref, parts))
    later = ["cnrtGetDeviceProperties_V3", "cnrtMemcpy2D", "cnrtMemcpy2DAsync",
             "cnrtMemcpyAsync_V3", "cnrtPlaceNotifierWithFlags", "cnrtIpcGetNotifierHandle"]
    always = ["cnrtMemcpyAsync", "cnrtMemcpyPeerAsync", "cnrtInvokeHostFunc", "cnrtPlaceNotifier"]
    assert all(hasattr(lib, name) for name in always)
    print([part.value for part in parts], sum(hasattr(lib, name) for name in later))
    """
    assert cnrt(program).last == "[6, 14, 1] 6"
    assert cnrt(program, cnrt="6.0").last == "[6, 0, 2] 0"


def test_errors_have_names_and_texts(cnrt: Any) -> None:
    cnrt(
        """
        lib.cnrtGetErrorName.restype = ctypes.c_char_p
        assert lib.cnrtGetErrorName(632014) == b"cnrtErrorBusy"
        assert lib.cnrtGetErrorName(12345) == b"cnrtErrorUnknown"
        assert code("cnrtQueueSync", c_void_p(0x1234560)) == HANDLE
        assert "not a live stream" in text(HANDLE)
        assert lib.cnrtPeekAtLastError() == HANDLE
        assert lib.cnrtGetLastError() == HANDLE and lib.cnrtGetLastError() == 0
        """
    )


def test_a_reset_frees_the_devices_memory(cnrt: Any) -> None:
    cnrt(
        """
        free, total = c_size_t(), c_size_t()
        p, q = malloc(1 << 20), queue()
        ok("cnrtMemsetAsync", c_void_p(p), 3, c_size_t(1 << 20), q)
        ok("cnrtDeviceReset")
        ok("cnrtMemGetInfo", byref(free), byref(total))
        assert free.value == total.value
        assert code("cnrtFree", c_void_p(p)) == ARGS
        assert made("cnrtGetDevice", c_int).value == 0
        malloc(8)
        """
    )
