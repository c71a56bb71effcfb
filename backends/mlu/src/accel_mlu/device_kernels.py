"""BANG C kernels of one MLU."""

from __future__ import annotations

from accel.torch_device.device_kernels import DeviceKernels, NoKernelsError
from accel.torch_device.kernel_files import SIMULATOR_CHIP

from . import _native
from .kernel_files import ARCHITECTURES, COMPUTE_CAPABILITY, FILES

__all__ = ["MluKernels"]


class MluKernels(DeviceKernels):
    """Raises `NoKernelsError` also for a chip that no architecture is known for."""

    files = FILES

    def __init__(self, index: int) -> None:
        chip = SIMULATOR_CHIP
        if not _native.describe_cnrt()["simulator"]:
            major = _native.device_attribute(index, COMPUTE_CAPABILITY)
            if major not in ARCHITECTURES:
                raise NoKernelsError(
                    f"they are built for {', '.join(ARCHITECTURES.values())}, and this MLU's"
                    f" compute capability {major} is none of theirs"
                )
            chip = ARCHITECTURES[major]
        super().__init__(index, _native.launch, chip)
