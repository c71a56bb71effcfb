"""``accel bench pipeline``: figures, table, JSON, the picture, and what goes wrong."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from click.testing import CliRunner

import accel
from accel import Capability
from accel.pipeline import LayerReport, PipelineReport
from accel_tools.bench.charts import SHADES, Bar, Chart, draw_charts
from accel_tools.bench.cli import bench
from accel_tools.bench.pipeline.rows import ModeFigures
from accel_tools.bench.pipeline.timeline import spans

FAST = ["pipeline", "--backend", "cpu", "--seconds", "0.01", "--layers", "3"]
BACKEND = {"name": "cpu", "device": "cpu"}
REPORT = {"bench": "pipeline", "simulated": False, "environment": {"backend": BACKEND}}
SMALL = [*FAST, "--sizes", "64K", "--compute", "2"]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(*args):
    return CliRunner().invoke(bench, [*args], catch_exceptions=False)


def report_of(result):
    return json.loads(result.stdout)


def test_rows_are_sizes_times_lengths():
    result = run(*FAST, "--sizes", "64K,1M,64K", "--compute", "0,1.5", "--write-back", "--list")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"3 x {size}, compute {x} x copy, written back"
        for size in ("64 KiB", "1 MiB")
        for x in ("0", "1.5")
    ]
    result = run(*FAST, "--list", "--only", "8 MiB")
    assert len(result.stdout.splitlines()) == 3


def test_table():
    result = run(*SMALL)
    assert result.exit_code == 0, result.output
    assert "accel bench pipeline on cpu (cpu)" in result.stdout
    line = next(x for x in result.stdout.splitlines() if "3 x 64 KiB" in x)
    cells = [c.strip() for c in line.strip("│┃|").split("│")]
    assert cells[0] == "3 x 64 KiB, compute 2 x copy"
    assert cells[-1] == "yes"
    assert cells[6].endswith("%")
    assert len(cells) == 11


@pytest.mark.parametrize("options", [[], ["--write-back", "--ahead", "1"]])
def test_json(options):
    report = report_of(run(*SMALL, "--compute", "20", *options, "--json"))
    assert (report["schema"], report["bench"]) == ("accel-bench/1", "pipeline")
    (row,) = report["rows"]
    assert (row["status"], row["checked"], row["bytes"]) == ("ok", 2, 3 << 16)
    asked = row["labels"]
    assert asked["compute_ms"] == pytest.approx(20 * asked["copy_ms"])
    for mode in ("pipelined", "synchronous"):
        figures = row[mode]
        assert figures["mode"] == mode
        assert figures["passes"] >= 3
        assert figures["compute_ms"] >= 3 * asked["compute_ms"]
        assert figures["elapsed_ms"] >= figures["compute_ms"]
        spread = figures["elapsed_ms_of_passes"]
        assert spread["min"] <= figures["elapsed_ms"] <= spread["max"]
        for i, layer in enumerate(figures["layers"]):
            assert layer["index"] == i
            assert layer["copy"][1] <= layer["compute"][0] <= layer["compute"][1]
            assert (layer["write_back"] is None) == (not options)
    assert row["synchronous"]["hidden"] == 0.0
    assert row["synchronous"]["elapsed_ms"] >= (
        row["synchronous"]["copy_ms"] + row["synchronous"]["compute_ms"]
    )
    assert row["speedup"] == pytest.approx(
        row["synchronous"]["elapsed_ms"] / row["pipelined"]["elapsed_ms"]
    )


def test_picture(tmp_path, picture):
    file = tmp_path / "streams.png"
    result = run(*SMALL, "--write-back", "--png", str(file), "--json", str(tmp_path / "x.json"))
    assert result.exit_code == 0, result.output
    data = file.read_bytes()
    assert data.startswith(b"\x89PNG\r\n")
    size, shown = picture(file)
    assert size[0] > 300
    assert size[1] > 1000
    for kind in ("compute", "copy", "write_back"):
        assert SHADES[kind][0] in shown, "a lane is missing"
    assert json.loads((tmp_path / "x.json").read_text())["rows"]


@pytest.mark.parametrize("start", [0.1, 31.415, 50.0, 77.77, 99.9])
def test_a_bar_of_no_length_is_seen(tmp_path, picture, start):
    lanes = ("compute", "copies")
    bars = (Bar("compute", "compute", 0, 0.0, 100.0), Bar("copies", "write_back", 0, start, start))
    draw_charts(tmp_path / "x.png", REPORT, [[Chart("t", lanes, bars)]], "the start")
    assert SHADES["write_back"][0] in picture(tmp_path / "x.png")[1]


def test_what_the_picture_shows():
    layers = (
        LayerReport(0, 10, 0.1, (0.0, 4.0), (0.0, 4.0), (4.0, 9.0), None, 4.0),
        LayerReport(1, 10, 0.1, (4.0, 8.0), (9.0, 9.0), (9.0, 14.0), (14.0, 15.0), 0.0),
        LayerReport(2, 10, 0.0, (9.0, 12.0), None, None, None, 0.0),
    )
    passed = PipelineReport("pipelined", False, layers, 15.0)
    assert sorted(spans(passed)) == [
        ("compute", 0, 4.0, 9.0),
        ("compute", 1, 9.0, 14.0),
        ("copy", 0, 0.0, 4.0),
        ("copy", 1, 4.0, 8.0),
        ("copy", 2, 9.0, 12.0),
        ("wait", 0, 0.0, 4.0),
        ("wait", 1, 9.0, 9.0),
        ("write_back", 1, 14.0, 15.0),
    ]


def test_the_typical_pass_is_the_one_in_the_middle():
    reports = [PipelineReport("pipelined", True, (), ms) for ms in (5.0, 1.0, 9.0, 3.0)]
    figures = ModeFigures.of(reports)
    assert figures.elapsed_ms == 3.0
    assert figures.as_json()["elapsed_ms_of_passes"] == {"min": 1.0, "median": 4.0, "max": 9.0}


def test_without_matplotlib_the_cure_is_said_first(tmp_path, monkeypatch):
    for name in [n for n in sys.modules if n.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("accel_tools.bench.pipeline.command.run_pipelines", None)
    result = run(*SMALL, "--png", str(tmp_path / "x.png"))
    assert result.exit_code == 1
    assert "pip install 'accel-tools[png]'" in result.output
    assert not list(tmp_path.iterdir())


def test_a_wrong_layer_is_a_failure(monkeypatch, tmp_path):
    cpu = accel.get_backend("cpu")
    real = cpu.memcpy.copy_async

    def late(dst, src, stream=None):
        """Copies all but the last byte."""
        real(dst[:-1], src[:-1], stream)

    monkeypatch.setattr(cpu.memcpy, "copy_async", late)
    result = run(*SMALL, "--png", str(tmp_path / "x.png"), "--json")
    assert result.exit_code == 1
    (row,) = report_of(result)["rows"]
    assert row["status"] == "wrong"
    assert "pipelined, layer 0: byte 65535" in row["reason"]
    assert not list(tmp_path.iterdir())
    assert "was not written" in result.stderr
    assert "wrong: 3 x 64 KiB" in run(*SMALL).stdout


def test_what_raises_is_an_error_row(monkeypatch):
    cpu = accel.get_backend("cpu")

    def fail(dst, src, stream=None):
        raise accel.OutOfMemoryError("no more queue")

    monkeypatch.setattr(cpu.memcpy, "copy_async", fail)
    result = run(*SMALL, "--json")
    assert result.exit_code == 1
    assert report_of(result)["rows"][0]["reason"] == "OutOfMemoryError: no more queue"


def test_unclaimed_exits_with_0_and_is_told():
    args = ["pipeline", "--backend", "cpu-reference", "--sizes", "4K", "--compute", "1"]
    result = run(*args)
    assert result.exit_code == 0
    said = " ".join(result.stdout.split())
    assert f"backend 'cpu-reference' does not claim {Capability.STREAM_CALLBACK}" in said
    assert "unsupported: 12 x 4 KiB, compute 1 x copy" in said


def test_what_does_not_fit_is_told(monkeypatch):
    result = run(*FAST, "--sizes", "4K,1M", "--compute", "1", "--max-bytes", "1M")
    assert result.exit_code == 0
    assert "3 layers of 1 MiB exceed --max-bytes 1 MiB" in " ".join(result.stdout.split())
    result = run(*FAST, "--sizes", "1M", "--max-bytes", "1M")
    assert result.exit_code == 2
    monkeypatch.setattr("accel_tools.bench.pipeline.command._half_the_memory", lambda: 1000)
    (row,) = report_of(run(*SMALL, "--json"))["rows"]
    assert row["status"] == "skipped"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--sizes", "1M,x"], "not a size"),
        (["--compute", "1,fast"], "not a list such as 0.5,2"),
        (["--compute", "-1"], "not a list"),
        (["--layers", "1"], "2<=x"),
        (["--ahead", "0"], "1<=x"),
        (["--png", "no/such/directory/x.png"], "no such directory"),
        (["--json", "no/such/directory/x.json"], "no such directory"),
        (["--only", "no such row"], "nothing to measure"),
    ],
)
def test_bad_options_name_what_is_expected(args, said):
    result = run("pipeline", "--backend", "cpu", *args)
    assert result.exit_code == 2
    assert said in result.stderr
