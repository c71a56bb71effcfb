"""Kernels of tests, compiled through the stand-in of BANG C."""

from __future__ import annotations

from pathlib import Path

import copy_harness
import pytest

FOLDER = Path(__file__).parents[2] / "src/accel_sim_cnrt/bang"


@pytest.fixture(scope="session")
def builder(tmp_path_factory):
    if copy_harness.compiler() is None:
        pytest.skip("no C++ compiler: set CXX, or install g++ or clang++")
    here = Path(__file__).parent
    standin = copy_harness.Standin(FOLDER, here, here / "none", 512 << 10, 4, 0, 0)
    return copy_harness.Builder(standin, tmp_path_factory.mktemp("bang"))
