"""``tools/dev/benchmark_page.py``: the page says what the reports say, and shows failures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from accel_tools.bench.cli import bench

SCRIPT = Path(__file__).parents[2] / "dev" / "benchmark_page.py"


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """One report of each command, of the CPU backend."""
    folder = tmp_path_factory.mktemp("reports")
    common = ["--backend", "cpu", "--quick", "--seconds", "0.0001", "--no-torch"]
    files = []
    for name, options in {
        "kv": ["--tokens", "32", "--only", "paged to contiguous"],
        "calls": ["--only", "event"],
        "decode": ["--sizes", "64K", "--layers", "4"],
        "pipeline": ["--sizes", "64K", "--layers", "3", "--compute", "1"],
    }.items():
        files.append(folder / f"{name}.json")
        done = CliRunner().invoke(
            bench, [name, *common, *options, "--json", str(files[-1])], catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
    return files


def page(*args):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, args)], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_page(reports):
    text = page(*reports)
    for file in reports:
        report = json.loads(file.read_text())
        section = text[text.index(f"\n## {report['bench']}\n") :]
        assert report["environment"]["command"] in section
        assert report["environment"]["date"] in section
        for row in report["rows"]:
            shape = row.get("labels", {}).get("shape")
            name = f"{shape}: {row['name']}" if shape else row["name"]
            (line,) = [x for x in section.splitlines() if x.startswith(f"| {name} |")][:1]
            head = next(x for x in section.splitlines() if x.startswith("| workload |"))
            assert line.count("|") == head.count("|")
    assert text.startswith("# ")
    assert "simulated" not in text


def test_title_and_brief(reports):
    assert page("--title", "One machine", *reports).startswith("# One machine\n")
    lines = page("--brief", *reports).splitlines()
    rows = sum(len(json.loads(file.read_text())["rows"]) for file in reports)
    assert len(lines) == rows + len(reports)


def test_failures_are_shown(reports, tmp_path):
    report = json.loads(reports[0].read_text())
    report["rows"][0] |= {"status": "wrong", "reason": "slot 3 was written"}
    report["simulated"] = True
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps(report))
    text = page(file)
    assert "wrong: slot 3 was written" in text
    assert "**simulated:" in text
    assert "WRONG" in page("--brief", file)
