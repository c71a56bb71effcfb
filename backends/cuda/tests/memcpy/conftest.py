"""Copies on the fake driver; the kernels run on the host shim, behind its launches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from cuda_shim import device_memory, harness

from accel_cuda import _native

HOST = torch.device("cpu")
MIB = 1 << 20


@pytest.fixture(scope="session")
def kernels(_opened: Any, tmp_path_factory: Any) -> Any:
    """One for the process: the native part keeps what it has found."""
    if harness.compiler() is None:
        pytest.skip("no C++ compiler: set CXX, or install g++ or clang++")
    builder = harness.ShimBuilder(harness.shared_folder(tmp_path_factory))
    return device_memory.ShimKernels(_opened.path, builder.library)


@pytest.fixture
def memory(driver: Any) -> Iterator[Any]:
    held = device_memory.FakeMemory(driver.path)
    yield held
    held.close()


@pytest.fixture
def pool(backend: Any) -> Any:
    from accel_cuda.pinned import CudaPinnedMemory

    return CudaPinnedMemory(0)


@pytest.fixture
def memcpy(backend: Any, kernels: Any, memory: Any) -> Iterator[Any]:
    from accel_cuda.memcpy import CudaMemcpy

    made = CudaMemcpy(0, kernels.find)
    _native.use_scratch(lambda n, device, stream: memory.raw(n, device), lambda address: None)
    yield made
    backend.streams.synchronize()
    assert not kernels.failures, kernels.failures
