"""Threads of one program that use the devices at the same time."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest


def test_threads_do_not_disturb_each_other(simulation: Any, tmp_path: Path) -> None:
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    made = simulation("cann", delay_us=100)
    folder = made.simulator.folder()
    source = Path(__file__).with_name("stress.cpp")
    words = [compiler, "-std=c++17", "-O1", str(source), "-o", str(tmp_path / "stress")]
    # The libraries that it brings in are found as any program finds them, through the environment.
    words += [f"-L{folder}", "-lascendcl", "-laccel_sim_runtime", "-pthread"]
    subprocess.run(words, check=True)
    assert made.run([str(tmp_path / "stress")]).last == str(4 * 60)
