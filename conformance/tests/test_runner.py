"""The command: exit status, reports, seeds, expected failures, crashes and hangs."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accel_conformance.report import Report

Run = Callable[..., subprocess.CompletedProcess[str]]


def _load(path: Path) -> Any:
    document = json.loads(path.read_text(encoding="utf-8"))
    Report.from_json(document)  # checks it against the schema
    return document


def test_good_run_in_two_workers(conformance: Run, tmp_path: Path) -> None:
    """All reports are written and agree; the terminal shows levels, capabilities and the seed."""
    done = conformance(
        *("run", "--backend", "defect-none", "-n", "2", "--seed", "7", "--level", "L1"),
        *("-k", "odd_shapes or dtypes or torch_object"),
        *("--json", "r.json", "--markdown", "r.md", "--html", "sub/r.html"),
        *("--junit", "r.xml", "--badge", "r.svg"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = _load(tmp_path / "r.json")
    totals = report["totals"]
    assert report["ok"]
    assert totals["passed"] > 10
    assert totals["passed"] + totals["skipped"] == totals["cases"] == len(report["cases"])
    assert {c["worker"] for c in report["cases"]} == {"gw0", "gw1"}
    assert report["environment"]["seed"] == 7
    skipped = [c for c in report["cases"] if c["outcome"] == "skipped"]
    assert [c["message"] for c in skipped] == ["missing capability streams.torch"]
    verdicts = {v["capability"]: v for v in report["capabilities"]}
    assert verdicts["memcpy.copy"]["verified"] == "yes"
    assert verdicts["kv.gather"]["verified"] == "no"
    assert "seed 7" in done.stdout
    assert "streams, events, pinned memory, memcpy" in done.stdout
    assert "skipped 1: missing capability streams.torch" in done.stdout
    suites = ET.parse(tmp_path / "r.xml").getroot()
    assert suites.get("tests") == str(totals["cases"])
    assert len(suites.findall(".//testcase")) == totals["cases"]
    for name in ("r.md", "sub/r.html", "r.svg"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "defect-none" in text
        assert "simulated" not in text
    again = conformance("report", "r.json", "--form", "markdown")
    assert again.returncode == 0
    assert again.stdout == (tmp_path / "r.md").read_text(encoding="utf-8")


def test_failure_and_its_command(conformance: Run, tmp_path: Path) -> None:
    """A failure exits with 1; the printed command repeats that case alone, on the same bytes."""
    done = conformance(
        *("run", "--backend", "defect-copy-short", "-n", "2", "--seed", "99"),
        *("--case", "L1-memcpy::sizes", "--json", "first.json"),
    )
    assert done.returncode == 1
    first = _load(tmp_path / "first.json")
    assert not first["ok"]
    failed = [c for c in first["cases"] if c["outcome"] == "failed"]
    assert len(failed) >= 10
    chosen = next(c for c in failed if c["id"] == "L1-memcpy::sizes[4096-copy]")
    assert chosen["parameters"] == {"nbytes": "4096", "how": "copy"}
    assert "1 of 4096 bytes differ, the first at 4095" in chosen["message"]
    assert chosen["rerun"] in done.stdout
    words = shlex.split(chosen["rerun"])
    assert words[0] == "accel-conformance"
    again = conformance(*words[1:], "-n", "0", "--json", "again.json")
    assert again.returncode == 1
    second = _load(tmp_path / "again.json")
    assert [c["id"] for c in second["cases"]] == [chosen["id"]]
    # The message holds the random byte that was expected: same seed, same data.
    assert second["cases"][0]["message"] == chosen["message"]
    other = conformance(*words[1:], "--seed", "100", "-n", "0", "--json", "other.json")
    assert other.returncode == 1
    assert _load(tmp_path / "other.json")["cases"][0]["message"] != chosen["message"]
    shown = conformance("report", "first.json")
    assert shown.returncode == 1
    assert chosen["rerun"] in shown.stdout


def test_default_reports(conformance: Run, tmp_path: Path) -> None:
    """A whole level writes reports/ by itself; a run of chosen cases writes nothing unasked."""
    done = conformance("run", "--backend", "defect-none", "-n", "0", "--case", "L1-memcpy::large")
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
    done = conformance("run", "--backend", "defect-crash", "-n", "0", "--level", "L9")
    assert done.returncode == 2
    assert "L0 to L4" in done.stderr
    done = conformance("run", "--backend", "defect-none", "-n", "2", "--level", "0", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    names = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*"))
    expected = ["conformance-defect-none.json", "conformance-defect-none.md"]
    assert names == [str(Path("reports", name)) for name in expected]
    document = _load(tmp_path / names[0])
    assert document["environment"]["quick"]
    assert {c["level"] for c in document["cases"]} == {0}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--backend", "no-such-backend"), "no-such-backend"),
        (("--backend", "defect-none", "--case", "L1-memcpy::nothing"), "L1-memcpy::nothing"),
        (("--backend", "defect-stale", "-k", "large"), "L1-memcpy::no_such_case*"),
        (("--backend", "defect-none", "-k", "no_such_word"), "no case ran"),
    ],
)
@pytest.mark.parametrize("workers", ["0", "2"])
def test_nothing_to_run(
    conformance: Run, arguments: tuple[str, ...], said: str, workers: str
) -> None:
    """An unknown backend or case, a stale expected failure, nothing chosen: not 0, and said why."""
    done = conformance("run", "-n", workers, *arguments)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert said in output
    assert "Traceback" not in output and 'File "' not in output


@pytest.mark.parametrize(
    ("backend", "outcome", "code"), [("xfail", "xfailed", 0), ("xpass", "xpassed", 1)]
)
def test_expected_failures(
    conformance: Run, tmp_path: Path, backend: str, outcome: str, code: int
) -> None:
    """A declared failure that fails is fine; one that passes is an error."""
    done = conformance(
        *("run", "--backend", f"defect-{backend}", "-n", "1", "--json", "r.json"),
        *("--case", "L1-memcpy::fill_raw", "--case", "L1-memcpy::raw_null"),
    )
    assert done.returncode == code, done.stdout + done.stderr
    results = {c["id"]: c for c in _load(tmp_path / "r.json")["cases"]}
    assert results["L1-memcpy::fill_raw"]["outcome"] == outcome
    assert "no fill today" in results["L1-memcpy::fill_raw"]["message"]
    assert results["L1-memcpy::raw_null"]["outcome"] == "passed"


@pytest.mark.parametrize(("backend", "trace"), [("crash", "string_at"), ("hang", "Timeout")])
def test_crash_and_hang(conformance: Run, tmp_path: Path, backend: str, trace: str) -> None:
    """Native code that crashes or never returns fails its case, with a traceback; others go on."""
    done = conformance(
        *("run", "--backend", f"defect-{backend}", "-n", "1", "--patience", "0.1"),
        *("--case", "L1-memcpy::fill_raw", "--case", "L1-memcpy::large", "--json", "r.json"),
        *("--case", "L1-memcpy::raw_null", "--seed", "5"),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    results = {c["id"]: c for c in _load(tmp_path / "r.json")["cases"]}
    assert results["L1-memcpy::raw_null"]["outcome"] == "passed"
    assert results["L1-memcpy::large"]["outcome"] == "passed"
    bad = results["L1-memcpy::fill_raw"]
    assert bad["outcome"] == "failed"
    assert "crashed" in bad["message"]
    assert trace in bad["details"]
    assert bad["capabilities"] == ["streams", "memcpy.fill", "memcpy.raw"]


def test_simulated_everywhere(conformance: Run, tmp_path: Path) -> None:
    """What ran on a simulator says so in every form."""
    done = conformance(
        *("run", "--backend", "defect-simulated", "-n", "0", "--case", "L1-memcpy::odd_shapes"),
        *("--json", "r.json", "--markdown", "r.md", "--html", "r.html"),
        *("--badge", "r.svg", "--junit", "r.xml"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = _load(tmp_path / "r.json")
    assert document["simulated"] is True
    assert "simulated" in document["title"]
    for name in ("r.md", "r.html", "r.svg", "r.xml"):
        assert "simulated" in (tmp_path / name).read_text(encoding="utf-8"), name
    titles = [line for line in done.stdout.splitlines() if "simulated" in line]
    assert len(titles) >= 4, done.stdout  # head, both tables, verdict


def test_works_but_not_claimed(conformance: Run, tmp_path: Path) -> None:
    """A capability that works though nobody claims it is a warning, and no failure."""
    done = conformance(
        *("run", "--backend", "defect-unclaimed", "-n", "0", "--json", "r.json"),
        *("--case", "L0-capabilities::honest", "--case", "L1-memcpy::rows"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = _load(tmp_path / "r.json")
    verdict = next(v for v in document["capabilities"] if v["capability"] == "memcpy.2d")
    assert verdict["note"] == "memcpy.2d works but is not claimed"
    assert "works but is not claimed" in done.stdout
    assert {c["message"] for c in document["cases"] if c["outcome"] == "skipped"} == {
        "missing capability memcpy.2d"
    }


def test_as_a_pytest_plugin(defect_environment: dict[str, str], tmp_path: Path) -> None:
    """``pytest --pyargs accel_conformance --accel-backend X`` is the same."""
    command = [sys.executable, "-m", "pytest", "-q", "--pyargs", "accel_conformance"]
    command += ["--accel-backend", "defect-none", "--accel-case", "L1-memcpy::odd_shapes"]
    command += ["--accel-json", str(tmp_path / "r.json"), "-p", "no:cacheprovider"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=defect_environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert _load(tmp_path / "r.json")["totals"]["passed"] == 6
    assert "6 passed" in done.stdout
    assert "capabilities" in done.stdout


def test_cases_leave_nothing(defect_environment: dict[str, str], tmp_path: Path) -> None:
    """A device has few streams: those of a case are free when the next one runs."""
    (tmp_path / "counting.py").write_text(
        "import gc\n"
        "def pytest_sessionfinish(session):\n"
        "    from accel_conformance.gates import Gates\n"
        "    gc.unfreeze()\n"
        "    gc.collect()\n"
        "    print('gates left:', sum(type(x) is Gates for x in gc.get_objects()))\n"
    )
    path = os.pathsep.join([str(tmp_path), defect_environment.get("PYTHONPATH", "")])
    command = [
        sys.executable, "-m", "pytest", "-q", "-s", "-p", "counting", "-p", "no:cacheprovider",
        "--pyargs", "accel_conformance.cases.streams_order", "--accel-backend", "cpu", "-k", "fifo",
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path,
        env={**defect_environment, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gates left: 0" in done.stdout


def test_plugin_is_inert(pytester_like: Callable[..., str]) -> None:
    """Without --accel-backend the plugin imports nothing and defines no fixture."""
    loaded = pytester_like(
        "import sys\n"
        "def test_light(request):\n"
        "    assert 'torch' not in sys.modules\n"
        "    assert 'accel_conformance.fixtures' not in sys.modules\n"
        "    assert not request.config.pluginmanager.hasplugin('accel-conformance-fixtures')\n"
    )
    assert "1 passed" in loaded


@pytest.fixture
def pytester_like(tmp_path: Path) -> Callable[..., str]:
    def run(source: str) -> str:
        (tmp_path / "test_inner.py").write_text(source, encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.stdout

    return run


def test_list(conformance: Run) -> None:
    """list shows every case with its needs and one line, by level, also as JSON."""
    done = conformance("list")
    assert done.returncode == 0, done.stderr
    assert "L1-memcpy::strides" in done.stdout
    assert "pinned.shared" in done.stdout
    entries = json.loads(conformance("list", "--json", "--level", "L1..L2").stdout)
    assert {e["level"] for e in entries} == {1, 2}
    assert len({e["id"] for e in entries}) == len(entries)
    assert all(e["summary"] for e in entries)


def test_a_run_that_is_interrupted_is_not_conformant(tmp_path: Path) -> None:
    """What ran is in the report, and so is that the rest did not."""
    report = tmp_path / "x.json"
    command = [
        sys.executable, "-m", "accel_conformance", "run", "--backend", "cpu", "-n", "1", "--quick",
        "--level", "L1..L2", "--json", str(report), "--markdown", str(tmp_path / "x.md"),
    ]  # fmt: skip
    # A background job starts without a handler, and so would its children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with run:
        assert run.stdout is not None
        said = []
        for line in run.stdout:
            said.append(line)
            if " cases done" in line and not line.startswith("0 "):
                break
        run.send_signal(signal.SIGINT)
        said += run.stdout.readlines()
    assert run.returncode not in (0, None)
    found = json.loads(report.read_text())
    assert found["cases"]
    assert found["ok"] is False
    assert any("cases did not report an outcome" in problem for problem in found["problems"])
    assert any("NOT conformant" in line for line in said), "".join(said[-5:])
