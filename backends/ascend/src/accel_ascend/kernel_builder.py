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


class _Builder(BinaryBuilder):
    files = FILES
    wanted = "a chip as CANN names it, such as Ascend910B1"

    def look(self) -> probe.Machine:
        return probe.look()

    def chip_of(self, machine: probe.Machine) -> str:
        # The chip that a simulator poses as decides too: what it could not run is not built.
        ask = getattr(ctypes.CDLL(machine.library), "aclrtGetSocName", None)
        chip = ""
        if ask is not None:
            ask.restype = ctypes.c_char_p
            chip = (ask() or b"").decode("ascii", "replace")
        return SIMULATOR_CHIP if machine.simulator and not chip_fault(chip) else chip

    def check_chip(self, chip: str) -> None:
        fault = chip_fault(chip)
        if fault:
            raise ArgumentError("chip", self.wanted, f"{chip}: {fault}")

    def compile(self, file: str, chip: str) -> bytes:
        if chip == SIMULATOR_CHIP:
            return compile_for_simulator(FILES, file)
        return compile_for_chip(FILES.sources / file, chip)


BUILDER = _Builder()
