"""The suite itself under ACCEL_SANITIZE and ACCEL_BLOCKING: a part of it here, all of it by hand.

ACCEL_SANITIZE=raise accel-conformance run --backend cpu
ACCEL_BLOCKING=1     accel-conformance run --backend cpu
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

#: Streams, events, pinned memory and KV calls that are ordered by more than one stream.
PART = (
    "L1-streams::*", "L1-events::*", "L1-pinned::*", "L2-kv::*stream*", "L2-kv::upload_*",
)  # fmt: skip


def run(tmp_path: Path, cases: tuple[str, ...], **environment: str) -> dict[str, Any]:
    report = tmp_path / "report.json"
    options = [f"--case={case}" for case in cases]
    done = subprocess.run(
        [sys.executable, "-m", "accel_conformance", "run", "--backend", "cpu", "--quick", "-n", "0"]
        + [*options, "--json", str(report), "--patience", "4"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(report.read_text())  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("variable", "value"), [("ACCEL_SANITIZE", "raise"), ("ACCEL_BLOCKING", "1")]
)
def test_a_part_of_the_suite_passes(tmp_path: Path, variable: str, value: str) -> None:
    report = run(tmp_path, PART, **{variable: value})
    outcomes = [case["outcome"] for case in report["cases"]]
    assert set(outcomes) <= {"passed", "skipped"}
    assert outcomes.count("passed") > 50


def test_blocking_skips_what_tests_asynchrony_and_says_why(tmp_path: Path) -> None:
    report = run(
        tmp_path, ("L1-streams::query_exact", "L1-streams::fifo_write*"), ACCEL_BLOCKING="1"
    )
    by_id = {case["id"]: case for case in report["cases"]}
    held = by_id["L1-streams::query_exact"]
    assert held["outcome"] == "skipped"
    assert "ACCEL_BLOCKING=1: nothing is asynchronous" in json.dumps(held)
    assert by_id["L1-streams::fifo_write_after_read"]["outcome"] == "passed"
