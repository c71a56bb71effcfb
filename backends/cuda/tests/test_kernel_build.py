"""From a kernel file to its code: what decides the key, and what happens without a compiler."""

from __future__ import annotations

from pathlib import Path

import pytest

import accel
from accel_cuda import kernel_files, kernels, rtc_library
from accel_cuda.compiler import Compiler

SOURCE = """
#include "device.h"
struct k_args { accel_u64 out; };
ACCEL_KERNEL(k, k_args, args) { accel_store(accel_pointer<accel_u32>(args.out), 1u); }
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A kernel file, and a cache of its own."""
    monkeypatch.setenv("ACCEL_KERNEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kernels, "_cache", None)
    path = tmp_path / "k.cu"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def nvrtc():
    try:
        return Compiler("cuda")
    except accel.BackendUnavailableError as error:
        pytest.skip(f"NVRTC: {error.cure}")


def test_code_is_kept(file, nvrtc):
    first, kept = kernels.build("cuda", "sm_90", str(file))
    assert not kept and first[:4] == b"\x7fELF"
    assert kernels.build("cuda", "sm_90", str(file)) == (first, True)


def test_what_decides_the_key(file, nvrtc, monkeypatch):
    """Each of these asks for code that is not there yet; none of them twice."""

    def is_new(chip="sm_90", defines=None):
        first = not kernels.build("cuda", chip, str(file), defines)[1]
        assert kernels.build("cuda", chip, str(file), defines)[1]
        return first

    assert is_new()
    assert is_new(chip="sm_80")
    assert is_new(defines={"WIDTH": 16})
    assert is_new(defines={"WIDTH": 8})
    assert not is_new(defines={"WIDTH": "8"})
    monkeypatch.setenv("ACCEL_KERNEL_OPTIONS", "--generate-line-info")
    assert is_new()
    monkeypatch.delenv("ACCEL_KERNEL_OPTIONS")
    assert not is_new()
    file.write_text(SOURCE.replace("1u", "2u"))
    assert is_new()
    changed = {**kernel_files._headers(), "accel/kv_address.h": "/* changed */"}
    monkeypatch.setattr(kernel_files, "_headers", lambda: changed)
    assert is_new()
    monkeypatch.setattr(Compiler, "identity", "NVRTC 99.0 (1 bytes)")
    assert is_new()


def test_without_a_compiler(file, nvrtc, monkeypatch):
    """What a machine with a compiler has built is found; what it has not, is said with the cure."""
    image, _ = kernels.build("cuda", "sm_90", str(file))

    def missing(vendor, major=None):
        raise accel.BackendUnavailableError("NVRTC was not found.", cure="install it")

    monkeypatch.setattr("accel_cuda.compiler.open_library", missing)
    kernels._compiler.cache_clear()
    try:
        assert kernels.build("cuda", "sm_90", str(file)) == (image, True)
        with pytest.raises(accel.BackendUnavailableError, match=r"not found.*Cure: install it"):
            kernels.build("cuda", "sm_80", str(file))
    finally:
        kernels._compiler.cache_clear()


def test_an_unknown_file_names_those_there_are():
    with pytest.raises(accel.ArgumentError, match="no_such_file"):
        kernels.build("cuda", "sm_90", "no_such_file.cu")


# --- where the compiler is ------------------------------------------------------------------------


def libraries(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("no library")


def test_the_order_of_places(tmp_path, monkeypatch):
    packages, toolkit = tmp_path / "packages", tmp_path / "toolkit"
    libraries(packages / "nvidia", "cu13/lib/libnvrtc.so.13", "cuda_nvrtc/lib/libnvrtc.so.12")
    libraries(packages / "nvidia", "cu13/lib/libnvrtc-builtins.so.13.0")
    libraries(toolkit, "lib64/libnvrtc.so.13", "lib64/libnvrtc.so")
    monkeypatch.setattr(rtc_library, "_loaded", lambda stem: iter(()))
    monkeypatch.setattr(rtc_library, "_USUAL", {"cuda": (), "hip": ()})
    monkeypatch.setattr(rtc_library.sys, "path", [str(packages)])
    monkeypatch.setattr(rtc_library.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("CUDA_HOME", str(toolkit))
    monkeypatch.delenv("CUDA_PATH", raising=False)
    names = ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"]
    wheel12 = str(packages / "nvidia/cuda_nvrtc/lib/libnvrtc.so.12")
    wheel13 = str(packages / "nvidia/cu13/lib/libnvrtc.so.13")
    ours = [str(toolkit / "lib64" / name) for name in ("libnvrtc.so.13", "libnvrtc.so")]
    assert rtc_library.candidates("cuda") == [wheel12, wheel13, *ours, *names]
    assert rtc_library.candidates("cuda", 13) == [wheel13, *ours, wheel12, *names]
    assert rtc_library.candidates("cuda", 12) == [wheel12, ours[1], wheel13, ours[0], *names]


def test_no_library_is_told_with_the_cure(tmp_path, monkeypatch):
    libraries(tmp_path, "libnvrtc.so.13")
    broken = str(tmp_path / "libnvrtc.so.13")
    monkeypatch.setattr(rtc_library, "candidates", lambda vendor, major: [broken, "libnone.so.1"])
    with pytest.raises(accel.BackendUnavailableError) as raised:
        rtc_library.open_library("cuda")
    for part in (broken, "libnone.so.1", "pip install nvidia-cuda-nvrtc", "CUDA_HOME"):
        assert part in str(raised.value)


def test_a_loaded_library_is_taken(nvrtc):
    assert nvrtc.path in list(rtc_library._loaded("libnvrtc"))
