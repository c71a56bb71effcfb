"""What the suite's own tests share: the defective backends, installed into a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

DEFECTS = Path(__file__).parent / "defects"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def catalogue() -> Iterator[ModuleType]:
    """The module ``accel_defects.catalogue``."""
    sys.path.insert(0, str(DEFECTS))
    try:
        yield import_module("accel_defects.catalogue")
    finally:
        sys.path.remove(str(DEFECTS))


@pytest.fixture(scope="session")
def defect_environment(
    catalogue: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Environment variables under which the defective backends are an installed distribution."""
    site = tmp_path_factory.mktemp("site")
    info = site / "accel_defects-1.0.dist-info"
    info.mkdir()
    metadata = "Metadata-Version: 2.1\nName: accel-defects\nVersion: 1.0\n"
    info.joinpath("METADATA").write_text(metadata)
    info.joinpath("RECORD").write_text("")
    lines = ["[accel.backends]"]
    lines += [f"{name} = {value}" for name, value in catalogue.ENTRY_POINTS.items()]
    lines += ["[accel.conformance_xfails]"]
    declared = {"xfail": "XFAILS", "xpass": "PASSING", "stale": "STALE"}
    lines += [f"defect-{k} = accel_defects.runner_backends:{v}" for k, v in declared.items()]
    info.joinpath("entry_points.txt").write_text("\n".join(lines) + "\n")
    path = os.pathsep.join([str(site), str(DEFECTS), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep), "COLUMNS": "120"}


@pytest.fixture
def conformance(defect_environment: dict[str, str], tmp_path: Path) -> Run:
    """``conformance("run", "--backend", ...)``: the command, in an empty folder."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "accel_conformance", *arguments],
            cwd=tmp_path,
            env={**defect_environment, **variables},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return run
