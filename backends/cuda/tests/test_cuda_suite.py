"""The suite's own cases of graphs, on the fake driver: they pass, and catch a driver that is wrong.

Those that need tensors on the device are run where there is one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = (
    "runs_at_replay", "replay_on_current", "captured_callback_error", "waiting_refused",
    "not_joined", "abandoned", "graph_refused", "many_graphs",
)  # fmt: skip


def failed_cases(driver: Path, report: Path, defect: str = "") -> set[str]:
    """The cases that fail, of those in CASES; all of them must have run."""
    cases = [word for name in CASES for word in ("--case", f"L1-streams::{name}")]
    command = [sys.executable, "-m", "accel_conformance", "run", "--backend", "cuda", "-n", "0"]
    subprocess.run(
        [*command, *cases, "--json", str(report)],
        env={**os.environ, "ACCEL_CUDA_DRIVER": str(driver), "ACCEL_FAKE_DEFECT": defect},
        capture_output=True,
        timeout=300,
    )
    found = json.loads(report.read_text(encoding="utf-8"))
    outcomes = {c["id"].partition("::")[2]: c["outcome"] for c in found["cases"]}
    assert set(outcomes) == set(CASES)
    assert set(outcomes.values()) <= {"passed", "failed"}
    return {name for name, outcome in outcomes.items() if outcome == "failed"}


def test_graphs_pass(fake_driver_path: Path, tmp_path: Path) -> None:
    assert failed_cases(fake_driver_path, tmp_path / "report.json") == set()


@pytest.mark.parametrize(
    ("defect", "caught"),
    [
        ("replays-twice", "runs_at_replay"),
        ("replays-once", "runs_at_replay"),
        ("accepts-unjoined", "not_joined"),
    ],
)
def test_defects_are_caught(
    fake_driver_path: Path, tmp_path: Path, defect: str, caught: str
) -> None:
    assert caught in failed_cases(fake_driver_path, tmp_path / "report.json", defect)
