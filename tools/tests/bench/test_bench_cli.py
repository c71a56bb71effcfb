"""The commands as they are typed: table, JSON, exit status, messages."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

import accel
from accel import Capability
from accel_tools.bench import shapes
from accel_tools.bench.cli import bench
from accel_tools.bench.report import SCHEMA, fixed, seconds_name

FAST = ["--seconds", "0.0001", "--max-bytes", "64KiB"]
KV = ["kv", "--shape", "tiny", "--tokens", "40", "--seconds", "0.0001"]


@pytest.fixture
def use(lazy_backend, monkeypatch):
    """``use(...)`` makes a backend that the commands then get."""

    def make(**options):
        backend = lazy_backend(**options)
        monkeypatch.setattr(accel, "get_backend", lambda name=None, device=None: backend)
        return backend

    return make


@pytest.fixture(autouse=True)
def tiny_shape(monkeypatch):
    tiny = shapes.KVShape("tiny", 2, 2, 8)
    monkeypatch.setitem(shapes.SHAPES, "tiny", tiny)
    # The option's choices were read when the command was made.
    option = next(p for p in bench.commands["kv"].params if p.name == "shapes")
    monkeypatch.setattr(option.type, "choices", [*option.type.choices, "tiny"])


def run(*args):
    return CliRunner().invoke(bench, [*args], catch_exceptions=False)


def report_of(result):
    return json.loads(result.stdout)


def test_table(use):
    use()
    result = run(*KV)
    assert result.exit_code == 0
    assert "accel bench kv on lazy (cpu)" in result.stdout
    line = next(x for x in result.stdout.splitlines() if "write, one layer" in x)
    cells = [c.strip() for c in re.split("[│┃|]", line)][1:-1]
    assert cells[:3] == ["tiny", "write, one layer, 40 tokens", f"{40 * 2 * 16 * 2:,}"]
    assert re.fullmatch(r"[\d.]+ (us|ms|s)", cells[3])
    assert cells[4] == "-", "host time is apart only where the device is not the host"
    assert re.fullmatch(r"[\d.]+%", cells[6])
    assert all(re.fullmatch(r"[\d.]+", c) for c in (cells[5], *cells[7:9]))
    assert cells[9:] == ["-", "composed", "yes"]
    assert "accel-lazy 1.2.3" in result.stdout
    assert "seed 0" in result.stdout
    assert "simulated" not in result.stdout


def test_json_on_standard_output_is_the_whole_output(use):
    use()
    report = report_of(run(*KV, "--json", "--seed", "7"))
    assert report["schema"] == SCHEMA == "accel-bench/1"
    assert report["bench"] == "kv"
    assert report["simulated"] is False
    environment = report["environment"]
    assert environment["seed"] == 7
    assert environment["backend"]["distribution"] == "accel-lazy"
    assert environment["backend"]["version"] == "1.2.3"
    for key in ("date", "command", "chip", "torch", "python", "torch_threads", "cpus"):
        assert environment[key], key
    row = next(r for r in report["rows"] if r["name"].startswith("paged to contiguous, token"))
    assert row["status"] == "ok"
    assert row["capability"] == "kv.transfer"
    assert row["labels"]["src_layout"] == "vllm_nhd"
    assert row["labels"]["tokens"] == 40
    assert set(row["seconds"]) == {"median", "min", "max", "repeats", "calls"}
    assert row["gb_per_s"] == pytest.approx(row["bytes"] / row["seconds"]["median"] / 1e9)
    assert [c["allocates"] for c in row["torch"]] == [False, True]
    for other in (row["memcpy"], *row["torch"]):
        ratio = other["seconds"]["median"] / row["seconds"]["median"]
        assert other["ratio"] == pytest.approx(ratio)


def test_json_to_a_file_beside_the_table(use, tmp_path):
    use()
    path = tmp_path / "out.json"
    result = run("memcpy", *FAST, "--json", str(path))
    assert "accel bench memcpy" in result.stdout
    rows = json.loads(path.read_text())["rows"]
    assert [r["bytes"] for r in rows if r["name"].startswith("copy host to host")] == [4096, 65536]


def test_a_wrong_result_exits_with_1_and_is_told(use):
    backend = use()
    good = backend.kv.write
    backend.kv.write = lambda *a, **k: good(*a, **k) if "key_scale" in k else None
    result = run(*KV)
    assert result.exit_code == 1
    assert "WRONG" in result.stdout
    assert "wrong: write, one layer, 40 tokens: layer 1 plane 0: slot" in result.stdout
    assert result.stdout.count("WRONG") == 1, "the other rows are measured all the same"
    result = run(*KV, "--json")
    assert result.exit_code == 1
    assert [r["name"] for r in report_of(result)["rows"] if r["status"] == "wrong"] == [
        "write, one layer, 40 tokens"
    ]


def test_a_claim_that_does_not_hold_exits_with_1(use):
    backend = use()

    def gather(*args, **options):
        raise accel.CapabilityError("kv.gather", "lazy")

    backend.kv.gather = gather
    result = run(*KV, "--only", "gather")
    assert result.exit_code == 1
    assert "ERROR" in result.stdout
    assert "CapabilityError: backend 'lazy' does not support 'kv.gather'" in result.stdout


def test_an_unclaimed_capability_exits_with_0_and_is_told(use):
    use(without=[Capability.KV_GATHER])
    result = run(*KV, "--only", "gather")
    assert result.exit_code == 0
    assert "unsupported: backend 'lazy' does not claim" in " ".join(result.stdout.split())


def test_simulated_is_said_everywhere(use):
    use(simulated=True)
    result = run("memcpy", *FAST, "--only", "4 KiB")
    title, *rest = result.stdout.splitlines()
    assert "simulated" in title
    assert all("composed, simulated" in x for x in rest if "copy host" in x)
    assert "no figure here is a measurement of hardware" in result.stdout
    report = report_of(run("memcpy", *FAST, "--only", "4 KiB", "--json"))
    assert report["simulated"] is True
    assert report["environment"]["backend"]["simulated"] is True
    assert {r["simulated"] for r in report["rows"]} == {True}


def test_list_and_only_measure_nothing_else(use):
    backend = use()
    backend.kv = backend.memcpy = None
    result = run(*KV, "--list", "--only", "call: * to *")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 6
    result = run(*KV, "--only", "no such row")
    assert result.exit_code == 2
    assert "nothing to measure: no row matches no such row" in result.stderr


def test_layout_adds_rows(use):
    use()
    names = run(*KV, "--list", "--layout", "flashinfer", "--layout", "L | K B H D1 S D0").stdout
    assert "vllm_nhd to flashinfer, token grain, 40 tokens" in names
    assert "L | K B H D1 S D0 to vllm_nhd, block grain, 48 tokens" in names
    result = run(*KV, "--layout", "L | K B S Q D")
    assert result.exit_code == 2
    assert "unknown axis 'Q'" in result.stderr


def test_a_count_that_does_not_fit_is_told(use):
    use()
    result = run(*KV[:-4], "--tokens", "8,4000", "--seconds", "0.0001", "--max-bytes", "100K")
    assert result.exit_code == 0
    assert "tiny, 4000 tokens: a payload of 512,000 bytes exceeds" in result.stdout
    result = run(*KV[:-4], "--tokens", "4000", "--max-bytes", "100K")
    assert result.exit_code == 2
    assert "4000 tokens" in result.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["memcpy", "--max-bytes", "12Q"], "not a size"),
        (["memcpy", "--max-bytes", "0"], "not a size"),
        (["memcpy", "--seconds", "0"], "x>0"),
        (["kv", "--tokens", "1,x"], "not a list"),
        (["kv", "--tokens", "0"], "not a list"),
        (["kv", "--shape", "gpt-9"], "llama-3-8b"),
        (["kv", "--index", "moon"], "device"),
        (["memcpy", "--json", "no/such/directory/out.json"], "no such directory"),
    ],
)
def test_bad_options_name_what_is_expected(use, args, said):
    use()
    result = run(*args)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [("65536", 65536), ("64K", 65536), ("64kib", 65536), ("2MB", 2 << 20), ("1 GiB", 1 << 30)],
)
def test_sizes(text, nbytes):
    from accel_tools.bench.cli import _bytes

    assert _bytes(None, None, text) == nbytes


def test_no_backend_is_a_message_and_no_traceback(monkeypatch):
    def fail(name=None, device=None):
        raise accel.BackendNotFoundError("no backend 'moon'", "pip install accel-moon")

    monkeypatch.setattr(accel, "get_backend", fail)
    result = run("memcpy", "--backend", "moon")
    assert result.exit_code == 1
    assert "no backend 'moon' Cure: pip install accel-moon" in result.stderr
    assert "Traceback" not in result.output


def test_on_an_installed_backend():
    """The real thing once, end to end: discovery, a plugin's own providers, JSON."""
    args = ["--backend", "cpu-reference", "--json", "--seconds", "0.001"]
    report = report_of(run("kv", *args, "--shape", "tiny", "--tokens", "20"))
    assert report["environment"]["backend"]["name"] == "cpu-reference"
    assert {r["status"] for r in report["rows"]} <= {"ok", "unsupported"}
    assert sum(r["status"] == "ok" for r in report["rows"]) >= 15
    report = report_of(run("memcpy", *args, "--max-bytes", "4KiB", "--only", "copy"))
    assert {r["status"] for r in report["rows"]} == {"ok"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "0"), (0.01234, "0.0123"), (0.5, "0.50"), (12.34, "12.3"), (1234.5, "1234")],
)
def test_fixed(value, text):
    assert fixed(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.5e-6, "1.50 us"), (0.00123, "1.23 ms"), (2.0, "2.00 s"), (0.5e-7, "0.0500 us")],
)
def test_seconds_names(seconds, text):
    assert seconds_name(seconds) == text


def test_the_command_imports_torch_only_to_measure():
    code = "import sys, accel_tools.bench.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
