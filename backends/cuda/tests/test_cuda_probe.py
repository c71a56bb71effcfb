"""The probe: what follows from what a machine has, and how little looking costs the process."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from accel_cuda.probe import Machine, judge, look

WHOLE = Machine(
    nvidia=2,
    seen_by="NVML",
    uuids=("GPU-aaaa-1", "GPU-aabb-2"),
    cuda_driver="libcuda.so.1",
    cuda_version=13000,
    torch_version="2.11.0+cu130",
    torch_cuda="13.0",
    compiler="/x/libnvrtc.so.13",
)
ROCM = Machine(
    amd=4,
    seen_by="/dev/kfd",
    hip_driver="libamdhip64.so",
    torch_version="2.11.0+rocm6.4",
    torch_hip="6.4.43482",
)


def test_all_there() -> None:
    found = judge(WHOLE)
    assert found.available
    assert found.device_count == 2
    assert found.reason == "2 NVIDIA devices (NVML)"
    assert found.details == {
        "driver": "libcuda.so.1, CUDA 13.0",
        "torch": "2.11.0+cu130, for CUDA 13.0",
        "nvrtc": "/x/libnvrtc.so.13",
    }
    assert judge(ROCM).available
    assert judge(ROCM).device_count == 4


@pytest.mark.parametrize(
    ("machine", "reason", "cure"),
    [
        (replace(WHOLE, cuda_driver="", cuda_error="no file"), "driver cannot be opened: no file",
         "install the NVIDIA driver"),
        (replace(WHOLE, torch_version=""), "torch is not installed", "install a torch"),
        (replace(WHOLE, torch_version="2.11.0+cpu", torch_cuda=""),
         "torch 2.11.0+cpu is built without CUDA", "torch built for CUDA 13.0"),
        (replace(ROCM, hip_driver="", hip_error="no file"), "HIP runtime cannot be opened",
         "install ROCm"),
        (replace(ROCM, torch_hip="", torch_version="2.11.0"), "built without ROCm", "ROCm"),
    ],
)  # fmt: skip
def test_hardware_that_cannot_be_used(machine: Machine, reason: str, cure: str) -> None:
    """Then the CPU is not chosen by itself: hardware_present makes core raise."""
    found = judge(machine)
    assert not found.available
    assert found.hardware_present
    assert reason in found.reason
    assert cure in found.cure


def test_no_hardware() -> None:
    """A machine without a device is nothing to complain about, and says what else it lacks."""
    found = judge(Machine(cuda_error="libcuda.so.1: not found", torch_version="2.13.0+cpu"))
    assert not found.available
    assert not found.hardware_present
    assert "no NVIDIA or AMD device" in found.reason
    assert "libcuda.so.1: not found" in found.reason
    assert "torch 2.13.0+cpu is built without CUDA and ROCm" in found.reason
    assert "no compiler for kernels (NVRTC or hiprtc)" in found.reason
    assert "pip install nvidia-cuda-nvrtc" in found.details["nvrtc"]
    # A driver without a device is none either (a container started without its GPUs).
    assert not judge(replace(WHOLE, nvidia=0)).hardware_present


@pytest.mark.parametrize(
    ("visible", "count"),
    [
        (None, 2), ("0", 1), ("1,0", 2), ("0,1,7", 2), ("7,0", 0), ("", 0), ("-1", 0),
        (" 1 ", 1), ("GPU-aaaa", 1), ("GPU-aa", 0), ("GPU-aabb-2,0", 2), ("GPU-zz", 0),
        ("MIG-1234", 1), ("nonsense", 0),
    ],
)  # fmt: skip
def test_visible_devices(visible: str | None, count: int) -> None:
    """The list ends at its first entry that names no device, as the driver has it."""
    found = judge(replace(WHOLE, visible=visible))
    assert found.device_count == count
    assert found.available == (count > 0)
    assert not found.hardware_present or count > 0
    if count == 0:
        assert f"hidden by CUDA_VISIBLE_DEVICES={visible}" in found.reason


def test_look_at_device_files(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    assert look(tmp_path).nvidia == 0
    for name in ("nvidia0", "nvidia3", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
    assert (look(tmp_path).nvidia, look(tmp_path).seen_by) == (2, "/dev/nvidia*")


def test_look_at_amd_nodes(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    nodes = tmp_path / "sys/class/kfd/kfd/topology/nodes"
    for node, units in enumerate((0, 304, 304)):
        (nodes / str(node)).mkdir(parents=True)
        (nodes / str(node) / "properties").write_text(f"cpu_cores_count 8\nsimd_count {units}\n")
    assert look(tmp_path).amd == 0  # no /dev/kfd: the container was not given the devices
    (tmp_path / "dev/kfd").touch()
    assert (look(tmp_path).amd, look(tmp_path).seen_by) == (2, "/dev/kfd")


def test_looking_imports_nothing_heavy() -> None:
    """Neither torch nor the native part, and a fork afterwards is as good as before."""
    program = (
        "import sys\n"
        "from accel_cuda import plugin\n"
        "found = plugin.accel_probe()\n"
        "assert found.reason\n"
        "assert not {'torch', 'accel_cuda._native', 'numpy'} & set(sys.modules), sys.modules\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "ACCEL_CUDA_DRIVER"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
