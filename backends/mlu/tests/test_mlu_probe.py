"""What is said of a machine that has, or lacks, what MLUs need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from accel_mlu.probe import Machine, judge, look

READY = Machine(
    nodes=8,
    library="libcnrt.so",
    devices=8,
    version="6.14.1",
    torch_version="2.7.1",
    package_version="1.25.0-torch2.7.1",
)


def test_eight_of_them() -> None:
    found = judge(READY)
    assert (found.available, found.device_count, found.simulated) == (True, 8, False)
    assert found.reason == "8 MLUs (CNRT 6.14.1)"


def test_a_simulator_says_so() -> None:
    found = judge(replace(READY, simulator="a pretender", nodes=0))
    assert found.available
    assert found.simulated
    assert found.reason == "8 simulated MLUs (a pretender)"


TORCH_ONLY = replace(READY, nodes=0, library="", library_error="not found", devices=0)
UNFIT = {
    "no library": (
        replace(TORCH_ONLY, nodes=1),
        "1 MLU (/dev/cambricon_dev*), but no CNRT",
        "NEUWARE_HOME",
    ),
    "not set up": (replace(TORCH_ONLY, unset="/opt/nw"), "CNRT is at /opt/nw", "LD_LIBRARY_PATH"),
    "no devices": (
        replace(READY, devices=0, device_error=100004),
        "cnrtGetDeviceCount: 100004",
        "cnmon",
    ),
    "no torch": (
        replace(READY, torch_version=""),
        "torch is not installed",
        "Cambricon's own index",
    ),
    "no torch_mlu": (
        replace(READY, package_version=""),
        "torch-mlu is not installed",
        "not on PyPI",
    ),
    "another torch": (
        replace(READY, torch_version="2.9.0"),
        "is not for torch 2.9.0",
        "torch==2.7.*",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_unfit(case: str) -> None:
    machine, reason, cure = UNFIT[case]
    found = judge(machine)
    assert not found.available
    assert reason in found.reason
    assert cure in found.cure
    assert found.hardware_present == (machine.nodes > 0)


def test_a_version_that_names_no_torch_fits() -> None:
    assert judge(replace(READY, package_version="1.25.0")).available


def test_torch_mlu_alone_breaks_torch() -> None:
    found = judge(TORCH_ONLY)
    assert "makes `import torch` fail" in found.reason
    assert "TORCH_DEVICE_BACKEND_AUTOLOAD=0" in found.cure


def test_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dev").mkdir()
    for name in ("cambricon_dev0", "cambricon_dev7", "cambricon_ctl", "cambricon_dev7ipcm0"):
        (tmp_path / "dev" / name).touch()
    monkeypatch.setenv("ACCEL_MLU_LIBRARY", str(tmp_path / "libnothing.so"))
    monkeypatch.delenv("NEUWARE_HOME", raising=False)
    monkeypatch.setenv("MLU_VISIBLE_DEVICES", "0")
    seen = look(tmp_path)
    assert (seen.nodes, seen.devices, seen.visible) == (2, 0, "0")
    assert "libnothing.so" in seen.library_error
