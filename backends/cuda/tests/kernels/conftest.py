"""The host shim for tests of kernels: ``shim("file.cu").launch("kernel", args, ...)``."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from cuda_shim import harness


def pytest_collection_modifyitems(config, items):
    """ACCEL_SHIM_SAMPLE="2 test_shim.py=15": of each file two tests by lot, of that one 15, where
    all files are repeated; ``all`` may be a number.
    """
    wanted = os.environ.get("ACCEL_SHIM_SAMPLE", "all")
    if wanted == "all":
        return
    seed = int(os.environ.get("ACCEL_SHIM_SEED", random.randrange(1, 2**31)))
    print(f"seed {seed}: ACCEL_SHIM_SEED={seed} ACCEL_SHIM_SAMPLE='{wanted}' draws them again")
    usual, *others = wanted.split()
    counts = dict(other.split("=") for other in others)
    by_file: dict[Path, list[pytest.Item]] = {}
    for item in items:
        by_file.setdefault(item.path, []).append(item)
    lot = random.Random(seed)
    kept = set()
    for path, of in by_file.items():
        count = counts.get(path.name, usual)
        few = of if count == "all" else lot.sample(of, min(int(count), len(of)))
        kept |= {id(item) for item in few}
    config.hook.pytest_deselected(items=[item for item in items if id(item) not in kept])
    items[:] = [item for item in items if id(item) in kept]


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    """``shim(source, defines=None, flags=())``: the library of a kernel file, compiled once."""
    if harness.compiler() is None and os.environ.get("ACCEL_SHIM_TARGET") != "gpu":
        pytest.skip("no C++ compiler: set CXX, or install g++ or clang++")
    folder = os.environ.get("ACCEL_SHIM_BUILD") or harness.shared_folder(tmp_path_factory)
    builder = harness.ShimBuilder(Path(folder))
    print(f"seed {builder.seed}: ACCEL_SHIM_SEED={builder.seed} repeats it")
    return builder.library
