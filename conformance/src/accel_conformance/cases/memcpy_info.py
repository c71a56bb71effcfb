"""Memory information: figures that follow what is allocated."""

from __future__ import annotations

import os
import time

import pytest
import torch

from accel import Backend, Capability
from accel_conformance.case import case
from accel_conformance.fixtures import ReportProperty

INFO = [Capability.MEMORY_INFO]
MIB = 1 << 20
GIB = 1 << 30


@case(level=1, needs=INFO)
def test_memory_info_bounds(backend: Backend, report_property: ReportProperty) -> None:
    """Free is no more than the total, and the total of a CPU no more than the machine has."""
    info = backend.memcpy.memory_info()
    assert isinstance(info.free, int)
    assert isinstance(info.total, int)
    assert 0 <= info.free <= info.total
    assert info.total >= 64 * MIB, f"a total of {info.total} bytes is hardly bytes"
    if backend.device.type == "cpu":
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        assert info.total <= machine, f"{info.total} bytes of a machine that has {machine}"
    report_property("free_bytes", info.free)
    report_property("total_bytes", info.total)


@case(level=1, needs=INFO, seconds=180)
def test_memory_info_follows(backend: Backend) -> None:
    """Memory that is allocated and written is free no more, and is again when it is given back."""
    # Much, since others use the machine too.
    size = min(GIB, backend.memcpy.memory_info().free // 8)
    if size < 64 * MIB:
        pytest.skip(f"only {8 * size // MIB} MiB of device memory are free")
    fell, rose, seen = False, False, []
    for _ in range(6):
        before = backend.memcpy.memory_info().free
        held = torch.full((size,), 1, dtype=torch.uint8, device=backend.device)
        int(held[-1])
        during = _watch(backend, before - size // 2, -1)
        del held
        if backend.device.type != "cpu":
            torch.get_device_module(backend.device).empty_cache()
        after = _watch(backend, during + size // 2, 1)
        fell = fell or before - during > size // 2
        rose = rose or after - during > size // 2
        if fell and rose:
            return
        seen.append((before // MIB, during // MIB, after // MIB))
    raise AssertionError(
        f"free memory does not follow an allocation of {size // MIB} MiB; before, during and after"
        f" it in MiB: {seen}"
    )


def _watch(backend: Backend, mark: int, side: int, seconds: float = 1.5) -> int:
    """The most (side 1) or least (-1) of free memory while it goes beyond ``mark``.

    Some systems count by and by: once beyond the mark, it is watched for a while longer.
    """
    end = time.monotonic() + seconds
    seen, settling = backend.memcpy.memory_info().free, False
    while time.monotonic() < end:
        free = backend.memcpy.memory_info().free
        seen = max(seen * side, free * side) * side
        if not settling and (free - mark) * side > 0:
            settling, end = True, time.monotonic() + 0.2
        time.sleep(0.02)
    return seen
