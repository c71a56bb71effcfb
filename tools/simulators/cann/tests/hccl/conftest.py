"""Ranks of a communicator, each in a process of its own: on the C ABI alone, or with torch_npu."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from accel_sim.testing.processes import Ranks, run_ranks, run_torch_ranks

PROGRAMS = Path(__file__).parent / "ranks"


@pytest.fixture
def ranks(simulation: Any, tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    """Runs a function of a module in ``ranks/`` in several processes at a time."""
    return run_ranks(simulation, "cann", PROGRAMS, lambda: tmp_path_factory.mktemp("ranks"))


@pytest.fixture
def torch_ranks(simulation: Any, tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    """Runs a program of torch.distributed in several processes, with torch_npu."""
    if importlib.util.find_spec("torch_npu") is None:
        pytest.skip("torch-npu is not installed; `make conformance-ascend` installs it")
    return run_torch_ranks(
        simulation, "cann", "npu", "hccl", lambda: tmp_path_factory.mktemp("torch-ranks")
    )
