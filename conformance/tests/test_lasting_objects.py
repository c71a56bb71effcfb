"""Collections within a case look at what cases have made, not at everything that was imported."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from accel_conformance.lasting_objects import MODULES, LastingObjects


@pytest.fixture
def lasting(monkeypatch: pytest.MonkeyPatch) -> Iterator[LastingObjects]:
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    made = LastingObjects()
    yield made
    made.give_back()


class Ring:
    """Only a collection frees it."""

    def __init__(self) -> None:
        self.ring = self


def import_some(count: int) -> None:
    for _ in range(count):
        name = f"made_up_{len(sys.modules)}"
        sys.modules[name] = ModuleType(name)


def test_again_when_much_was_imported(lasting: LastingObjects) -> None:
    lasting.set_apart()
    first = gc.get_freeze_count()
    assert first > 10 * len(gc.get_objects())
    import_some(MODULES)
    lasting.set_apart()
    assert gc.get_freeze_count() == first
    import_some(1)
    lasting.set_apart()
    assert gc.get_freeze_count() > first
    lasting.give_back()
    assert gc.get_freeze_count() == 0


def test_garbage_of_cases_is_collected(lasting: LastingObjects) -> None:
    """It is not kept with what lasts, when something is set apart again."""
    lasting.set_apart()
    first = weakref.ref(Ring())
    gc.collect()
    assert first() is None
    second = weakref.ref(Ring())
    import_some(MODULES + 1)
    lasting.set_apart()
    assert second() is None


def test_in_a_run(tmp_path: Path) -> None:
    (tmp_path / "counting.py").write_text(
        "import gc\n"
        "def pytest_runtest_logfinish():\n"
        "    print('apart:', gc.get_freeze_count() > len(gc.get_objects()))\n"
        "def pytest_unconfigure():\n"
        "    print('at the end:', gc.get_freeze_count())\n"
    )
    command = [
        sys.executable, "-m", "pytest", "-q", "-s", "-p", "counting", "-p", "no:cacheprovider",
        "--pyargs", "accel_conformance.cases.streams_order", "--accel-backend", "cpu", "-k", "fifo",
    ]  # fmt: skip
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "apart: True" in done.stdout and "apart: False" not in done.stdout
    assert "at the end: 0" in done.stdout
