"""What the native part needs of torch, found once: its streams, its device, its vendor."""

from __future__ import annotations

import os
from typing import Any

import torch

from accel.errors import BackendUnavailableError

from . import _native
from .probe import DRIVER_VARIABLE

__all__ = ["connect", "torch_has_device", "vendor"]


def vendor() -> str:
    """``hip`` when torch was built for ROCm (or DTK), else ``cuda``."""
    return "hip" if torch.version.hip else "cuda"


def torch_has_device() -> bool:
    """torch was built for CUDA or ROCm: there are device tensors and torch streams."""
    return hasattr(torch._C, "_cuda_getCurrentRawStream")


def connect(index: int) -> bool:
    """Open the driver, retain the device's primary context (torch's), pass on torch's functions.

    Returns:
        Whether torch's streams are this driver's: not with a driver that ACCEL_CUDA_DRIVER names.

    Raises:
        BackendUnavailableError: the driver, or the device in torch, is not there.
    """
    path = os.environ.get(DRIVER_VARIABLE, "")
    if not path:
        if not torch_has_device():
            raise BackendUnavailableError(
                f"torch {torch.__version__} was built without CUDA or ROCm",
                "install a torch built for the driver's CUDA or ROCm version",
            )
        cuda: Any = torch.cuda
        cuda.init()  # says itself what is wrong with the driver
    _native.open_driver(vendor(), path)
    if torch_has_device() and not path:
        _native.use_torch(_functions())
    properties = _native.device_properties(index)
    if vendor() == "hip" and not path:
        _native.set_device_properties(index, _hip_properties(index, properties))
    return torch_has_device() and not path


def _functions() -> dict[str, Any]:
    c: Any = torch._C
    return {
        "current_raw_stream": c._cuda_getCurrentRawStream,
        "current_stream": c._cuda_getCurrentStream,
        "set_stream": c._cuda_setStream,
        "get_device": c._cuda_getDevice,
        "set_device": c._cuda_setDevice,
        "external_stream": torch.cuda.ExternalStream,
    }


def _hip_properties(index: int, known: dict[str, Any]) -> dict[str, int]:
    """HIP numbers device attributes in an order of its own; torch knows those that matter."""
    found: Any = torch.cuda.get_device_properties(index)
    names = {
        "multiprocessors": "multi_processor_count",
        "warp_size": "warp_size",
        "major": "major",
        "minor": "minor",
        "max_threads_per_multiprocessor": "max_threads_per_multi_processor",
        "shared_per_block": "shared_memory_per_block",
        "shared_per_block_opt_in": "shared_memory_per_block",
        "shared_per_multiprocessor": "shared_memory_per_multiprocessor",
        "l2_bytes": "L2_cache_size",
    }
    return {k: int(getattr(found, v, known[k])) for k, v in names.items()}
