"""Programs of the real torch_npu wheel, each in a process of its own under the simulator."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from accel_sim import Simulation

#: The `npu` fixture's type.
Npu = Callable[..., Simulation]


@pytest.fixture
def npu(simulation: Any) -> Npu:
    """``npu(delay_us=200)``: the CANN simulator, where torch_npu is installed."""
    if importlib.util.find_spec("torch_npu") is None:
        pytest.skip("torch-npu is not installed; `make conformance-ascend` installs it")

    def make(**options: Any) -> Simulation:
        made = simulation("cann", **options)
        assert isinstance(made, Simulation)
        return made

    return make
