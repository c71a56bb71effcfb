"""The entry point of ``accel build-kernels``: BANG C for an architecture, or for the simulator."""

from __future__ import annotations

import ctypes
import os

from accel.errors import ArgumentError
from accel.torch_device.kernel_builder import BinaryBuilder
from accel.torch_device.kernel_compilers import compile_for_simulator
from accel.torch_device.kernel_files import SIMULATOR_CHIP

from . import probe
from .kernel_files import ARCHITECTURES, COMPUTE_CAPABILITY, FILES
from .toolchain import compile_for_architecture

__all__ = ["BUILDER"]


class _Builder(BinaryBuilder):
    files = FILES
    wanted = f"one of {', '.join(ARCHITECTURES.values())}"

    def look(self) -> probe.Machine:
        return probe.look()

    def chip_of(self, machine: probe.Machine) -> str:
        if machine.simulator:
            return SIMULATOR_CHIP
        ask = getattr(ctypes.CDLL(machine.library), "cnrtDeviceGetAttribute", None)
        major = ctypes.c_int(0)
        if ask is None or int(ask(ctypes.byref(major), COMPUTE_CAPABILITY, 0)) != 0:
            return ""
        return ARCHITECTURES.get(major.value, "")

    def check_chip(self, chip: str) -> None:
        if chip not in (SIMULATOR_CHIP, *ARCHITECTURES.values()):
            raise ArgumentError("chip", self.wanted, chip)

    def compile(self, file: str, chip: str) -> bytes:
        if chip != SIMULATOR_CHIP:
            return compile_for_architecture(file, chip)
        return compile_for_simulator(FILES, file, _linked(probe.look().library))


BUILDER = _Builder()


def _linked(library: str) -> list[str]:
    """As one of cncc's, a binary asks for libcnrt by its name, though it could do without."""
    if os.path.isabs(library):
        return ["-Wl,--no-as-needed", library]
    folders = [folder for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder]
    return ["-Wl,--no-as-needed", *(f"-L{folder}" for folder in folders), f"-l:{library}"]
