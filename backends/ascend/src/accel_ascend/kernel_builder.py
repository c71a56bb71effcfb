"""The entry point of ``accel build-kernels``: AscendC sources for a chip, or the simulator."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from accel.errors import ArgumentError
from accel.kernel_builders import BuiltKernels, KernelJob

from . import kernel_files, probe
from .kernel_files import FOLDER, KERNELS, SIMULATOR_CHIP
from .toolchains import KernelBuildError, compile_for_chip, compile_for_simulator

__all__ = ["BUILDER", "chip_here"]


class _Builder:
    def folder(self) -> str:
        folder = kernel_files.folder()
        return str(folder) if folder else f"nowhere: set {kernel_files.FOLDER_VARIABLE}"

    def chips_here(self) -> list[str]:
        chip = chip_here()
        return [chip] if chip else []

    def jobs(self, chip: str) -> list[KernelJob]:
        fault = kernel_files.chip_fault(chip)
        if fault:
            raise ArgumentError(
                "chip", "a chip as CANN names it, such as Ascend910B1", f"{chip}: {fault}"
            )
        if chip == SIMULATOR_CHIP and not probe.look().simulator:
            raise ArgumentError(
                "chip",
                "a chip as CANN names it, such as Ascend910B1",
                f"{chip}, but the libascendcl that is found here is no simulator's",
                "run it under the simulator: `accel-sim cann run -- accel build-kernels`",
            )
        return [KernelJob(chip, file) for file in KERNELS]

    def build(self, job: KernelJob) -> BuiltKernels:
        path = kernel_files.binary_path(job.file, job.chip)
        if path is None:
            raise KernelBuildError(
                f"there is no folder for binaries. Cure: set {kernel_files.FOLDER_VARIABLE}"
            )
        if path.exists() and not kernel_files.untrusted(path):
            return BuiltKernels(path.stat().st_size, was_there=True, kept=True)
        source = FOLDER / job.file
        if job.chip == SIMULATOR_CHIP:
            binary = compile_for_simulator(source)
        else:
            binary = compile_for_chip(source, job.chip)
        try:
            _write(path, binary)
        except OSError as error:
            raise KernelBuildError(
                f"{path.parent} cannot be written ({error})."
                f" Cure: point {kernel_files.FOLDER_VARIABLE} at a folder that only you can write"
            ) from error
        return BuiltKernels(len(binary), was_there=False, kept=True)


BUILDER = _Builder()


def chip_here() -> str:
    """The chip of this machine's devices, "simulator" for simulated ones, or an empty string.

    The chip that a simulator poses as decides too: what it could not run is not built.
    """
    import ctypes

    machine = probe.look()
    if not machine.devices:
        return ""
    library = ctypes.CDLL(machine.library)
    ask = getattr(library, "aclrtGetSocName", None)
    chip = ""
    if ask is not None:
        ask.restype = ctypes.c_char_p
        chip = (ask() or b"").decode("ascii", "replace")
    if machine.simulator and not kernel_files.chip_fault(chip):
        return SIMULATOR_CHIP
    return chip


def _write(path: Path, content: bytes) -> None:
    """Under another name first: readers see all of it or nothing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    number, fresh = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o755)
        os.replace(fresh, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh)
        raise
