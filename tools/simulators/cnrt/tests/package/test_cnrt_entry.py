"""The simulator's entry: found, inert unless asked for, and never in front of a real torch_mlu."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from accel_sim import Modes, SimulatorError, child_environment, installed, simulator
from accel_sim.environment import is_simulated
from accel_sim.modes import PREFIX
from accel_sim_cnrt.simulator import SIMULATOR


@pytest.fixture
def built() -> Path:
    """Where the libraries are."""
    try:
        return SIMULATOR.folder()
    except SimulatorError as error:
        pytest.skip(str(error))


def said(program: str, **variables: str) -> str:
    """What a Python program prints that is started with these variables and none of a simulator."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith((PREFIX, "LD_", "PYTHONPATH"))}
    return subprocess.check_output(
        [sys.executable, "-c", program], env=kept | variables, text=True
    ).strip()


def test_found(built: Path) -> None:
    assert "cnrt" in installed() and simulator("cnrt") is SIMULATOR
    assert is_simulated(built / "libcnrt.so")


def test_nothing_happens_by_itself(built: Path) -> None:
    """Neither the package nor a program beside it loads a library or sees a torch_mlu."""
    program = """
import accel_sim_cnrt.simulator, importlib.util
mapped = [line for line in open("/proc/self/maps") if "accel_sim_cnrt" in line]
print(mapped, importlib.util.find_spec("torch_mlu"))
"""
    assert said(program) == "[] None"


def test_what_a_program_gets(built: Path) -> None:
    choices = {"cnrt": "6.0", "chip": "mlu370", "not_ready": "busy"}
    environment = child_environment(SIMULATOR, Modes(seed=3), choices)
    assert environment["LD_LIBRARY_PATH"].split(":")[0] == str(built)
    assert [environment[f"ACCEL_SIM_{key.upper()}"] for key in choices] == list(choices.values())
    package = Path(environment["PYTHONPATH"].split(":")[0]) / "torch_mlu" / "__init__.py"
    assert "__simulated__ = True" in package.read_text()


def test_a_real_torch_mlu_is_never_covered(built: Path, tmp_path: Path) -> None:
    """With the vendor's package in the environment nothing is simulated unless that is said."""
    real = tmp_path / "torch_mlu-1.22.0.dist-info"
    real.mkdir()
    (real / "METADATA").write_text("Metadata-Version: 2.1\nName: torch_mlu\nVersion: 1.22.0\n")
    words = [sys.executable, "-m", "accel_sim", "cnrt", "run", "--", "true"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    refused = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "torch_mlu 1.22.0 is installed" in refused.stderr and "--beside-real" in refused.stderr


def test_a_name_that_torch_could_not_have_is_refused(built: Path) -> None:
    words = [sys.executable, "-m", "accel_sim", "cnrt", "run", "--torch-name", "musa", "--", "true"]
    refused = subprocess.run(words, capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "torch_name" in refused.stderr


def test_info(built: Path) -> None:
    words = [sys.executable, "-m", "accel_sim", "cnrt", "info", "--json"]
    facts = json.loads(subprocess.check_output(words, text=True))
    assert facts["simulated"] is True and facts["cnrt functions"] >= 50
    assert facts["poses_as"]["cnrt"] == {"default": "6.14", "may": ["6.0", "6.14"]}
    assert facts["poses_as"]["not_ready"]["may"] == ["notready", "busy"]
    assert len(facts["more_permissive_than_hardware"]) >= 5
