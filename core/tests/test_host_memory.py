"""What the host has for this process: from the system's figures and every cgroup above it."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel.host_memory import host_memory

MIB = 1 << 20
MEMINFO = "MemTotal:       1024000 kB\nMemFree:  10 kB\nMemAvailable:    512000 kB\n"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in {"proc/meminfo": MEMINFO, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_groups(tmp_path: Path) -> None:
    assert host_memory(tree(tmp_path, {})) == (512_000 << 10, 1_024_000 << 10)


@pytest.mark.parametrize("files", [{"proc/meminfo": "Nothing: 1 kB\n"}, {"proc/meminfo": "Mem"}])
def test_unknown(tmp_path: Path, files: dict[str, str]) -> None:
    assert host_memory(tree(tmp_path, files)) is None
    assert host_memory(tmp_path / "nowhere") is None


def test_version_2_every_level_counts(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/a"
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a/b\n",
            f"{group}/b/memory.max": "max\n",
            f"{group}/b/memory.current": f"{5 * MIB}\n",
            f"{group}/memory.max": f"{100 * MIB}\n",
            f"{group}/memory.current": f"{70 * MIB}\n",
            f"{group}/memory.stat": f"anon 1\ninactive_file {20 * MIB}\n",
        },
    )
    assert host_memory(root) == (50 * MIB, 100 * MIB)


def test_version_1_in_a_container(tmp_path: Path) -> None:
    """The path in /proc/self/cgroup is the host's; the container's own group is the top."""
    top = "sys/fs/cgroup/memory"
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "9:cpu:/x\n4:memory:/docker/abc\n0::/\n",
            f"{top}/memory.limit_in_bytes": f"{64 * MIB}\n",
            f"{top}/memory.usage_in_bytes": f"{80 * MIB}\n",
            f"{top}/memory.stat": f"total_inactive_file {MIB}\n",
        },
    )
    assert host_memory(root) == (0, 64 * MIB)


def test_version_1_unbounded(tmp_path: Path) -> None:
    top = "sys/fs/cgroup/memory"
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/\n",
            f"{top}/memory.limit_in_bytes": "9223372036854771712\n",
            f"{top}/memory.usage_in_bytes": "5\n",
        },
    )
    assert host_memory(root) == (512_000 << 10, 1_024_000 << 10)
