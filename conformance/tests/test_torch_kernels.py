"""The KV kernels of ``accel.torch_kernels`` pass the suite's KV cases on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "composed"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Variables under which the composed backends are an installed distribution."""
    info = tmp_path / "site" / "accel_composed-1.0.dist-info"
    info.mkdir(parents=True)
    info.joinpath("METADATA").write_text(
        "Metadata-Version: 2.1\nName: accel-composed\nVersion: 1.0\n"
    )
    info.joinpath("RECORD").write_text("")
    info.joinpath("entry_points.txt").write_text(
        "[accel.backends]\n"
        "torch-cpu = accel_composed.plugin:host\n"
        "torch-queue = accel_composed.plugin:queue\n"
    )
    path = [str(info.parent), str(FOLDER), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path).rstrip(os.pathsep)}


#: By backend: the cases that its queue and streams matter most to. All KV cases pass on both; CI
#: does not have the time, and has what is left of them from the simulated MLU, which rotates,
#: converts, quantises and codes by these kernels.
CASES = {
    "torch-cpu": "kv and (transfer or gather or slots or order or upload)",
    "torch-queue": "kv and (write or block or memory or refused)",
}


@pytest.mark.parametrize("backend", CASES)
def test_composed_kernels_conform(
    backend: str, environment: dict[str, str], tmp_path: Path
) -> None:
    """A part of the KV cases, quick."""
    command = [
        sys.executable, "-m", "accel_conformance", "run", "--backend", backend,
        "--level", "2", "--quick", "--patience", "4", "-k", CASES[backend],
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
