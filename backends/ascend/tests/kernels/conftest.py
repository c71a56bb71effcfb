"""The stand-in of AscendC for tests of kernels."""

from __future__ import annotations

from pathlib import Path

import copy_harness
import pytest
from copy_fixtures import builder, kv_copy  # noqa: F401

HERE = Path(__file__).parent
STANDIN = copy_harness.Standin(
    folder=copy_harness.ROOT / "tools/simulators/cann/src/accel_sim_cann/ascendc",
    kernels=HERE.parents[1] / "src/accel_ascend/kernels",
    harness=HERE / "harness.cpp",
    local_bytes=196608,
    cores=48,
    list_launches=3,
    layer_launches=2,
)


@pytest.fixture(scope="session")
def standin():
    return STANDIN
