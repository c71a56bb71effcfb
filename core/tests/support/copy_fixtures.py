"""The library of a vendor's movement kernel; a conftest gives ``standin`` of `copy_harness`."""

from __future__ import annotations

import copy_harness
import pytest


@pytest.fixture(scope="session")
def builder(standin, tmp_path_factory):
    if copy_harness.compiler() is None:
        pytest.skip("no C++ compiler: set CXX, or install g++ or clang++")
    return copy_harness.Builder(standin, tmp_path_factory.mktemp("kernels"))


@pytest.fixture(scope="session")
def kv_copy(builder, standin):
    """The movement kernel, with core's packing of its arguments."""
    (source,) = standin.kernels.glob("kv_copy.[cm]*")
    return builder.library(source)
