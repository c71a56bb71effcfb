"""``tools/dev/gpu_check.sh``: stages, limits and the exit status, with the CPU in a GPU's place."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from accel_conformance.catalogue import catalogue

SCRIPT = Path(__file__).parents[1] / "dev" / "gpu_check.sh"
ROOT = SCRIPT.parents[2]

pytestmark = pytest.mark.skipif(
    not shutil.which("bash") or not shutil.which("timeout"), reason="needs bash and timeout"
)


def check(tmp_path, *stages, **variables):
    environment = dict(os.environ, PYTHON=sys.executable, BACKEND="cpu", WORKERS="1", **variables)
    return subprocess.run(
        ["bash", str(SCRIPT), str(tmp_path / "out"), *stages],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_a_stage_reports_briefly_and_in_files(tmp_path):
    done = check(tmp_path, "conformance", CONFORMANCE="--case L0-discovery::import_light")
    assert done.returncode == 0, done.stdout
    assert "-- conformance: exit 0" in done.stdout
    assert "{'passed': 3}" in done.stdout
    assert (tmp_path / "out" / "conformance-cpu.json").exists()
    assert (tmp_path / "out" / "conformance-cpu.md").exists()


def test_a_failed_stage_is_told_and_the_rest_goes_on(tmp_path):
    done = check(tmp_path, "nonsense", "conformance", CONFORMANCE="--level L9")
    assert done.returncode == 1
    assert "no such stage: nonsense" in done.stdout
    assert "expected L0 to L4" in done.stdout
    assert done.stdout.splitlines()[-1] == "failed: nonsense conformance"


def test_cases_for_the_sanitizer_exist():
    text = SCRIPT.read_text()
    start = text.index("SANITIZED=(") + len("SANITIZED=(")
    names = text[start : text.index(")", start)].split()
    known = {entry.id for entry in catalogue()}
    assert len(names) >= 15
    assert [name for name in names if f"L2-kv::{name}" not in known] == []
