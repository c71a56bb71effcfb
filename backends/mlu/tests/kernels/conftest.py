"""The stand-in of BANG C for tests of kernels."""

from __future__ import annotations

from pathlib import Path

import copy_harness
import pytest

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


@pytest.fixture(scope="session")
def builder(standin, tmp_path_factory):
    if copy_harness.compiler() is None:
        pytest.skip("no C++ compiler: set CXX, or install g++ or clang++")
    return copy_harness.Builder(standin, tmp_path_factory.mktemp("bang"))


@pytest.fixture(scope="session")
def kv_copy(builder, standin):
    """The movement kernel, with the plugin's packing of its arguments."""
    return builder.library(standin.kernels / "kv_copy.mlu")
