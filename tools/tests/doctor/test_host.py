"""The host section, on file trees of other machines."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from accel_tools.host import inspect_host, size

MEMINFO = """MemTotal:       131072000 kB
MemAvailable:   65536000 kB
HugePages_Total:      16
HugePages_Free:        4
Hugepagesize:       2048 kB
"""


def test_a_two_node_machine(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(MEMINFO)
    (tmp_path / "proc/cpuinfo").write_text("processor : 0\nmodel name\t: Acme 9000\n")
    huge = tmp_path / "sys/kernel/mm/transparent_hugepage"
    huge.mkdir(parents=True)
    (huge / "enabled").write_text("always madvise [never]\n")
    for node, cpus in {0: "0-31", 1: "32-63", 10: ""}.items():
        directory = tmp_path / f"sys/devices/system/node/node{node}"
        directory.mkdir(parents=True)
        (directory / "cpulist").write_text(cpus + "\n")
    (tmp_path / "dev/shm").mkdir(parents=True)
    host = inspect_host(tmp_path)
    assert host.cpu == "Acme 9000"
    assert host.memory == 131072000 * 1024
    assert host.memory_available == 65536000 * 1024
    assert (host.huge_pages_total, host.huge_pages_free) == (16, 4)
    assert host.huge_page_size == 2 << 20
    assert host.transparent_huge_pages == "never"
    assert host.numa_nodes == {"0": "0-31", "1": "32-63", "10": ""}
    assert list(host.numa_nodes) == ["0", "1", "10"]
    assert host.shm_total is not None
    assert host.shm_free is not None
    assert 0 < host.shm_free <= host.shm_total
    assert 1 <= host.cpus_allowed <= host.cpus


def test_nothing_can_be_read(tmp_path: Path) -> None:
    host = inspect_host(tmp_path)
    assert host.memory is None
    assert host.numa_nodes == {}
    assert host.shm_total is None
    assert host.transparent_huge_pages is None
    assert host.to_dict()["memory"] is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"memlock_soft": 8 << 20}, "ulimit -l unlimited"),
        ({"shm_total": 64 << 20}, "--shm-size"),
        ({"transparent_huge_pages": "never", "huge_pages_free": 0}, "transparent_hugepage"),
    ],
)
def test_advice(changes: dict[str, object], words: str, tmp_path: Path) -> None:
    quiet = dataclasses.replace(
        inspect_host(tmp_path),
        memlock_soft=-1,
        shm_total=1 << 34,
        transparent_huge_pages="madvise",
        huge_pages_free=0,
    )
    assert quiet.advice() == []
    (advice,) = dataclasses.replace(quiet, **changes).advice()  # type: ignore[arg-type]
    assert words in advice


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(None, "unknown"), (-1, "unlimited"), (0, "0 B"), (1536, "1.5 KiB"), (1 << 30, "1 GiB")],
)
def test_sizes_for_people(nbytes: int | None, text: str) -> None:
    assert size(nbytes) == text
