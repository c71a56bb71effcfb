"""The AscendC sources, and the binaries that are built of them.

A binary is named by its source, the chip, and a digest of all sources: one that was built of
others is not taken. ACCEL_ASCEND_KERNELS names the folder; else it is ``accel/kernels`` in
XDG_CACHE_HOME or ``~/.cache``. A binary runs with our rights, so folder and file must belong to
this user or root, and nobody else may be able to write them.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from functools import cache
from pathlib import Path

import accel

__all__ = [
    "FOLDER",
    "FOLDER_VARIABLE",
    "KERNELS",
    "SIMULATOR_CHIP",
    "binary_path",
    "chip_fault",
    "folder",
    "includes",
    "untrusted",
]

FOLDER = Path(__file__).with_name("kernels")
FOLDER_VARIABLE = "ACCEL_ASCEND_KERNELS"
#: The chip that a binary for the CANN simulator is built for: a host shared object.
SIMULATOR_CHIP = "simulator"

#: Source files, and the kernels in each.
KERNELS: dict[str, tuple[str, ...]] = {"kv_copy.cpp": ("accel_kv_copy",)}

#: Chips whose DataCopyPad moves what is not aligned: Atlas A2, A3 and 200I/500 A2.
_CHIPS = re.compile(r"Ascend(910B|910_93|310B)")


def folder() -> Path | None:
    """Where binaries are kept; None when there is no home."""
    given = os.environ.get(FOLDER_VARIABLE)
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME", "")
    if base and os.path.isabs(base):
        return Path(base) / "accel" / "kernels"
    try:
        return Path.home() / ".cache" / "accel" / "kernels"
    except RuntimeError:
        return None


def includes() -> list[Path]:
    """Folders of headers, beside AscendC's own."""
    return [FOLDER, Path(accel.get_include())]


def chip_fault(chip: str) -> str:
    """Why kernels cannot be built for a chip; empty when they can."""
    if chip == SIMULATOR_CHIP or _CHIPS.match(chip):
        return ""
    name = chip or "an unknown chip"
    return f"the kernels need AscendC's DataCopyPad, which {name} does not have"


def binary_path(file: str, chip: str) -> Path | None:
    """Where the binary of a source file for a chip is, or would be."""
    base = folder()
    if base is None:
        return None
    ending = "so" if chip == SIMULATOR_CHIP else "o"
    return base / f"ascend-{Path(file).stem}-{chip}-{_digest()[:16]}.{ending}"


@cache
def _digest() -> str:
    total = hashlib.sha256()
    core = Path(accel.get_include()) / "accel"
    paths = [*FOLDER.glob("*.cpp"), *FOLDER.glob("*.h"), FOLDER / "CMakeLists.txt"]
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
