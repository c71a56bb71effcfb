"""AscendC kernels of one NPU."""

from __future__ import annotations

from typing import Any

from accel.torch_device.device_kernels import DeviceKernels, NoKernelsError
from accel.torch_device.kernel_files import SIMULATOR_CHIP

from . import _native
from .kernel_files import FILES, chip_fault

__all__ = ["AscendKernels"]


class AscendKernels(DeviceKernels):
    """Raises `NoKernelsError` also for a chip whose AscendC lacks what the kernels need."""

    files = FILES

    def __init__(self, index: int) -> None:
        acl: dict[str, Any] = _native.describe_acl()
        chip = str(acl["soc"])
        fault = chip_fault(chip)
        if fault:
            raise NoKernelsError(fault)
        super().__init__(index, _native.launch, SIMULATOR_CHIP if acl["simulator"] else chip)
