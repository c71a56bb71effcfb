"""The suite finds what is broken: every seeded defect is caught, the sound wrapper passes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from accel_conformance.choosing import compile_pattern

GROUPS = sorted(
    file.stem.removesuffix("_defects")
    for file in Path(__file__).parent.glob("defects/accel_defects/*_defects.py")
)


def _report(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("group", GROUPS)
def test_group(
    group: str, catalogue: ModuleType, defect_environment: dict[str, str], tmp_path: Path
) -> None:
    """Each pattern that a defect names has a failing case; without a defect all of them pass."""
    done = subprocess.run(
        [sys.executable, "-m", "accel_defects.run_group", group, str(tmp_path)],
        env=defect_environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sound = _report(tmp_path / "none.json")
    assert [c["id"] + c["message"] for c in sound["cases"] if c["outcome"] == "failed"] == []
    assert sound["ok"], sound["problems"]

    missed = []
    for defect in catalogue.GROUPS[group]:
        report = _report(tmp_path / f"{defect.name}.json")
        failed = [c["id"] for c in report["cases"] if c["outcome"] in ("failed", "error")]
        for pattern in defect.caught_by:
            if not any(compile_pattern(pattern).match(case_id) for case_id in failed):
                missed.append(f"{defect.name} was not caught by {pattern}")
    assert missed == []


def test_enough_defects(catalogue: ModuleType) -> None:
    """At least twenty, under names of their own, in every group."""
    assert set(catalogue.GROUPS) == set(GROUPS)
    assert {"stream", "memcpy", "pinned", "capability", "kv", "collectives"} <= set(GROUPS)
    names = [defect.name for group in catalogue.GROUPS.values() for defect in group]
    assert len(names) == len(set(names))
    assert len(names) >= 20
