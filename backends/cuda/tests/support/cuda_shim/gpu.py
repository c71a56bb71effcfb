"""The harness's way to a real GPU: ACCEL_SHIM_TARGET=gpu runs the same tests of kernels there.

Buffers are managed memory, which NumPy and the kernels see at the same addresses, with guard bytes
around them that are looked at after every launch; ACCEL_SHIM_EXACT=1 leaves those behind a buffer
out, for compute-sanitizer, which knows where allocations end.
"""

from __future__ import annotations

import ctypes
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from accel_cuda import kernels
from accel_cuda.compiler import Compiler

GUARD = 256
GUARD_BYTE = 0xC3
DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


class Gpu:
    """The first device, its primary context, and calls into the driver that must succeed."""

    _one: Gpu | None = None

    @classmethod
    def get(cls) -> Gpu:
        if cls._one is None:
            cls._one = cls()
        return cls._one

    def __init__(self) -> None:
        self._driver = ctypes.CDLL("libcuda.so.1")
        self.call("cuInit", 0)
        device = ctypes.c_int()
        self.call("cuDeviceGet", ctypes.byref(device), 0)
        numbers = []
        for attribute in CAPABILITY:
            number = ctypes.c_int()
            self.call("cuDeviceGetAttribute", ctypes.byref(number), attribute, device)
            numbers.append(number.value)
        self.chip = f"sm_{numbers[0]}{numbers[1]}"
        context = ctypes.c_void_p()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)
        self.compiler = Compiler("cuda")

    def call(self, name: str, *arguments: Any) -> None:
        result = getattr(self._driver, name)(*arguments)
        if result != 0:
            text = ctypes.c_char_p()
            self._driver.cuGetErrorName(result, ctypes.byref(text))
            raise RuntimeError(f"{name}: {(text.value or b'unknown error').decode()} ({result})")


class GpuLibrary:
    """The kernels of one file, as `harness.ShimLibrary` has them."""

    def __init__(
        self, source: Path, defines: Mapping[str, Any] | None, fault: type[AssertionError]
    ) -> None:
        self._gpu = Gpu.get()
        self._fault = fault
        compiled = kernels.compile_file(self._gpu.compiler, self._gpu.chip, str(source), defines)
        self._module = ctypes.c_void_p()
        self._gpu.call("cuModuleLoadData", ctypes.byref(self._module), compiled.image)
        self._memories: list[GpuMemory] = []

    def args_bytes(self, kernel: str) -> int:
        offset, size = ctypes.c_size_t(), ctypes.c_size_t()
        function = self._function(kernel)
        self._gpu.call("cuFuncGetParamInfo", function, 0, ctypes.byref(offset), ctypes.byref(size))
        return size.value

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
        content = bytes(args)
        if len(content) != self.args_bytes(kernel):
            raise ValueError(
                f"args: {kernel} takes a struct of {self.args_bytes(kernel)} bytes, "
                f"{len(content)} are given"
            )
        function = self._function(kernel)
        most = ctypes.c_int()
        self._gpu.call("cuFuncGetAttribute", ctypes.byref(most), 0, function)
        if not 0 < block <= most.value:
            raise ValueError(f"block: {kernel} takes 1 to {most.value} threads, {block} are given")
        if shared_bytes > 48 << 10:
            self._gpu.call("cuFuncSetAttribute", function, DYNAMIC_SHARED, shared_bytes)
        extents = (grid, 1, 1) if isinstance(grid, int) else (*grid, 1, 1)[:3]
        struct = ctypes.create_string_buffer(content, len(content))
        parameters = (ctypes.c_void_p * 1)(ctypes.addressof(struct))
        try:
            sizes = (*extents, block, 1, 1, shared_bytes)
            self._gpu.call("cuLaunchKernel", function, *sizes, None, parameters, None)
            self._gpu.call("cuCtxSynchronize")
        except RuntimeError as error:
            raise self._fault(f"{kernel}: {error}") from error
        for memory in self._memories:
            memory.check(self._fault, kernel)

    def memory(self) -> GpuMemory:
        memory = GpuMemory(self._gpu, self._memories)
        self._memories.append(memory)
        return memory

    def _function(self, kernel: str) -> ctypes.c_void_p:
        function = ctypes.c_void_p()
        self._gpu.call("cuModuleGetFunction", ctypes.byref(function), self._module, kernel.encode())
        return function


class GpuMemory:
    """As `harness.DeviceMemory`."""

    def __init__(self, gpu: Gpu, all_memories: list[GpuMemory]) -> None:
        self._gpu = gpu
        self._all = all_memories
        self._behind = 0 if os.environ.get("ACCEL_SHIM_EXACT") == "1" else GUARD
        self._buffers: list[tuple[int, str, np.ndarray[Any, Any], int]] = []

    def empty(
        self, shape: int | tuple[int, ...], dtype: Any, name: str = "", alignment: int = 16
    ) -> np.ndarray[Any, Any]:
        kind = np.dtype(dtype)
        size = int(np.prod(shape)) * kind.itemsize
        front = max(GUARD, alignment)
        address = ctypes.c_uint64()
        total = front + max(size, 1) + self._behind
        self._gpu.call("cuMemAllocManaged", ctypes.byref(address), ctypes.c_size_t(total), 1)
        whole = np.frombuffer((ctypes.c_uint8 * total).from_address(address.value), np.uint8)
        whole[:] = GUARD_BYTE
        self._buffers.append((address.value, name or "a buffer", whole, front))
        data = whole[front : front + size]
        data[:] = np.frombuffer(random.randbytes(size), np.uint8)
        return data.view(kind).reshape(shape)

    def put(self, values: Any, name: str = "", alignment: int = 16) -> np.ndarray[Any, Any]:
        source = np.asarray(values)
        array = self.empty(source.shape, source.dtype, name, alignment)
        array[...] = source
        return array

    def check(self, fault: type[AssertionError], kernel: str) -> None:
        for _, name, whole, front in self._buffers:
            behind = whole[len(whole) - self._behind :]
            if (whole[:front] != GUARD_BYTE).any() or (behind != GUARD_BYTE).any():
                raise fault(f"{kernel}: written outside of {name!r}")

    def close(self) -> None:
        for address, *_ in self._buffers:
            self._gpu.call("cuMemFree_v2", ctypes.c_uint64(address))
        self._buffers.clear()
        if self in self._all:
            self._all.remove(self)

    def __enter__(self) -> GpuMemory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
