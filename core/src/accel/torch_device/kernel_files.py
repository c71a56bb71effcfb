"""A plugin's kernel sources, and the binaries that are built of them.

A binary is named by its source, the chip, and a digest of all sources: one that was built of
others is not taken. The plugin's variable names the folder; else it is ``accel/kernels`` in
XDG_CACHE_HOME or ``~/.cache``. A binary runs with our rights, so folder and file must belong to
this user or root, and nobody else may be able to write them.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .. import get_include
from ..kernel_folder import kernel_folder

__all__ = ["SIMULATOR_CHIP", "KernelFiles", "untrusted"]

#: The chip that a binary for a simulator is built for: a host shared object.
SIMULATOR_CHIP = "simulator"


@dataclass(frozen=True)
class KernelFiles:
    """The sources of one backend.

    Attributes:
        backend: its name, as ``accel build-kernels`` knows it.
        simulator: of the vendor's stack, as ``accel-sim`` knows it.
        language: of the sources, for people.
        sources: the folder that has all of them.
        variable: the environment variable that names the folder of binaries.
        kernels: source files, and the kernels in each.
        ending: of a binary that the vendor's compiler makes.
    """

    backend: str
    simulator: str
    language: str
    sources: Path
    variable: str
    kernels: Mapping[str, tuple[str, ...]]
    ending: str

    def folder(self) -> Path | None:
        """Where binaries are kept; None when there is no home."""
        return kernel_folder(self.variable)

    def includes(self) -> list[Path]:
        """Folders of headers, beside the vendor's own."""
        return [self.sources, Path(get_include())]

    def binary_path(self, file: str, chip: str) -> Path | None:
        """Where the binary of a source file for a chip is, or would be."""
        base = self.folder()
        if base is None:
            return None
        ending = "so" if chip == SIMULATOR_CHIP else self.ending
        name = f"{self.backend}-{Path(file).stem}-{chip}-{_digest(self.sources)[:16]}.{ending}"
        return base / name

    def build_command(self, chip: str) -> str:
        """What builds binaries for a chip."""
        command = f"accel build-kernels --backend {self.backend}"
        if chip == SIMULATOR_CHIP:
            command = f"accel-sim {self.simulator} run -- {command}"
        return f"`{command}`"


@cache
def _digest(sources: Path) -> str:
    total = hashlib.sha256()
    paths = [path for path in sources.iterdir() if path.is_file()]
    core = Path(get_include()) / "accel"
    for path in (*sorted(paths), *sorted(core.glob("*.h"))):
        for part in (path.name.encode(), path.read_bytes()):
            total.update(len(part).to_bytes(8, "little"))
            total.update(part)
    return total.hexdigest()


def untrusted(path: Path) -> str:
    """Why what is at ``path`` must not be run; empty when it may. Raises OSError."""
    fault = _writable_by_others(os.lstat(path))
    if fault:
        return fault
    fault = _writable_by_others(os.stat(path.parent))
    return f"{path.parent}: {fault}" if fault else ""


def _writable_by_others(status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return "it is a symbolic link"
    if status.st_uid not in (os.geteuid(), 0):
        return f"it belongs to user {status.st_uid}, who could put other code there"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write it, mode {stat.S_IMODE(status.st_mode):o}"
    return ""
