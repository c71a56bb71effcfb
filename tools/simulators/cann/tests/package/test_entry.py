"""The simulator's entry: what it provides, and that it does nothing unless it is asked for."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from accel_sim import SimulatorError, child_environment, installed, simulator
from accel_sim.environment import is_simulated
from accel_sim.modes import Modes
from accel_sim.shared_objects import exported, undefined
from accel_sim_cann.simulator import SIMULATOR, operator_bindings

#: torch_npu needs each of these, or the program's loader fails.
LIBRARIES = (
    "libascendcl.so", "libacl_op_compiler.so", "libopapi.so", "libhccl.so", "libge_runner.so",
    "libgraph.so", "libacl_tdt_channel.so", "libnnopbase.so", "libhcomm.so",
    "libaccel_sim_runtime.so",
)  # fmt: skip
#: Of HCCL, what ProcessGroupHCCL looks up by name.
HCCL = (
    "HcclGetRootInfo", "HcclCommInitRootInfoConfig", "HcclCommDestroy", "HcclGetCommAsyncError",
    "HcclGetCommConfigCapability", "HcclSetConfig", "HcclAllReduce", "HcclBroadcast",
    "HcclAllGather", "HcclReduceScatter", "HcclReduce", "HcclScatter", "HcclAlltoAll",
    "HcclAlltoAllV", "HcclSend", "HcclRecv", "HcclBatchSendRecv", "HcclGroupStart", "HcclGroupEnd",
)  # fmt: skip


@pytest.fixture
def folder() -> Path:
    try:
        return SIMULATOR.folder()
    except SimulatorError as error:
        pytest.skip(str(error))


def python(code: str, environment: dict[str, str]) -> str:
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_is_found() -> None:
    assert "cann" in installed()
    assert simulator("cann") is SIMULATOR


def test_inert_unless_asked_for(folder: Path) -> None:
    """Neither the distributions nor their libraries are noticed by a program that is just run."""
    code = """
import accel_sim, accel_sim_cann, accel_sim_cann.simulator, ctypes
for name in ("libascendcl.so", "libhccl.so", "libopapi.so"):
    try:
        print("loaded", ctypes.CDLL(name))
    except OSError:
        pass
print([line for line in open("/proc/self/maps") if "accel_sim_cann/lib" in line])
"""
    plain = {k: v for k, v in os.environ.items() if k not in ("LD_LIBRARY_PATH", "LD_PRELOAD")}
    assert python(code, plain) == "[]"


def test_libraries(folder: Path) -> None:
    assert set(LIBRARIES) <= {path.name for path in folder.glob("*.so")}
    assert is_simulated(folder / SIMULATOR.anchor)


def test_the_libraries_tell_what_they_are(folder: Path) -> None:
    code = """
import ctypes
acl = ctypes.CDLL("libascendcl.so")
acl.accel_simulator.restype = ctypes.c_char_p
print(acl.accel_simulator().decode())
"""
    modes = Modes(seed=1)
    for cann, soc in (("8.0", "910B"), ("8.5", "310P")):
        environment = child_environment(SIMULATOR, modes, {"cann": cann, "soc": soc})
        said = python(code, environment)
        assert "CANN simulator" in said
        assert cann in said
        assert soc in said


def test_the_toolkits_folder(folder: Path) -> None:
    environment = child_environment(SIMULATOR, Modes(), base={})
    home = Path(environment["ASCEND_HOME_PATH"])
    assert all((home / part).is_dir() for part in ("runtime", "compiler"))
    assert Path(environment["ASCEND_OPP_PATH"]).is_dir()
    assert environment["LD_LIBRARY_PATH"] == str(folder)
    assert environment["ACCEL_SIM_CANN"] == "8.5"
    assert environment["ACCEL_SIM_SOC"] == "910B"


def test_operators(folder: Path) -> None:
    operators = operator_bindings(folder / "libopapi.so")
    simulated = sum(not stub for stub in operators.values())
    assert simulated >= 150
    assert len(operators) >= 900
    facts = SIMULATOR.info()
    assert facts["operators simulated"] == simulated


def test_hccl(folder: Path) -> None:
    assert set(HCCL) <= exported(folder / "libhccl.so").keys()


def test_every_symbol_that_torch_npu_links(folder: Path) -> None:
    """Python loads extensions with RTLD_NOW: one that is missing and `import torch_npu` fails."""
    spec = importlib.util.find_spec("torch_npu")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("torch-npu is not installed; `make conformance-ascend` installs it")
    package = Path(spec.submodule_search_locations[0])
    wheel = [*package.glob("lib/*.so"), *package.glob("_C*.so")]
    assert wheel
    provided = {name for path in folder.glob("*.so") for name in exported(path)}
    ours = re.compile(r"acl[A-Za-z]|Msprof|rt[A-Z]|Hccl|_ZN?K?2ge")
    wanted = {name for path in wheel for name in undefined(path) if ours.match(name)}
    own = {name for path in wheel for name in exported(path)}
    assert len(wanted - own) > 50, "torch_npu links CANN directly"
    assert sorted(wanted - own - provided) == []


def test_info_command(folder: Path) -> None:
    words = [sys.executable, "-m", "accel_sim", "cann", "info", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout)
    assert facts["simulated"] is True
    assert facts["operators simulated"] >= 150
    assert facts["poses_as"]["cann"] == {"default": "8.5", "may": ["8.0", "8.3", "8.5"]}
    assert facts["poses_as"]["soc"] == {"default": "910B", "may": ["910B", "310P"]}
    assert len(facts["more_permissive_than_hardware"]) >= 5
