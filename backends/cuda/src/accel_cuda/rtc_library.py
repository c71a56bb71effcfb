"""Where the runtime compiler is: NVRTC or hiprtc, opened by ctypes and never linked.

In this order: one that the process has loaded already, those of the ``nvidia`` packages, the
toolkit that CUDA_HOME or CUDA_PATH (ROCM_PATH, HIP_PATH) names, the usual places of toolkits, and
what the dynamic linker finds. Among them, one of the major version that was asked for comes first:
a driver loads what compilers of its own major version made.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import accel

__all__ = ["candidates", "open_library"]

_STEM = {"cuda": "libnvrtc", "hip": "libhiprtc"}
_HOMES = {"cuda": ("CUDA_HOME", "CUDA_PATH"), "hip": ("ROCM_PATH", "HIP_PATH")}
_USUAL = {"cuda": ("/usr/local/cuda", "/opt/cuda"), "hip": ("/opt/rocm", "/opt/dtk")}
_FOLDERS = ("lib64", "lib", "targets/x86_64-linux/lib", "targets/sbsa-linux/lib")
#: For the dynamic linker, which wants whole names.
_NAMES = {
    "cuda": ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"),
    "hip": ("libhiprtc.so.7", "libhiprtc.so.6", "libhiprtc.so.5", "libhiprtc.so"),
}
_CURE = {
    "cuda": "`pip install nvidia-cuda-nvrtc` (nvidia-cuda-nvrtc-cu12 for CUDA 12), or set CUDA_HOME"
    " to a toolkit; or fill a cache elsewhere by `accel build-kernels` and point ACCEL_KERNEL_CACHE"
    " at it",
    "hip": "install ROCm (or DTK) with hiprtc and set ROCM_PATH to it",
}


def candidates(vendor: str, major: int | None = None) -> list[str]:
    """Paths and names to try, best first. ``major`` is the version that suits the driver."""
    found = list(dict.fromkeys(_paths(vendor)))
    if major is not None:
        found.sort(key=lambda path: _major(path) not in (major, None))
    return [*found, *_NAMES[vendor]]


def open_library(vendor: str, major: int | None = None) -> tuple[ctypes.CDLL, str]:
    """The library and its path. Raises `accel.BackendUnavailableError` when there is none."""
    failures = []
    for path in candidates(vendor, major):
        try:
            _open_companions(path)
            return ctypes.CDLL(path), path
        except OSError as error:
            failures.append(str(error))
    wanted = {"cuda": "NVRTC, which compiles the kernels,", "hip": "hiprtc"}[vendor]
    raise accel.BackendUnavailableError(
        f"{wanted} was not found; tried: {'; '.join(dict.fromkeys(failures))}.", cure=_CURE[vendor]
    )


def _paths(vendor: str) -> Iterator[str]:
    stem = _STEM[vendor]
    yield from _loaded(stem)
    yield from _in_packages(stem)
    homes = [os.environ[name] for name in _HOMES[vendor] if os.environ.get(name)]
    for home in [*homes, *_USUAL[vendor]]:
        for folder in _FOLDERS:
            yield from _libraries(Path(home) / folder, stem)


def _loaded(stem: str) -> Iterator[str]:
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        path = line[line.find("/") :] if "/" in line else ""
        if re.fullmatch(rf"{stem}\.so[.\d]*", Path(path).name):
            yield path


def _in_packages(stem: str) -> Iterator[str]:
    """Those of wheels: nvidia/cu13/lib, nvidia/cuda_nvrtc/lib and the like."""
    try:
        spec = importlib.util.find_spec("nvidia")
    except (ImportError, ValueError):
        spec = None
    roots = list(spec.submodule_search_locations or []) if spec is not None else []
    roots += [str(Path(entry) / "nvidia") for entry in sys.path if entry]
    for root in dict.fromkeys(roots):
        for folder in sorted(Path(root).glob("*/lib"), reverse=True):
            yield from _libraries(folder, stem)


def _libraries(folder: Path, stem: str) -> Iterator[str]:
    try:
        names = sorted((path.name for path in folder.iterdir()), reverse=True)
    except OSError:
        return
    for name in names:
        if re.fullmatch(rf"{stem}\.so[.\d]*", name):
            yield str(folder / name)


def _major(path: str) -> int | None:
    found = re.search(r"\.so\.(\d+)", Path(path).name)
    return int(found[1]) if found else None


def _open_companions(path: str) -> None:
    """NVRTC opens its built-in functions by name: have them there, wherever the wheel lies."""
    for companion in Path(path).parent.glob("libnvrtc-builtins.so*") if "/" in path else ():
        ctypes.CDLL(str(companion), mode=ctypes.RTLD_GLOBAL)
