"""libascendcl through ctypes: what the test programs of this folder call."""

from __future__ import annotations

import ctypes
import threading
import time
from ctypes import byref, c_float, c_int, c_size_t, c_uint32, c_uint64, c_void_p

H2H, H2D, D2H, D2D, DEFAULT = range(5)
EVENT_SYNC, EVENT_TIME_LINE, EVENT_IPC = 1, 8, 0x40

lib = ctypes.CDLL("libascendcl.so")
lib.aclGetRecentErrMsg.restype = ctypes.c_char_p
lib.accel_simulator.restype = ctypes.c_char_p
lib.accel_simulator_calls.restype = c_uint64
HOST_FUNCTION = ctypes.CFUNCTYPE(None, c_void_p)
_kept: list[object] = []


class AclError(Exception):
    """A call that failed: its name, its code and the text."""

    def __init__(self, name: str, code: int) -> None:
        text = lib.aclGetRecentErrMsg()
        super().__init__(f"{name}: {code}: {text.decode() if text else ''}")
        self.code = code


def ok(name: str, *arguments: object) -> None:
    """Call a function and raise unless it answers 0."""
    code = getattr(lib, name)(*arguments)
    if code != 0:
        raise AclError(name, code)


def code(name: str, *arguments: object) -> int:
    return int(getattr(lib, name)(*arguments))


def malloc(nbytes: int) -> int:
    pointer = c_void_p()
    ok("aclrtMalloc", byref(pointer), c_size_t(nbytes), 0)
    assert pointer.value
    return pointer.value


def pinned(nbytes: int, fill: int | None = None) -> int:
    pointer = c_void_p()
    ok("aclrtMallocHost", byref(pointer), c_size_t(nbytes))
    assert pointer.value
    if fill is not None:
        ctypes.memset(pointer.value, fill, nbytes)
    return pointer.value


def stream() -> c_void_p:
    made = c_void_p()
    ok("aclrtCreateStream", byref(made))
    return made


def event(flag: int = EVENT_SYNC) -> c_void_p:
    made = c_void_p()
    ok("aclrtCreateEventExWithFlag", byref(made), c_uint32(flag))
    return made


def copy_code(target: int, source: int, nbytes: int, kind: int, room: int | None = None) -> int:
    places = c_void_p(target), c_size_t(nbytes if room is None else room), c_void_p(source)
    return code("aclrtMemcpy", *places, c_size_t(nbytes), kind)


def copy(target: int, source: int, nbytes: int, kind: int) -> None:
    result = copy_code(target, source, nbytes, kind)
    if result:
        raise AclError("aclrtMemcpy", result)


def copy_async(target: int, source: int, nbytes: int, kind: int, on: c_void_p) -> int:
    places = c_void_p(target), c_size_t(nbytes), c_void_p(source)
    return code("aclrtMemcpyAsync", *places, c_size_t(nbytes), kind, on)


def read(pointer: int, nbytes: int) -> bytes:
    """Device memory, as bytes."""
    host = ctypes.create_string_buffer(nbytes)
    copy(ctypes.addressof(host), pointer, nbytes, D2H)
    return host.raw


def write(pointer: int, data: bytes) -> None:
    host = ctypes.create_string_buffer(data, len(data))
    copy(pointer, ctypes.addressof(host), len(data), H2D)


def hold(on: c_void_p, seconds: float = 0.2) -> None:
    """Keep the stream busy for a while."""
    call(on, lambda: time.sleep(seconds))


def gate(on: c_void_p) -> threading.Event:
    """Keep the stream busy until the event that is returned is set."""
    opened = threading.Event()
    call(on, opened.wait)
    return opened


def call(on: c_void_p, function: object) -> None:
    """Run a Python function in the stream's order."""
    made = HOST_FUNCTION(lambda _: function())  # type: ignore[operator]
    _kept.append(made)
    ok("aclrtLaunchHostFunc", on, made, None)


def status(name: str, handle: c_void_p) -> int:
    value = c_int(-1)
    ok(name, handle, byref(value))
    return value.value


def elapsed_ms(start: c_void_p, end: c_void_p) -> float:
    value = c_float()
    ok("aclrtEventElapsedTime", byref(value), start, end)
    return value.value


def threads() -> int:
    import os

    return len(os.listdir("/proc/self/task"))
