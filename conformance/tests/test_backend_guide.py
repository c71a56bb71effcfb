"""docs/writing-a-backend.md holds a complete plugin: build it from the page and check it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "writing-a-backend.md"


def install_from_page(site: Path) -> None:
    """Write the page's Python files to ``site`` with the metadata that pip would make."""
    text = GUIDE.read_text()
    files = re.findall(r"```python\n# (accel_toy/\w+\.py)\n(.*?)```", text, flags=re.DOTALL)
    assert [name for name, _ in files] == [
        "accel_toy/plugin.py",
        "accel_toy/streams.py",
        "accel_toy/memory.py",
    ]
    for name, code in [*files, ("accel_toy/__init__.py", "")]:
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    (entry,) = re.findall(r'\[project\.entry-points\."accel\.backends"\]\n(\w+) = "(.+)"', text)
    info = site / "accel_toy-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: accel-toy\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[accel.backends]\n{entry[0]} = {entry[1]}\n")
    (info / "RECORD").write_text("".join(f"{name},,\n" for name, _ in files))


def run(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    environment.pop("ACCEL_BACKEND", None)
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=site,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_the_guides_plugin_conforms(tmp_path: Path) -> None:
    install_from_page(tmp_path)
    report = tmp_path / "report.json"
    done = run(
        tmp_path, "-m", "accel_conformance", "run", "--backend", "toy", "--quick",
        "--json", str(report),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    outcomes = [case["outcome"] for case in json.loads(report.read_text())["cases"]]
    assert outcomes.count("passed") > 100
    assert "failed" not in outcomes


def test_the_guides_probe_is_told(tmp_path: Path) -> None:
    install_from_page(tmp_path)
    program = (
        "import os; os.environ['TOY_HIDDEN'] = '1'\n"
        "import accel\n"
        "try:\n    accel.get_backend('toy')\n"
        "except accel.BackendUnavailableError as error:\n    print(error)\n"
    )
    done = run(tmp_path, "-c", program)
    assert "TOY_HIDDEN is set" in done.stdout, done.stderr
    assert "unset TOY_HIDDEN" in done.stdout
