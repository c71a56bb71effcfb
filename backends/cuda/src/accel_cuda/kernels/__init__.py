"""Kernels by name: ``kernels.function(device_index, "file.cu", "kernel", defines)``.

The first call for a file finds its code in the cache on disk or compiles it (about a second), loads
it into the device's context and keeps it; later calls look it up. Callers keep the result.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from functools import cache

import accel
from accel_cuda import kernel_files
from accel_cuda.compiler import Compiled, Compiler
from accel_cuda.kernel_cache import KernelCache

__all__ = ["build", "chip_of", "compile_file", "describe", "function", "is_kept", "load_if_built"]

_FORMAT = 1  # of what a key stands for

_lock = threading.RLock()
_modules: dict[tuple[int, str, tuple[tuple[str, str], ...]], int] = {}
_functions: dict[tuple[int, str, int], int] = {}
_cache: KernelCache | None = None


def function(
    device_index: int,
    file: str,
    name: str,
    defines: Mapping[str, object] | None = None,
    dynamic_shared: int = 0,
) -> int:
    """The handle of kernel ``name`` of ``file``, for launches on a device.

    ``dynamic_shared``: the most shared memory, in bytes, that its launches will ask for. Raises
    `KernelCompileError`, `accel.BackendUnavailableError` without a compiler, and `DriverError`.
    """
    from accel_cuda import _native

    key = (device_index, file, _flat(defines))
    image = b""
    if key not in _modules:  # without the lock: other files compile at the same time
        vendor = str(_native.describe_driver()["vendor"])
        image, _ = build(vendor, chip_of(device_index), file, defines)
    with _lock:
        if key not in _modules:
            _modules[key] = _native.load_module(device_index, image)
        wanted = (_modules[key], name, dynamic_shared)
        if wanted not in _functions:
            _functions[wanted] = _native.function(*wanted[:2], device_index, dynamic_shared)
        return _functions[wanted]


def build(
    vendor: str, chip: str, file: str, defines: Mapping[str, object] | None = None
) -> tuple[bytes, bool]:
    """Code of ``file`` for ``chip``, and whether it came from the disk.

    Without a compiler, code that any compiler made from the same sources and options will do.
    """
    source = kernel_files.read(file)
    options = kernel_files.options(vendor, source.name, defines)
    try:
        compiler = _compiler(vendor)
    except accel.BackendUnavailableError:
        target = kernel_files.target(source.name, chip, [])
        image = _disk().find(f"{_key(source, vendor, target, options)}-")
        if image is None:
            raise
        return image, True
    target = kernel_files.target(source.name, chip, compiler.chips())
    key = f"{_key(source, vendor, target, options)}-{_hash(compiler.identity)[:12]}"
    return _disk().obtain(
        key,
        lambda: compiler.compile(source.text, source.name, target, source.headers, options).image,
    )


def load_if_built(
    device_index: int, file: str, names: Sequence[str], defines: Mapping[str, object]
) -> bool:
    """Loads kernels whose code is on the disk; compiles nothing. False when it is not there.

    The first load of a kernel may wait for running work, which a call that queues work must not.
    """
    from accel_cuda import _native

    vendor = str(_native.describe_driver()["vendor"])
    source = kernel_files.read(file)
    options = kernel_files.options(vendor, source.name, defines)
    try:
        compiler = _compiler(vendor)
    except accel.BackendUnavailableError:
        return False
    target = kernel_files.target(source.name, chip_of(device_index), compiler.chips())
    key = f"{_key(source, vendor, target, options)}-{_hash(compiler.identity)[:12]}"
    if _disk().read(key) is None:
        return False
    for name in names:
        function(device_index, file, name, defines)
    return True


def compile_file(
    compiler: Compiler,
    chip: str,
    file: str,
    defines: Mapping[str, object] | None = None,
    extra: tuple[str, ...] = (),
) -> Compiled:
    """Compile ``file`` whatever the caches hold; ``extra`` options come last."""
    source = kernel_files.read(file)
    options = [*kernel_files.options(compiler.vendor, source.name, defines), *extra]
    target = kernel_files.target(source.name, chip, compiler.chips())
    return compiler.compile(source.text, source.name, target, source.headers, options)


def chip_of(device_index: int) -> str:
    """What a device's code is compiled for: ``sm_90``, ``gfx90a:sramecc+:xnack-``."""
    from accel_cuda import _native

    if _native.describe_driver()["vendor"] == "hip":
        import torch

        return str(torch.cuda.get_device_properties(device_index).gcnArchName)
    properties = _native.device_properties(device_index)
    return f"sm_{properties['major']}{properties['minor']}"


def describe() -> dict[str, str]:
    """For reports: where compiled kernels are kept, and what is loaded."""
    folder = _disk().folder
    return {
        "kernel cache": str(folder) if folder is not None else "none: there is no home directory",
        "kernel files loaded": ", ".join(sorted({file for _, file, _ in _modules})) or "none yet",
    }


def _key(source: kernel_files.Source, vendor: str, target: str, options: list[str]) -> str:
    parts = (_FORMAT, source.digest(), vendor, target, options)
    return f"{source.name.partition('.')[0]}-{target.replace(':', '.')}-{_hash(parts)[:32]}"


def _hash(of: object) -> str:
    return hashlib.sha256(repr(of).encode()).hexdigest()


def is_kept() -> bool:
    """Whether later processes will find what `build` gives; False after a warning that says why."""
    return _disk().is_kept


def _flat(defines: Mapping[str, object] | None) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, str(value)) for key, value in (defines or {}).items()))


def _disk() -> KernelCache:
    global _cache
    with _lock:
        if _cache is None:
            _cache = KernelCache()
        return _cache


@cache
def _compiler(vendor: str) -> Compiler:
    return Compiler(vendor, _driver_major(vendor))


def _driver_major(vendor: str) -> int | None:
    """Of the CUDA version that the driver is for; None when there is no driver (building ahead)."""
    if vendor != "cuda":
        return None
    try:
        from accel_cuda import _native

    except ImportError:
        return None
    if not _native.driver_is_open():
        return None
    return int(_native.describe_driver()["version"]) // 1000
