"""The stand-in of BANG C for tests of kernels."""

from __future__ import annotations

from pathlib import Path

import copy_harness
import pytest
from copy_fixtures import builder, kv_copy  # noqa: F401

HERE = Path(__file__).parent
STANDIN = copy_harness.Standin(
    folder=copy_harness.ROOT / "tools/simulators/cnrt/src/accel_sim_cnrt/bang",
    kernels=HERE.parents[1] / "src/accel_mlu/kernels",
    harness=HERE / "harness.cpp",
    local_bytes=512 << 10,
    cores=48,
    list_launches=11,
    layer_launches=6,
)


@pytest.fixture(scope="session")
def standin():
    return STANDIN
