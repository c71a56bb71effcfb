"""``python -m accel_defects.run_group GROUP FOLDER``: run each defect's cases, in one process.

Writes the report of each as ``FOLDER/<defect>.json``; ``none.json`` is of all the group's cases on
the sound wrapper.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import accel_conformance
from accel_defects.catalogue import GROUPS, SOUND
from accel_defects.defect import Defect

__all__ = ["run_cases"]

SEED = 20240607


def run_cases(defect: Defect, patterns: tuple[str, ...], folder: Path) -> int:
    """Run the cases on the backend of ``defect``; pytest's exit status."""
    package = Path(accel_conformance.__file__).parent
    names = {pattern.partition("::")[2].partition("[")[0].partition("*")[0] for pattern in patterns}
    wanted = tuple(f"def test_{name}" for name in names)
    every = sorted((package / "cases").glob("*.py"))
    files = [f for f in every if any(w in f.read_text(encoding="utf-8") for w in wanted)]
    return int(
        pytest.main(
            [
                *map(str, files),
                *("-c", str(package / "pytest.ini"), "--rootdir", str(package)),
                *("-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:faulthandler"),
                *(f"--accel-case={pattern}" for pattern in patterns),
                f"--accel-backend={defect.backend}",
                f"--accel-seed={SEED}",
                # Gates that a defect holds closed let go after 3 s.
                "--accel-patience=0.2" if defect.caught_by else "--accel-patience=1",
                f"--accel-json={folder / defect.name}.json",
            ]
        )
    )


def main(group: str, folder: Path) -> None:
    """Run the whole group."""
    defects = GROUPS[group]
    every = tuple(sorted({pattern for defect in defects for pattern in defect.caught_by}))
    run_cases(SOUND, every, folder)
    for defect in defects:
        run_cases(defect, defect.caught_by, folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
