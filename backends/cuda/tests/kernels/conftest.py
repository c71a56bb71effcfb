"""The host shim for tests of kernels: ``shim("file.cu").launch("kernel", args, ...)``."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from cuda_shim import harness


def pytest_collection_modifyitems(config, items):
    """ACCEL_SHIM_SAMPLE=n: n tests of each file, by lot, where all files are repeated."""
    count = int(os.environ.get("ACCEL_SHIM_SAMPLE", 0))
    if not count:
        return
    seed = int(os.environ.get("ACCEL_SHIM_SEED", random.randrange(1, 2**31)))
    print(f"seed {seed}: ACCEL_SHIM_SEED={seed} ACCEL_SHIM_SAMPLE={count} draws these tests again")
    by_file: dict[str, list[pytest.Item]] = {}
    for item in items:
        by_file.setdefault(item.nodeid.partition("::")[0], []).append(item)
    lot = random.Random(seed)
    kept = {id(i) for of in by_file.values() for i in lot.sample(of, min(count, len(of)))}
    config.hook.pytest_deselected(items=[item for item in items if id(item) not in kept])
    items[:] = [item for item in items if id(item) in kept]


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    """``shim(source, defines=None, flags=())``: the library of a kernel file, compiled once."""
    if harness.compiler() is None and os.environ.get("ACCEL_SHIM_TARGET") != "gpu":
        pytest.skip("no C++ compiler: set CXX, or install g++ or clang++")
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = os.environ.get("ACCEL_SHIM_BUILD") or shared / "kernel_shim"
    builder = harness.ShimBuilder(Path(folder))
    print(f"seed {builder.seed}: ACCEL_SHIM_SEED={builder.seed} repeats it")
    return builder.library
