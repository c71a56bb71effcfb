"""docs/recipes.md: every block runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "recipes.md"


def recipes() -> dict[str, str]:
    """Heading of each recipe to its code."""
    sections = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    found = {}
    for heading, text in zip(sections[::2], sections[1::2], strict=True):
        blocks = re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
        assert len(blocks) == 1, f"{heading}: expected one python block, found {len(blocks)}"
        found[heading] = blocks[0]
    return found


def test_there_are_recipes() -> None:
    assert len(recipes()) >= 2
    assert all("assert" in code for code in recipes().values()), "a recipe that checks nothing"


@pytest.mark.parametrize("heading", recipes())
def test_runs(heading: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.py"
    file.write_text(recipes()[heading], encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if k != "ACCEL_BACKEND"}
    done = subprocess.run(
        [sys.executable, str(file)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
