"""Staging through pinned memory, the path of vendors' libraries, and joining by torchrun."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def test_staging_waits_for_streams(run_ranks: Callable[..., None]) -> None:
    run_ranks("program_staging", 2, at_least=25)


def test_path_of_vendor_libraries(run_ranks: Callable[..., None]) -> None:
    run_ranks("program_device", 2, at_least=20)


def test_joins_by_torchrun_and_ends_without_a_word(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "--log-dir", str(tmp_path), "--redirects", "3",
        str(HERE / "torchrun_script.py"), str(tmp_path),
    ]  # fmt: skip
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    ran = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (tmp_path / "result0").read_text() == "11.0 -1"
    assert (tmp_path / "result1").read_text() == "11.0 0"
    said = {p.name: p.read_text() for p in tmp_path.rglob("std*.log")}
    assert len(list(tmp_path.rglob("stderr.log"))) == 2
    assert not any(text.strip() for text in said.values()), said


@pytest.mark.parametrize("given", [{}, {"RANK": "0", "WORLD_SIZE": "2"}])
def test_no_world_is_a_state_error_with_the_cure(given: dict[str, str]) -> None:
    code = (
        "import types, torch\n"
        "from accel.errors import StateError\n"
        "from accel.collectives import TorchCollectives\n"
        "info = types.SimpleNamespace(name='cpu')\n"
        "backend = types.SimpleNamespace(device=torch.device('cpu'), info=info)\n"
        "try:\n"
        "    TorchCollectives(backend).communicator()\n"
        "except StateError as error:\n"
        "    print(error)\n"
    )
    environment = dict(os.environ)
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        environment.pop(name, None)
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "torchrun --nproc-per-node" in ran.stdout
    assert "MASTER_ADDR, MASTER_PORT not set" in ran.stdout
    assert ("RANK, WORLD_SIZE" in ran.stdout) == (not given)
