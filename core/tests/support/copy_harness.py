"""Builds kernels through a vendor's stand-in, and runs transfers by them.

A shared object holds the kernel, core's packing of its arguments and the stand-in; see
copy_harness.cpp. ACCEL_KERNELS_SEED repeats a run.
"""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import accel

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
RUNTIME = ROOT / "tools/simulators/runtime/src/accel_sim/native/include"


@dataclass(frozen=True)
class Standin:
    """How one vendor's kernels are compiled and run.

    Attributes:
        folder: of the headers that stand for the vendor's; ``shim/run.cpp`` is below.
        kernels: the folder of the sources.
        harness: the vendor's part of copy_harness.cpp.
        local_bytes: memory of a core.
        cores: of a device.
        list_launches: that 4300 pairs of indices on the host take.
        layer_launches: that 300 layers of two planes take.
    """

    folder: Path
    kernels: Path
    harness: Path
    local_bytes: int
    cores: int
    list_launches: int
    layer_launches: int


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
        ("local_bytes", ctypes.c_uint32),
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
        ("words", ctypes.c_size_t),
        ("cores", ctypes.c_uint32),
        ("cluster", ctypes.c_uint32),
        ("local_bytes", ctypes.c_uint32),
        ("seed", ctypes.c_uint64),
        ("translate", ctypes.c_void_p),
        ("context", ctypes.c_void_p),
    ]


class KernelFault(AssertionError):
    """The kernel broke a rule; the message names it."""


def compiler() -> str | None:
    return os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")


class Builder:
    """Compiles into one folder; each source and its flags once."""

    def __init__(self, standin: Standin, folder: Path) -> None:
        self.standin = standin
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.flags = os.environ.get("ACCEL_KERNELS_FLAGS", "").split()
        self._built: dict[tuple[str, ...], ctypes.CDLL] = {}

    def library(
        self, *sources: Path, whole: bool = True, kernels: Path | None = None, name: str = ""
    ) -> ctypes.CDLL:
        """``whole``: with core's packing. ``kernels``: headers in place of the plugin's."""
        parts = [*sources, self.standin.folder / "shim" / "run.cpp"]
        if whole:
            parts += [HERE / "copy_harness.cpp", self.standin.harness]
        key = tuple(map(str, parts))
        if key not in self._built:
            path = self.folder / f"lib{name or sources[0].stem}.so"
            headers = kernels or self.standin.kernels
            includes = [self.standin.folder, headers, HERE, RUNTIME, Path(accel.get_include())]
            command = [
                compiler(), "-std=c++17", "-O1", "-g1", "-Wall", "-Wextra", "-Werror", "-fPIC",
                "-shared", "-fvisibility=hidden", *self.flags,
                *(f"-I{folder}" for folder in includes), "-x", "c++", *key, "-o", f"{path}.new",
            ]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            os.replace(f"{path}.new", path)
            self._built[key] = ctypes.CDLL(str(path))
        return self._built[key]


def seed() -> int:
    """Of a launch: the order of cores, and how far pipelines lag behind."""
    given = os.environ.get("ACCEL_KERNELS_SEED")
    return int(given) if given else random.randrange(1 << 31)


def region(address, size, writable=True):
    return (address, size, writable)


def _regions(given):
    unique = list(dict.fromkeys(given))
    return (_Region * len(unique))(*(_Region(a, n, a, int(w)) for a, n, w in unique)), len(unique)


def run_copy(library, standin: Standin, plan, src_pointers, dst_pointers, src_list, dst_list,
             units, regions, *, fault=0, count=0, cores=0, local=0):  # fmt: skip
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
        made(src_list), made(dst_list), units, fault, count, cores or standin.cores, chosen,
        local or standin.local_bytes,
    )  # fmt: skip
    table, size = _regions(regions)
    text = ctypes.create_string_buffer(1024)
    failed = library.harness_copy(ctypes.byref(copy), table, ctypes.c_size_t(size), text, 1024)
    if failed:
        raise KernelFault(f"{text.value.decode()} (ACCEL_KERNELS_SEED={chosen})")
    return copy


def run_kernel(library, kernel, words: Sequence[int], regions, *, local: int, cores=1, cluster=0):
    """One kernel, given by its address, with arguments of 8 bytes each."""
    table, size = _regions(regions)
    context = _Regions(table, size)
    values = (ctypes.c_uint64 * max(1, len(words)))(*words)
    chosen = seed()
    launch = _Launch(
        ctypes.cast(kernel, ctypes.c_void_p), values, len(words), cores, cluster, local, chosen,
        ctypes.cast(library.accel_kernel_in_regions, ctypes.c_void_p),
        ctypes.cast(ctypes.byref(context), ctypes.c_void_p),
    )  # fmt: skip
    text = ctypes.create_string_buffer(1024)
    if library.accel_kernel_run(ctypes.byref(launch), text, ctypes.c_size_t(1024)):
        raise KernelFault(f"{text.value.decode()} (ACCEL_KERNELS_SEED={chosen})")


def run_with_sanitizers(folder: Path, cases: str) -> None:
    """Some of a folder's tests once more, with the sources compiled for sanitizers."""
    made = compiler()
    if made is None:
        pytest.skip("no C++ compiler: set CXX, or install g++ or clang++")
    found = [
        subprocess.run(
            [made, f"-print-file-name={name}"], capture_output=True, text=True, check=False
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    if not all(os.path.isabs(path) for path in found):
        pytest.skip("the compiler has no sanitizer libraries")
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(found),
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        "ACCEL_KERNELS_FLAGS": "-fsanitize=address,undefined -fno-sanitize-recover=undefined",
        "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", cases, folder]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert " passed" in done.stdout
