"""Memory of the fake driver's devices, and the kernels of copies behind it, for tests."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import torch

from accel import MemRef

THREADS = 256


class FakeMemory:
    """Allocates on the fake devices; gives back what is left when it is closed."""

    def __init__(self, path: Any) -> None:
        self._library = ctypes.CDLL(str(path))
        self._library.cuMemFree_v2.argtypes = [ctypes.c_uint64]
        self._held: list[int] = []

    def raw(self, nbytes: int, device: int = 0) -> int:
        context, before, address = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_uint64()
        library = self._library
        assert library.cuCtxGetCurrent(ctypes.byref(before)) == 0
        assert library.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0
        assert library.cuCtxSetCurrent(context) == 0
        assert library.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(max(nbytes, 1))) == 0
        assert library.cuCtxSetCurrent(before) == 0
        self._held.append(address.value)
        return address.value

    def release(self, address: int) -> None:
        self._held.remove(address)
        assert self._library.cuMemFree_v2(address) == 0

    def put(self, data: np.ndarray[Any, Any], device: int = 0, owner: Any = None) -> MemRef:
        """A copy of the bytes."""
        ref = MemRef(
            self.raw(data.nbytes, device), data.nbytes, torch.device("cuda", device), owner
        )
        contents(ref)[:] = data.view(np.uint8).reshape(-1)
        return ref

    def empty(self, nbytes: int, device: int = 0, owner: Any = None) -> MemRef:
        """Poisoned with random bytes."""
        return self.put(random_bytes(nbytes), device, owner)

    def close(self) -> None:
        for address in list(self._held):
            self.release(address)


def random_bytes(nbytes: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng().integers(0, 256, nbytes, np.uint8)


def contents(ref: MemRef) -> np.ndarray[Any, Any]:
    """What the memory holds, as the test sees it: the fake devices' memory is the host's."""
    if ref.nbytes == 0:
        return np.empty(0, np.uint8)
    return np.frombuffer((ctypes.c_uint8 * ref.nbytes).from_address(ref.pointer), np.uint8)


Kernel = ctypes.CFUNCTYPE(
    None, ctypes.POINTER(ctypes.c_uint32), ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p
)


class ShimKernels:
    """The package's kernels behind the fake driver: compiled for the CPU, run by its streams."""

    def __init__(self, path: Any, shim: Any) -> None:
        self._driver = ctypes.CDLL(str(path))
        self._shim = shim
        self._handles: dict[tuple[int, str], int] = {}
        self._kept: list[Any] = []
        self.launched: list[str] = []
        self.failures: list[BaseException] = []

    def find(self, index: int, file: str, name: str) -> int:
        from accel_cuda import _native

        if (index, name) not in self._handles:
            library = self._shim(file)
            nbytes = library.args_bytes(name)

            def run(grid: Any, block: int, shared_bytes: int, args: int) -> None:
                try:
                    self.launched.append(name)
                    content = ctypes.string_at(args, nbytes)
                    library.launch(
                        name, content, grid=tuple(grid[:3]), block=block, shared_bytes=shared_bytes
                    )
                except BaseException as error:
                    self.failures.append(error)

            entry = Kernel(run)
            self._kept.append(entry)
            self._driver.accel_fake_kernel(name.encode(), entry, ctypes.c_size_t(nbytes))
            module = _native.load_module(index, b"any bytes")
            self._handles[index, name] = _native.function(module, name, index)
        return self._handles[index, name]


def pinned(pool: Any, data: np.ndarray[Any, Any]) -> Any:
    tensor = pool.empty(data.nbytes, torch.uint8)
    tensor.copy_(torch.from_numpy(data.view(np.uint8).reshape(-1).copy()))
    return tensor
