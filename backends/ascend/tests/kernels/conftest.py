"""The stand-in of AscendC for tests of kernels."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def _load(name):
    """By path: the tests are no package, and other folders have modules of these names."""
    full = f"accel_ascend_test_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, HERE / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[full] = module
        spec.loader.exec_module(module)
    return sys.modules[full]


@pytest.fixture(scope="session")
def harness():
    return _load("harness")


@pytest.fixture(scope="session")
def images():
    return _load("images")


@pytest.fixture(scope="session")
def builder(harness, tmp_path_factory):
    if harness.compiler() is None:
        pytest.skip("no C++ compiler: set CXX, or install g++ or clang++")
    base = tmp_path_factory.getbasetemp()
    folder = os.environ.get("ACCEL_ASCENDC_BUILD") or base / "ascendc"
    return harness.Builder(Path(folder))


@pytest.fixture(scope="session")
def kv_copy(builder, harness):
    """The movement kernel, with the plugin's packing of its arguments."""
    return builder.library(harness.KERNELS / "kv_copy.cpp")
