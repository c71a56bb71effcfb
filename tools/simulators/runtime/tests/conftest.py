"""A simulator that simulates nothing: an installed distribution in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

MODULE = """
from pathlib import Path
from accel_sim import Choice, Simulator

HERE = Path(__file__).parent

class Fake(Simulator):
    def folder(self):
        return HERE / "lib"
    def variables(self):
        return {"FAKE_HOME": str(HERE)}
    def searched_first(self):
        return [HERE / "first"]
    def hardware(self):
        return ["/dev/fake0 is here"] if (HERE / "hardware").exists() else []
    def info(self):
        return {"operators": 3}

SIMULATOR = Fake(
    "fake", "Fake simulator 1.0", "FakeStack", "libfake.so",
    choices=(Choice("release", ("1", "2"), "2", "Which release it poses as."),),
    permissive=("anything goes",),
)
"""


class FakeSite(Protocol):
    """The `fake_site` fixture: the folder, and how to run the command."""

    folder: Path

    def command(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]: ...


class _Site:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "lib").mkdir()
        (folder / "lib" / "libfake.so").write_bytes(b"\x7fELF...\0accel_simulator\0...")
        (folder / "fake_simulator.py").write_text(MODULE, encoding="utf-8")
        facts = folder / "accel_sim_fake-1.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: accel-sim-fake\nVersion: 1\n")
        (facts / "entry_points.txt").write_text(
            "[accel.simulators]\nfake = fake_simulator:SIMULATOR\n"
            "broken = fake_simulator:NOTHING\nwrong = fake_simulator:HERE\n"
        )

    def command(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ACCEL_SIM_")}
        kept.pop("LD_LIBRARY_PATH", None)
        path = os.pathsep.join([str(self.folder), *(p for p in sys.path if p)])
        return subprocess.run(
            [sys.executable, "-m", "accel_sim", *words],
            env={**kept, "PYTHONPATH": path, **variables},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def fake_site(tmp_path: Path) -> FakeSite:
    """A distribution whose simulator is called `fake`, and two broken ones."""
    folder = tmp_path / "site"
    folder.mkdir()
    return _Site(folder)
