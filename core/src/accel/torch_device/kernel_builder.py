"""The entry point of ``accel build-kernels`` for a plugin that compiles sources into binaries."""

from __future__ import annotations

import os
import tempfile
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path

from ..errors import ArgumentError
from ..kernel_builders import BuiltKernels, KernelJob
from .kernel_compilers import KernelBuildError
from .kernel_files import SIMULATOR_CHIP, KernelFiles, untrusted
from .probe import Machine

__all__ = ["BinaryBuilder"]


class BinaryBuilder(ABC):
    """A `accel.kernel_builders.KernelBuilder`; a plugin adds its chips and compilers.

    Attributes:
        files: the sources.
        wanted: what a chip's name is, for people.
    """

    files: KernelFiles
    wanted: str

    @abstractmethod
    def look(self) -> Machine:
        """What there is of the vendor's on this machine."""

    @abstractmethod
    def chip_of(self, machine: Machine) -> str:
        """The chip of the devices here, "simulator" for simulated ones, or an empty string."""

    @abstractmethod
    def check_chip(self, chip: str) -> None:
        """Raises `ArgumentError` for a chip that the kernels cannot be built for."""

    @abstractmethod
    def compile(self, file: str, chip: str) -> bytes:
        """The binary of a source. Raises `KernelBuildError`. Threads call it at the same time."""

    def folder(self) -> str:
        folder = self.files.folder()
        return str(folder) if folder else f"nowhere: set {self.files.variable}"

    def chip_here(self) -> str:
        """Of this machine's devices; an empty string where there are none."""
        machine = self.look()
        return self.chip_of(machine) if machine.devices else ""

    def chips_here(self) -> list[str]:
        chip = self.chip_here()
        return [chip] if chip else []

    def jobs(self, chip: str) -> list[KernelJob]:
        self.check_chip(chip)
        if chip == SIMULATOR_CHIP and not self.look().simulator:
            raise ArgumentError(
                "chip",
                self.wanted,
                f"{chip}, but the vendor's library that is found here is no simulator's",
                f"run it under the simulator: {self.files.build_command(chip)}",
            )
        return [KernelJob(chip, file) for file in self.files.kernels]

    def build(self, job: KernelJob) -> BuiltKernels:
        path = self.files.binary_path(job.file, job.chip)
        if path is None:
            raise KernelBuildError(
                f"there is no folder for binaries. Cure: set {self.files.variable}"
            )
        if path.exists() and not untrusted(path):
            return BuiltKernels(path.stat().st_size, was_there=True, kept=True)
        binary = self.compile(job.file, job.chip)
        try:
            _write(path, binary)
        except OSError as error:
            raise KernelBuildError(
                f"{path.parent} cannot be written ({error})."
                f" Cure: point {self.files.variable} at a folder that only you can write"
            ) from error
        return BuiltKernels(len(binary), was_there=False, kept=True)


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
