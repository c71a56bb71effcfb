"""The AscendC sources, and the chips that they can be built for."""

from __future__ import annotations

import re
from pathlib import Path

from accel.torch_device.kernel_files import SIMULATOR_CHIP, KernelFiles

__all__ = ["FILES", "chip_fault"]

FILES = KernelFiles(
    backend="ascend",
    simulator="cann",
    language="AscendC",
    sources=Path(__file__).with_name("kernels"),
    variable="ACCEL_ASCEND_KERNELS",
    kernels={"kv_copy.cpp": ("accel_kv_copy",)},
    ending="o",
)

#: Chips whose DataCopyPad moves what is not aligned: Atlas A2, A3 and 200I/500 A2.
_CHIPS = re.compile(r"Ascend(910B|910_93|310B)")


def chip_fault(chip: str) -> str:
    """Why kernels cannot be built for a chip; empty when they can."""
    if chip == SIMULATOR_CHIP or _CHIPS.match(chip):
        return ""
    name = chip or "an unknown chip"
    return f"the kernels need AscendC's DataCopyPad, which {name} does not have"
