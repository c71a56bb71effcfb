"""Kernel sources compiled for the CPU, and their launches; README.md beside this says how.

ACCEL_SHIM_SEED repeats a run's orders of threads. ACCEL_SHIM_SANITIZE=address,undefined compiles
with sanitizers, whose runtime must be in the process already (test_kernel_sanitizers.py does that).
ACCEL_SHIM_TARGET=hip64 (hip32) takes the HIP side of device.h, over the stand-in for HIP, and =gpu
runs everything on a GPU (gpu.py).
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import random
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import accel

SHIM = Path(__file__).resolve().parent
KERNELS = SHIM.parents[2] / "src" / "accel_cuda" / "kernels"
STANDIN = SHIM.parents[1] / "kernels" / "hip_standin"
RUNTIME = ("shim.cpp", "background.cpp", "memory.cpp")
#: -ffp-contract=off: sums and products are fused where a kernel says accel_fma, and only there.
#: -g1: files and lines, for reports of sanitizers, without the types that take half the time.
FLAGS = ["-std=c++17", "-O1", "-g1", "-fPIC", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off"]

UNSURE = "-Wno-maybe-uninitialized"  # guesses that change with what is inlined
TARGETS = {"host": ["-DACCEL_HOST_SHIM"]} | {
    f"hip{wave}": [
        "-D__HIP__",
        f"-DACCEL_STANDIN_WAVE={wave}",
        "-Wno-unknown-pragmas",
        UNSURE,
        f"-I{STANDIN}",
    ]
    for wave in (32, 64)
}


class KernelFault(AssertionError):
    """A kernel did what would be a fault, a hang or undefined on a GPU."""


def compiler() -> str | None:
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and shutil.which(name):
            return name
    return None


def shared_folder(factory: Any) -> Path:
    """Where all processes of a test run keep what they compile; ``factory`` is tmp_path_factory."""
    base: Path = factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "kernel_shim"


class ShimBuilder:
    """Compiles kernel files for the CPU, each once, into ``folder``, which processes may share."""

    def __init__(self, folder: Path, sanitize: str | None = None) -> None:
        self.folder = folder
        self.sanitize = os.environ.get("ACCEL_SHIM_SANITIZE", "") if sanitize is None else sanitize
        self.seed = int(os.environ.get("ACCEL_SHIM_SEED", random.randrange(1, 2**31)))
        self.target = os.environ.get("ACCEL_SHIM_TARGET", "host")
        self._libraries: dict[Path, ShimLibrary] = {}

    def library(
        self,
        source: str | Path,
        defines: Mapping[str, Any] | None = None,
        flags: Sequence[str] = (),
    ) -> ShimLibrary:
        """The kernels of ``source``: a path, or a name in the package's folder of kernels."""
        path = KERNELS / source
        if self.target == "gpu":
            return self._on_gpu(path, dict(defines or {}))
        given = [f"-D{name}={value}" for name, value in (defines or {}).items()]
        includes = [f"-I{folder}" for folder in (KERNELS, SHIM, accel.get_include())]
        side = TARGETS[self.target]
        kernel = self._built([*given, *flags, *side, *includes, "-x", "c++", "-c", str(path)], ".o")
        runtime = [self._built(["-c", str(SHIM / name)], ".o", runtime=True) for name in RUNTIME]
        parts = [str(part) for part in (kernel, *runtime)]
        shared = self._built(["-shared", "-Wl,-z,defs", *parts], ".so")
        if shared not in self._libraries:
            self._libraries[shared] = ShimLibrary(shared, self.seed)
        return self._libraries[shared]

    def _on_gpu(self, path: Path, defines: dict[str, Any]) -> Any:
        key = Path(f"{path} {sorted(defines.items())}")
        if key not in self._libraries:
            from . import gpu

            self._libraries[key] = gpu.GpuLibrary(path, defines, KernelFault)
        return self._libraries[key]

    def _built(self, arguments: list[str], suffix: str, runtime: bool = False) -> Path:
        name = compiler()
        assert name is not None, "no C++ compiler: set CXX, or install g++ or clang++"
        sanitize = [f"-fsanitize={self.sanitize}", "-fno-sanitize-recover=all", UNSURE]
        if runtime and self.sanitize == "thread":  # it tells the sanitizer of fibers itself
            sanitize = ["-DACCEL_SHIM_RACES"]
        command = [name, *FLAGS, *(sanitize if self.sanitize else []), *arguments]
        digest = hashlib.sha256(repr((command, _contents())).encode())
        for argument in arguments:
            if argument.endswith((".cu", ".cpp", ".o")):
                digest.update(Path(argument).read_bytes())
        built = self.folder / (digest.hexdigest()[:24] + suffix)
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(built.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not built.exists():
                fresh = built.with_suffix(".new")
                done = subprocess.run(
                    [*command, "-o", str(fresh)], capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
                fresh.replace(built)
        return built


def _contents() -> list[tuple[str, str]]:
    """Every header that a kernel or the shim may include."""
    folders = (KERNELS, SHIM, STANDIN, Path(accel.get_include()) / "accel")
    headers = [path for folder in folders for path in folder.rglob("*.h*")]
    return [(str(path), hashlib.sha256(path.read_bytes()).hexdigest()) for path in sorted(headers)]


class ShimLibrary:
    """The kernels of one file."""

    def __init__(self, path: Path, seed: int) -> None:
        self._library = ctypes.CDLL(str(path))
        self._random = random.Random(seed)
        self._seed = seed
        self._launch = self._library.accel_shim_launch
        self._launch.argtypes = [
            ctypes.c_void_p,
            ctypes.POINTER(ctypes.c_uint32),
            ctypes.c_uint32,
            ctypes.c_uint64,
            ctypes.c_char_p,
            ctypes.c_uint64,
            ctypes.c_char_p,
            ctypes.c_uint64,
        ]

    def args_bytes(self, kernel: str) -> int:
        """sizeof of the kernel's argument struct."""
        return ctypes.c_uint32.in_dll(self._library, f"{kernel}_args_bytes").value

    def launch(
        self,
        kernel: str,
        args: ctypes.Structure | bytes,
        *,
        grid: int | tuple[int, ...] = 1,
        block: int = 32,
        shared_bytes: int = 0,
        seed: int | None = None,
    ) -> None:
        """Runs a kernel to its end.

        ``args`` is its argument struct, addresses included. ``seed`` fixes the order of threads and
        blocks; without it every launch has another. Raises `KernelFault`.
        """
        content = bytes(args)
        if len(content) != self.args_bytes(kernel):
            raise ValueError(
                f"args: {kernel} takes a struct of {self.args_bytes(kernel)} bytes, "
                f"{len(content)} are given"
            )
        try:
            most = ctypes.c_uint32.in_dll(self._library, f"{kernel}_max_threads").value
        except ValueError:
            most = 1024
        if not 0 < block <= most:
            raise ValueError(f"block: {kernel} takes 1 to {most} threads, {block} are given")
        extents = (grid, 1, 1) if isinstance(grid, int) else (*grid, 1, 1)[:3]
        if seed is None:
            seed = self._random.getrandbits(63)
        message = ctypes.create_string_buffer(8192)
        entry = ctypes.cast(getattr(self._library, kernel), ctypes.c_void_p)
        failed = self._launch(
            entry,
            (ctypes.c_uint32 * 3)(*extents),
            block,
            shared_bytes,
            content,
            seed,
            message,
            len(message),
        )
        if failed:
            text = message.value.decode(errors="replace")
            raise KernelFault(f"{kernel}: {text}\n(launch seed {seed}, run's seed {self._seed})")

    def memory(self) -> DeviceMemory:
        return DeviceMemory(self._library)


class DeviceMemory:
    """Guarded buffers as NumPy arrays: a kernel that touches a byte outside of them is caught.

    Their contents are poisoned with random bytes. They live until the object is closed (or leaves
    its ``with``).
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._allocate = library.accel_shim_allocate
        self._allocate.restype = ctypes.c_void_p
        self._allocate.argtypes = [ctypes.c_uint64, ctypes.c_uint64, ctypes.c_char_p]
        self._release = library.accel_shim_release
        self._release.argtypes = [ctypes.c_void_p]
        self._addresses: list[int] = []

    def empty(
        self, shape: int | tuple[int, ...], dtype: Any, name: str = "", alignment: int = 16
    ) -> np.ndarray[Any, Any]:
        """A poisoned array; its end meets its guard when its bytes are a multiple of alignment."""
        kind = np.dtype(dtype)
        size = int(np.prod(shape)) * kind.itemsize
        name = name or f"buffer {len(self._addresses)}"
        address = self._allocate(size, alignment, name.encode())
        if not address:
            raise MemoryError(f"{size} bytes for {name}")
        self._addresses.append(address)
        flat = np.frombuffer((ctypes.c_uint8 * size).from_address(address), np.uint8)
        flat[:] = np.frombuffer(random.randbytes(size), np.uint8)
        return flat.view(kind).reshape(shape)

    def put(self, values: Any, name: str = "", alignment: int = 16) -> np.ndarray[Any, Any]:
        """A copy of ``values``: anything that NumPy reads."""
        source = np.asarray(values)
        array = self.empty(source.shape, source.dtype, name, alignment)
        array[...] = source
        return array

    def close(self) -> None:
        """Frees the buffers; arrays over them must not be used any more."""
        for address in self._addresses:
            self._release(address)
        self._addresses.clear()

    def __enter__(self) -> DeviceMemory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
