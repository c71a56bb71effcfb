"""The probe: what follows from what a machine has, and looking with a library that stands in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from accel_ascend.probe import LIBRARY_VARIABLE, Machine, judge, look

WHOLE = Machine(
    nodes=2,
    library="libascendcl.so",
    devices=2,
    version="8.3.RC1",
    torch_version="2.13.0+cpu",
    package_version="2.13.0",
)
NO_CANN = replace(WHOLE, library="", library_error="no such file", devices=0, version="")


def test_all_there() -> None:
    found = judge(WHOLE)
    assert found.available
    assert found.device_count == 2
    assert not found.simulated
    assert found.reason == "2 NPUs (CANN 8.3.RC1)"
    assert found.details["CANN"] == "libascendcl.so, CANN 8.3.RC1"


def test_simulator() -> None:
    found = judge(replace(WHOLE, nodes=0, simulator="CANN simulator 0.1"))
    assert found.available
    assert found.simulated
    assert "simulated" in found.reason
    assert found.details["simulator"] == "CANN simulator 0.1"


@pytest.mark.parametrize(
    ("machine", "reason", "cure"),
    [
        (NO_CANN, "2 NPUs (/dev/davinci*), but no CANN (no such file)", "set_env.sh"),
        (replace(NO_CANN, unset="/opt/cann"), "CANN is at /opt/cann, but not set up", "set_env.sh"),
        (replace(WHOLE, devices=0, device_error=507033), "CANN sees none (aclrtGetDeviceCount:"
         " 507033)", "/dev/davinci_manager"),
        (replace(WHOLE, torch_version=""), "torch is not installed", "accel-ascend[torch-npu]"),
        (replace(WHOLE, package_version=""), "torch-npu is not installed",
         "pip install 'torch-npu==2.13.*'"),
        (replace(WHOLE, package_version="2.9.0.post1"),
         "torch-npu 2.9.0.post1 is not for torch 2.13.0+cpu", "torch-npu==2.13.*"),
    ],
)  # fmt: skip
def test_hardware_that_cannot_be_used(machine: Machine, reason: str, cure: str) -> None:
    found = judge(machine)
    assert not found.available
    assert found.hardware_present, "an NPU is there: the CPU must not be taken silently"
    assert reason in found.reason
    assert cure in found.cure


def test_torch_npu_without_cann() -> None:
    """The trap: torch-npu alone makes `import torch` fail. Cause and cure are named."""
    found = judge(replace(NO_CANN, nodes=0))
    assert not found.available
    assert not found.hardware_present
    assert "torch-npu 2.13.0 is installed, and makes `import torch` fail" in found.reason
    assert "TORCH_DEVICE_BACKEND_AUTOLOAD=0" in found.cure
    assert "install CANN" in found.cure
    switched_off = judge(replace(NO_CANN, nodes=0, autoload=False))
    assert "import torch" not in switched_off.reason


def test_hidden_on_purpose() -> None:
    found = judge(replace(WHOLE, devices=0, visible=""))
    assert not found.available
    assert not found.hardware_present
    assert found.cure == "unset ASCEND_RT_VISIBLE_DEVICES"


def test_device_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dev").mkdir()
    for name in ("davinci0", "davinci1", "davinci_manager", "davinciX"):
        (tmp_path / "dev" / name).touch()
    toolkit = tmp_path / "usr/local/Ascend/ascend-toolkit/latest"
    (toolkit / "lib64").mkdir(parents=True)
    (toolkit / "lib64/libascendcl.so").touch()
    monkeypatch.setenv(LIBRARY_VARIABLE, "libascendcl-that-is-nowhere.so")
    for variable in ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME"):
        monkeypatch.delenv(variable, raising=False)
    machine = look(tmp_path)
    assert machine.nodes == 2
    assert machine.unset == str(toolkit)
    assert "libascendcl-that-is-nowhere.so" in machine.library_error


LIBRARY = """
#include <cstdint>
#include <cstring>
#define EXPORTED extern "C" __attribute__((visibility("default")))
EXPORTED int aclrtGetDeviceCount(std::uint32_t* count) { *count = COUNT; return RESULT; }
EXPORTED int aclsysGetCANNVersion(int package, char* version) {
  if (package == 0) return 100000;  // a release without a name: the runtime's is taken
  std::strcpy(version, "8.5.0");
  return 0;
}
#ifdef SIMULATOR
EXPORTED const char* accel_simulator() { return SIMULATOR; }
#endif
"""


def build(folder: Path, **macros: object) -> Path:
    compiler = os.environ.get("CXX") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler to build a library with")
    source, library = folder / "fake.cpp", folder / "libfake.so"
    source.write_text(LIBRARY)
    defines = [f"-D{name}={value}" for name, value in macros.items()]
    command = [
        compiler,
        "-std=c++17",
        "-shared",
        "-fPIC",
        *defines,
        str(source),
        "-o",
        str(library),
    ]
    subprocess.run(command, check=True)
    return library


def looked(library: Path) -> Machine:
    """What a fresh process sees: libraries stay open in the one that opened them."""
    program = "from accel_ascend.probe import look; print(repr(look()))"
    environment = {**os.environ, LIBRARY_VARIABLE: str(library)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    machine = eval(done.stdout, {"Machine": Machine})
    assert isinstance(machine, Machine)
    return machine


def test_a_library(tmp_path: Path) -> None:
    machine = looked(build(tmp_path, COUNT=4, RESULT=0))
    assert (machine.devices, machine.device_error) == (4, 0)
    assert machine.version == "8.5.0"
    assert machine.simulator == ""


def test_a_simulator(tmp_path: Path) -> None:
    machine = looked(build(tmp_path, COUNT=1, RESULT=0, SIMULATOR='"a stand-in"'))
    assert machine.simulator == "a stand-in"


def test_a_library_that_fails(tmp_path: Path) -> None:
    machine = looked(build(tmp_path, COUNT=4, RESULT=507033))
    assert (machine.devices, machine.device_error) == (0, 507033)


def test_not_an_acl_library(tmp_path: Path) -> None:
    library = build(tmp_path, COUNT=1, RESULT=0, aclrtGetDeviceCount="another_name")
    machine = looked(library)
    assert machine.library == ""
    assert "has no aclrtGetDeviceCount" in machine.library_error


def test_probing_imports_nothing(tmp_path: Path) -> None:
    """Neither torch nor torch_npu, also where both are installed."""
    program = (
        "import sys, accel_ascend.plugin as p; p.PLUGIN.accel_probe();"
        "bad = [m for m in ('torch', 'torch_npu', 'accel_ascend._native') if m in sys.modules];"
        "sys.exit(', '.join(bad) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
