"""The BANG C sources, and the architectures that they are built for."""

from __future__ import annotations

from pathlib import Path

from accel.torch_device.kernel_files import KernelFiles

__all__ = ["ARCHITECTURES", "COMPUTE_CAPABILITY", "FILES"]

FILES = KernelFiles(
    backend="mlu",
    simulator="cnrt",
    language="BANG C",
    sources=Path(__file__).with_name("kernels"),
    variable="ACCEL_MLU_KERNELS",
    kernels={"kv_copy.mlu": ("accel_kv_copy",)},
    ending="so",
)

#: cnrtDeviceGetAttribute's number of the major compute capability.
COMPUTE_CAPABILITY = 0x01

#: What cncc builds for, by the major compute capability: MLU370 and MLU590.
ARCHITECTURES = {3: "mtp_372", 5: "mtp_592"}
