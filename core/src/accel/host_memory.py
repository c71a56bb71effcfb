"""How much memory the host has for this process: the system's figures, and its cgroup's bound."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["host_memory"]

#: A version 1 group without a bound says a number near 2**63.
_UNBOUNDED = 1 << 60


def host_memory(root: Path = Path("/")) -> tuple[int, int] | None:
    """``(free, total)`` in bytes: what can be had without swapping, and all there is.

    Free is the least of MemAvailable and, of every cgroup that this process is in, the bound less
    what is used and cannot be reclaimed; total likewise. None where the system does not say
    (no /proc).

    Args:
        root: where ``proc`` and ``sys`` are, for tests.
    """
    try:
        text = (root / "proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    try:
        free, total = (int(fields[k].split()[0]) << 10 for k in ("MemAvailable", "MemTotal"))
    except (KeyError, ValueError, IndexError):
        return None
    for left, bound in _groups(root):
        free, total = min(free, left), min(total, bound)
    return max(0, free), total


def _groups(root: Path) -> Iterator[tuple[int, int]]:
    """``(left, bound)`` of every memory cgroup above this process that has a bound."""
    for folder, names in _folders(root):
        bound = _number(folder / names[0])
        used = _number(folder / names[1])
        if bound is None or used is None or bound >= _UNBOUNDED:
            continue
        yield bound - used + _reclaimable(folder / "memory.stat", names[2]), bound


def _folders(root: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """The group's folder and those above it, with the names of bound, use and file cache."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):
            top = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        elif number == "0" and not controllers:
            top = root / "sys/fs/cgroup"
            names = ("memory.max", "memory.current", "inactive_file")
        else:
            continue
        folder = top / path.lstrip("/")
        # In a container the path may be the host's, and only the top be there: that is then ours.
        while True:
            yield folder, names
            if folder == top or top not in folder.parents:
                break
            folder = folder.parent


def _number(file: Path) -> int | None:
    """The file's one number; None where there is none (``max``, or no such file)."""
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _reclaimable(file: Path, name: str) -> int:
    """File cache that goes before an allocation fails."""
    try:
        for line in file.read_text(encoding="ascii").splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    except (OSError, ValueError):
        pass
    return 0
