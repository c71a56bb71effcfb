"""The operating system's limits and resources that backends run into."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Host", "inspect_host", "size"]

GIB = 1 << 30


@dataclass(frozen=True)
class Host:
    """Bytes unless it says otherwise; None where this system does not tell."""

    cpu: str
    cpus: int  #: logical processors
    cpus_allowed: int  #: of those, what this process may run on
    memory: int | None
    memory_available: int | None
    memlock_soft: int | None  #: -1: unlimited
    memlock_hard: int | None
    huge_page_size: int | None
    huge_pages_total: int | None  #: count
    huge_pages_free: int | None  #: count
    transparent_huge_pages: str | None  #: always, madvise or never
    numa_nodes: dict[str, str] = field(default_factory=dict)  #: node to its CPUs
    shm_total: int | None = None
    shm_free: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "advice": self.advice()}

    def advice(self) -> list[str]:
        """What is worth changing, and how. Nothing here stops a backend from working."""
        lines = []
        if self.memlock_soft is not None and 0 <= self.memlock_soft < GIB:
            lines.append(
                f"only {size(self.memlock_soft)} may be page-locked: pinned memory beyond that is"
                f" pageable. Cure: `ulimit -l unlimited`, LimitMEMLOCK=infinity in a systemd unit,"
                f" or `--ulimit memlock=-1` for a container"
            )
        if self.shm_total is not None and self.shm_total < GIB:
            lines.append(
                f"/dev/shm holds {size(self.shm_total)}: shared pinned segments may not fit. Cure:"
                f" `mount -o remount,size=50% /dev/shm`, or `--shm-size` for a container"
            )
        if self.transparent_huge_pages == "never" and not self.huge_pages_free:
            lines.append(
                "no huge pages can be had. Cure:"
                " `echo madvise > /sys/kernel/mm/transparent_hugepage/enabled`"
            )
        return lines


def inspect_host(root: Path = Path("/")) -> Host:
    """Read it from ``root``'s proc and sys trees."""
    memory = _meminfo(root / "proc/meminfo")
    soft, hard = _memlock()
    shm = _usage(root / "dev/shm")
    return Host(
        cpu=_cpu_name(root / "proc/cpuinfo"),
        cpus=os.cpu_count() or 1,
        cpus_allowed=_allowed(),
        memory=memory.get("MemTotal"),
        memory_available=memory.get("MemAvailable"),
        memlock_soft=soft,
        memlock_hard=hard,
        huge_page_size=memory.get("Hugepagesize"),
        huge_pages_total=memory.get("HugePages_Total"),
        huge_pages_free=memory.get("HugePages_Free"),
        transparent_huge_pages=_bracketed(root / "sys/kernel/mm/transparent_hugepage/enabled"),
        numa_nodes=_numa(root / "sys/devices/system/node"),
        shm_total=shm[0] if shm else None,
        shm_free=shm[1] if shm else None,
    )


def size(nbytes: int | None) -> str:
    """``nbytes`` for people; -1 is unlimited."""
    if nbytes is None:
        return "unknown"
    if nbytes < 0:
        return "unlimited"
    value, units = float(nbytes), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        del units[0]
    return f"{value:.0f} {units[0]}" if value == int(value) else f"{value:.1f} {units[0]}"


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # not Linux, or hidden in a container; the field says None
        return ""


def _meminfo(path: Path) -> dict[str, int]:
    found = {}
    for line in _read(path).splitlines():
        key, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            found[key] = int(words[0]) * (1024 if words[-1] == "kB" else 1)
    return found


def _cpu_name(path: Path) -> str:
    for line in _read(path).splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return platform.processor() or platform.machine()


def _allowed() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memlock() -> tuple[int | None, int | None]:
    try:
        import resource
    except ImportError:  # Windows
        return None, None
    if not hasattr(resource, "RLIMIT_MEMLOCK"):
        return None, None
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    infinity = resource.RLIM_INFINITY
    return (-1 if soft == infinity else soft), (-1 if hard == infinity else hard)


def _bracketed(path: Path) -> str | None:
    """The chosen one of ``always [madvise] never``."""
    text = _read(path)
    return text.partition("[")[2].partition("]")[0] or None


def _numa(path: Path) -> dict[str, str]:
    nodes = sorted(path.glob("node[0-9]*"), key=lambda p: int(p.name[4:]))
    return {node.name[4:]: _read(node / "cpulist").strip() for node in nodes}


def _usage(path: Path) -> tuple[int, int] | None:
    if not path.is_dir():
        return None
    usage = shutil.disk_usage(path)
    return usage.total, usage.free
