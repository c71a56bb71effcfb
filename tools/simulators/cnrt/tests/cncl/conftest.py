"""Ranks of a clique, each in a process of its own: on the C ABI alone, or with torch_mlu."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from accel_sim.testing.processes import Ranks, run_ranks, run_torch_ranks

PROGRAMS = Path(__file__).parent / "ranks"


@pytest.fixture
def ranks(simulation: Any, tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    """Runs a function of a module in ``ranks/`` in several processes at a time."""
    return run_ranks(simulation, "cnrt", PROGRAMS, lambda: tmp_path_factory.mktemp("ranks"))


@pytest.fixture
def torch_ranks(simulation: Any, tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    """Runs a program of torch.distributed in several processes, on the simulated torch_mlu."""
    return run_torch_ranks(
        simulation, "cnrt", "mlu", "cncl", lambda: tmp_path_factory.mktemp("torch-ranks")
    )


@pytest.fixture
def musa_ranks(simulation: Any, tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    """The same, as another vendor of torch devices would have it."""
    run = run_torch_ranks(
        simulation, "cnrt", "musa", "mccl", lambda: tmp_path_factory.mktemp("torch-ranks")
    )
    return partial(run, torch_name="musa:torch_musa:mccl")
