"""How a plugin lets its kernels be compiled ahead of time, by ``accel build-kernels``.

A distribution whose backend compiles kernels at first use names an object with the members of
`KernelBuilder` as an entry point of the group ``accel.kernel_builders``::

    [project.entry-points."accel.kernel_builders"]
    cuda = "accel_cuda.kernel_builder:BUILDER"

The name of the entry point is the backend's. Importing the object imports no vendor package.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["ENTRY_POINT_GROUP", "BuiltKernels", "KernelBuilder", "KernelJob"]

ENTRY_POINT_GROUP = "accel.kernel_builders"


@dataclass(frozen=True)
class BuiltKernels:
    """What came out of a job.

    Attributes:
        bytes: of the compiled code.
        was_there: it had been built before.
        kept: a later process will find it.
    """

    bytes: int
    was_there: bool
    kept: bool


@dataclass(frozen=True)
class KernelJob:
    """One file to compile in one way for one chip.

    Attributes:
        chip: in the words of the vendor, as ``sm_90`` or ``gfx942``.
        file: the source's name.
        variant: what tells it from other jobs of the file and chip; often empty.
    """

    chip: str
    file: str
    variant: str = ""


class KernelBuilder(Protocol):
    """The kernels of one backend."""

    def folder(self) -> str:
        """Where the results go; the environment variable that sets it is the plugin's to say."""
        ...

    def chips_here(self) -> Sequence[str]:
        """The chips of this machine's devices, each once; none where there is no device."""
        ...

    def jobs(self, chip: str) -> Sequence[KernelJob]:
        """All that is to be compiled for a chip. Raises `ArgumentError` for one it cannot be."""
        ...

    def build(self, job: KernelJob) -> BuiltKernels:
        """Compile, unless it is there. Threads call it at the same time. Raises `AccelError`."""
        ...
