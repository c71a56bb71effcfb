"""The entry point of ``accel build-kernels``: AscendC sources for a chip, or the simulator."""

from __future__ import annotations

import ctypes

from accel.errors import ArgumentError
from accel.torch_device.kernel_builder import BinaryBuilder
from accel.torch_device.kernel_compilers import compile_for_simulator
from accel.torch_device.kernel_files import SIMULATOR_CHIP

from . import probe
from .kernel_files import FILES, chip_fault
from .toolchain import compile_for_chip

__all__ = ["BUILDER"]

_A_CHIP = "a chip as CANN names it, such as Ascend910B1"


class _Builder(BinaryBuilder):
    files = FILES

    def chip_here(self) -> str:
        # The chip that a simulator poses as decides too: what it could not run is not built.
        machine = probe.look()
        if not machine.devices:
            return ""
        ask = getattr(ctypes.CDLL(machine.library), "aclrtGetSocName", None)
        chip = ""
        if ask is not None:
            ask.restype = ctypes.c_char_p
            chip = (ask() or b"").decode("ascii", "replace")
        return SIMULATOR_CHIP if machine.simulator and not chip_fault(chip) else chip

    def check_chip(self, chip: str) -> None:
        fault = chip_fault(chip)
        if fault:
            raise ArgumentError("chip", _A_CHIP, f"{chip}: {fault}")
        if chip == SIMULATOR_CHIP and not probe.look().simulator:
            raise ArgumentError(
                "chip",
                _A_CHIP,
                f"{chip}, but the libascendcl that is found here is no simulator's",
                f"run it under the simulator: {FILES.build_command(chip)}",
            )

    def compile(self, file: str, chip: str) -> bytes:
        if chip == SIMULATOR_CHIP:
            return compile_for_simulator(FILES, file)
        return compile_for_chip(FILES.sources / file, chip)


BUILDER = _Builder()
