"""Programs on the simulated torch_mlu, each in a process of its own."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from accel_sim import Simulation, SimulatorError, simulator


@pytest.fixture
def mlu(simulation: Any) -> Callable[..., Simulation]:
    """``mlu(delay_us=200)``: the CNRT simulator, where its torch device was built."""
    if importlib.util.find_spec("accel_sim_cnrt") is None:
        pytest.skip("accel-sim-cnrt is not installed")
    try:
        folder = simulator("cnrt").folder()
    except SimulatorError as error:
        pytest.skip(str(error))
    if not list(folder.glob("_torch_mlu.*")):
        pytest.skip("accel-sim-cnrt was built without its torch device")
    return lambda **options: simulation("cnrt", **options)
