"""Builds the AscendC sources through the stand-in of AscendC, and runs transfers by them.

A shared object holds the kernel, the plugin's own packing of its arguments and the stand-in; see
harness.cpp. ACCEL_ASCENDC_SEED repeats a run.
"""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
from pathlib import Path

import accel

HERE = Path(__file__).parent
ASCEND = HERE.parents[1]
KERNELS = ASCEND / "src" / "accel_ascend" / "kernels"
STANDIN = ASCEND.parents[1] / "tools/simulators/cann/src/accel_sim_cann/ascendc"
UNIFIED_BYTES = 196608
CORES = 48


class _List(ctypes.Structure):
    _fields_ = [
        ("where", ctypes.c_int32),
        ("wide", ctypes.c_int32),
        ("data", ctypes.c_uint64),
        ("stride", ctypes.c_int64),
    ]


class _Copy(ctypes.Structure):
    _fields_ = [
        ("layers", ctypes.c_int64),
        ("planes", ctypes.c_int64),
        ("plane", ctypes.c_char_p),
        ("src", ctypes.POINTER(ctypes.c_uint64)),
        ("dst", ctypes.POINTER(ctypes.c_uint64)),
        ("src_units", ctypes.c_int64),
        ("dst_units", ctypes.c_int64),
        ("src_list", _List),
        ("dst_list", _List),
        ("units", ctypes.c_int64),
        ("fault", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        ("cores", ctypes.c_int64),
        ("seed", ctypes.c_uint64),
        ("unified_bytes", ctypes.c_uint32),
        ("launches", ctypes.c_int32),
        ("most_cores", ctypes.c_int32),
        ("one_core", ctypes.c_int32),
    ]


class _Region(ctypes.Structure):
    _fields_ = [
        ("address", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
        ("host", ctypes.c_uint64),
        ("writable", ctypes.c_int32),
    ]


class _Regions(ctypes.Structure):
    _fields_ = [("regions", ctypes.POINTER(_Region)), ("count", ctypes.c_size_t)]


class _Launch(ctypes.Structure):
    _fields_ = [
        ("kernel", ctypes.c_void_p),
        ("args", ctypes.POINTER(ctypes.c_uint64)),
        ("count", ctypes.c_size_t),
        ("blocks", ctypes.c_uint32),
        ("unified_bytes", ctypes.c_uint32),
        ("seed", ctypes.c_uint64),
        ("translate", ctypes.c_void_p),
        ("context", ctypes.c_void_p),
    ]


class KernelFault(AssertionError):
    """The kernel broke a rule; the message names it."""


def compiler():
    return os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")


class Builder:
    """Compiles into one folder; each source and its flags once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.flags = os.environ.get("ACCEL_ASCENDC_FLAGS", "").split()
        self._built: dict[tuple[str, ...], ctypes.CDLL] = {}

    def library(self, *sources: Path, whole: bool = True) -> ctypes.CDLL:
        """``whole``: with the packing of arguments."""
        parts = [*sources, STANDIN / "shim" / "run.cpp"]
        if whole:
            parts += [HERE / "harness.cpp", ASCEND / "native" / "launch" / "copy_plan.cpp"]
        key = tuple(map(str, parts))
        if key not in self._built:
            path = self.folder / f"lib{sources[0].stem}.so"
            includes = [STANDIN, KERNELS, ASCEND, Path(accel.get_include())]
            command = [
                compiler(), "-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fPIC",
                "-shared", "-fvisibility=hidden", *self.flags,
                *(f"-I{folder}" for folder in includes), *key, "-o", f"{path}.new",
            ]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            os.replace(f"{path}.new", path)
            self._built[key] = ctypes.CDLL(str(path))
        return self._built[key]


def seed() -> int:
    """Of a launch: the order of cores, and how far pipelines lag behind."""
    given = os.environ.get("ACCEL_ASCENDC_SEED")
    return int(given) if given else random.randrange(1 << 31)


def region(address, size, writable=True):
    return (address, size, writable)


def _regions(given):
    unique = list(dict.fromkeys(given))
    return (_Region * len(unique))(*(_Region(a, n, a, int(w)) for a, n, w in unique)), len(unique)


def run_copy(library, plan, src_pointers, dst_pointers, src_list, dst_list, units, regions, *,
             fault=0, count=0, cores=CORES, unified=UNIFIED_BYTES):  # fmt: skip
    """One call; a list is None (counted), or (address, stride, wide, on the device)."""

    def made(given):
        if given is None:
            return _List(0, 1, 0, 1)
        address, stride, wide, on_device = given
        return _List(2 if on_device else 1, int(wide), address, stride)

    packed = plan.pack()
    pointers = [(ctypes.c_uint64 * len(p))(*p) for p in (src_pointers, dst_pointers)]
    chosen = seed()
    copy = _Copy(
        plan.layers, len(plan.planes), packed, *pointers, plan.src_units, plan.dst_units,
        made(src_list), made(dst_list), units, fault, count, cores, chosen, unified,
    )  # fmt: skip
    table, size = _regions(regions)
    text = ctypes.create_string_buffer(1024)
    failed = library.harness_copy(ctypes.byref(copy), table, ctypes.c_size_t(size), text, 1024)
    if failed:
        raise KernelFault(f"{text.value.decode()} (ACCEL_ASCENDC_SEED={chosen})")
    return copy


def run_kernel(library, name, args, regions, *, cores=1, unified=UNIFIED_BYTES):
    """One kernel with arguments of 8 bytes each."""
    table, size = _regions(regions)
    context = _Regions(table, size)
    values = (ctypes.c_uint64 * max(1, len(args)))(*args)
    chosen = seed()
    launch = _Launch(
        ctypes.cast(getattr(library, name), ctypes.c_void_p), values, len(args), cores, unified,
        chosen, ctypes.cast(library.accel_ascendc_in_regions, ctypes.c_void_p),
        ctypes.cast(ctypes.byref(context), ctypes.c_void_p),
    )  # fmt: skip
    text = ctypes.create_string_buffer(1024)
    if library.accel_ascendc_run(ctypes.byref(launch), text, ctypes.c_size_t(1024)):
        raise KernelFault(f"{text.value.decode()} (ACCEL_ASCENDC_SEED={chosen})")
