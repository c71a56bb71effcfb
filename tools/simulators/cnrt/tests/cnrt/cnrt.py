"""libcnrt through ctypes: what the test programs of this folder call."""

from __future__ import annotations

import ctypes
import threading
from ctypes import c_float, c_int, c_size_t, c_uint, c_void_p

from accel_sim.abi import Library

H2D, D2D, D2H, H2H, P2P, NO_DIRECTION = range(6)
UNTIMED_SOFTWARE, UNTIMED, INTERPROCESS = 2, 4, 8
PER_THREAD, LEGACY = c_void_p(1), c_void_p(2)

ARGS, HANDLE, NOT_SUPPORTED, NO_MEMORY = 100006, 100014, 100050, 100100
KERNEL_TRAP, DIRECTION, DRIVER, NO_ATTRIBUTE = 100132, 632013, 632015, 632009
NOT_READY, BUSY = 1, 632014


def _text(cdll: ctypes.CDLL, code: int) -> bytes:
    cdll.cnrtGetErrorStr.restype = ctypes.c_char_p
    return bytes(cdll.cnrtGetErrorStr(code))


library = Library("libcnrt.so", _text)
lib, ok, code, made = library.cdll, library.ok, library.code, library.made


def text(of: int) -> str:
    """What the library says of a code."""
    return _text(lib, of).decode()


def malloc(nbytes: int) -> int:
    return int(made("cnrtMalloc", c_void_p, c_size_t(nbytes)).value)


def pinned(nbytes: int, fill: int = 0) -> int:
    pointer = int(made("cnrtHostMalloc", c_void_p, c_size_t(nbytes)).value)
    ctypes.memset(pointer, fill, nbytes)
    return pointer


def queue(priority: int | None = None) -> c_void_p:
    if priority is None:
        return made("cnrtQueueCreate", c_void_p)
    return made("cnrtQueueCreateWithPriority", c_void_p, c_uint(0), c_int(priority))


def notifier(flags: int = 0) -> c_void_p:
    return made("cnrtNotifierCreateWithFlags", c_void_p, c_uint(flags))


def copy_code(target: int, source: int, nbytes: int, direction: int) -> int:
    return code("cnrtMemcpy", c_void_p(target), c_void_p(source), c_size_t(nbytes), direction)


def copy_async(target: int, source: int, nbytes: int, on: c_void_p, direction: int) -> int:
    sides = c_void_p(target), c_void_p(source), c_size_t(nbytes)
    return code("cnrtMemcpyAsync", *sides, on, direction)


def read(pointer: int, nbytes: int) -> bytes:
    """Device memory, as bytes."""
    host = ctypes.create_string_buffer(nbytes)
    assert copy_code(ctypes.addressof(host), pointer, nbytes, D2H) == 0
    return host.raw


def write(pointer: int, data: bytes) -> None:
    host = ctypes.create_string_buffer(data, len(data))
    assert copy_code(pointer, ctypes.addressof(host), len(data), H2D) == 0


def gate(on: c_void_p | None) -> threading.Event:
    """Keep the queue busy until the event that is returned is set."""
    return library.gate(lambda function: ok("cnrtInvokeHostFunc", on, function, None))


def call(on: c_void_p | None, function: object) -> None:
    """Run a Python function in the queue's order."""
    ok("cnrtInvokeHostFunc", on, library.callback(function), None)  # type: ignore[arg-type]


def milliseconds(start: c_void_p, end: c_void_p) -> float:
    value = c_float()
    ok("cnrtNotifierElapsedTime", start, end, ctypes.byref(value))
    return value.value
