"""``accel bench decode``: what follows from the times, the command, and what goes wrong."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import accel
from accel import Capability
from accel_tools.bench.cli import bench
from accel_tools.bench.pipeline.decode import DecodeRequest, _ByHand, measure_decode
from accel_tools.bench.pipeline.decode_rows import DecodeRow, ModeTimes
from accel_tools.bench.rows import Status
from accel_tools.bench.site import Site

SMALL = ["decode", "--backend", "cpu", "--quick", "--sizes", "64K", "--layers", "4"]
REQUEST = DecodeRequest(4, 1 << 16, 2.0, 2)


def run(*args):
    return CliRunner().invoke(bench, [*args], catch_exceptions=False)


def row_of(compute, pipelined, synchronous, copy_ms, submits=(1.0, 2.0, 3.0), **options):
    modes = {
        name: ModeTimes.of([(elapsed, submit)])
        for name, elapsed, submit in zip(
            ("compute", "pipelined", "synchronous"),
            (compute, pipelined, synchronous),
            submits,
            strict=True,
        )
    }
    return DecodeRow(
        "row", Status.OK, 10, 8, 2, "native", "pinned", modes=modes, copy_ms=copy_ms, **options
    )


@pytest.mark.parametrize(
    ("compute", "pipelined", "synchronous", "copy_ms", "hidden", "bound"),
    [
        (40.0, 41.0, 60.0, 1.0, 0.9, 10 * 5 / 41),  # compute covers; all but the first are hidden
        (40.0, 40.0, 50.0, 1.0, 1.0, 10 * 5 / 41),
        (10.0, 41.0, 50.0, 4.0, 1 - 31 / 40, 10 * 5 / (4 + 9 * 4 + 1)),  # copies cover
        (40.0, 39.0, 50.0, 1.0, 1.0, 10 * 5 / 41),  # noise is no more than all of it
        (40.0, 90.0, 50.0, 1.0, 0.0, 10 * 5 / 41),
    ],
)
def test_what_follows_from_the_times(compute, pipelined, synchronous, copy_ms, hidden, bound):
    row = row_of(compute, pipelined, synchronous, copy_ms)
    assert row.compute_ms == compute / 10
    assert row.hidden == pytest.approx(hidden)
    assert row.gain == pytest.approx(synchronous / pipelined)
    assert row.bound == pytest.approx(bound)
    assert row.submit_beyond_ms("pipelined") == pytest.approx(0.1)
    assert row.submit_beyond_ms("by hand") is None


def test_a_row_without_figures_has_none():
    row = DecodeRow("row", Status.ERROR, 10, 8, 2, "native", "pinned", reason="why")
    said = row.as_json()
    derived = ("compute_ms", "hidden", "hidden_after_first", "gain", "bound", "submit_beyond_ms")
    assert [said[name] for name in derived] == [None] * 6


def test_medians_over_passes():
    times = ModeTimes.of([(5.0, 1.0), (1.0, 9.0), (3.0, 2.0)])
    assert times == ModeTimes(3.0, 2.0, 1.0, 5.0, 3)


def test_the_command(tmp_path):
    png, file = tmp_path / "x.png", tmp_path / "x.json"
    result = run(*SMALL, "--png", str(png), "--json", str(file))
    assert result.exit_code == 0, result.output
    assert "accel bench decode on cpu (cpu)" in result.stdout
    assert png.read_bytes().startswith(b"\x89PNG\r\n")
    report = json.loads(file.read_text())
    assert (report["schema"], report["bench"]) == ("accel-bench/1", "decode")
    (row,) = report["rows"]
    assert (row["status"], row["checked"], row["layers"]) == ("ok", 2, 4)
    assert set(row["modes"]) == {"compute", "pipelined", "synchronous"}
    for mode in row["modes"].values():
        assert mode["passes"] >= 5
        assert mode["min_ms"] <= mode["elapsed_ms"] <= mode["max_ms"]
    assert set(row["reports"]) == {"pipelined", "synchronous"}
    assert row["reports"]["synchronous"]["hidden"] == 0.0
    assert row["copy_ms"] > 0
    assert row["extent"] % 32 == 0


def test_rows_are_sizes_times_lengths():
    result = run(*SMALL[:3], "--sizes", "1M,8M", "--compute", "1,3.5", "--list")
    assert result.stdout.splitlines() == [
        f"80 x {size}, 3 products of {x} x copy" for size in ("1 MiB", "8 MiB") for x in (1, 3.5)
    ]


def test_a_wrong_layer_is_a_wrong_row(monkeypatch):
    cpu = accel.get_backend("cpu")
    real = cpu.memcpy.copy_async
    monkeypatch.setattr(
        cpu.memcpy, "copy_async", lambda dst, src, stream=None: real(dst[:-1], src[:-1], stream)
    )
    row = measure_decode(REQUEST, Site(cpu), 0.001)
    assert row.status is Status.WRONG
    assert row.reason.startswith("pipelined, layer 0: byte 65535")
    result = run(*SMALL)
    assert result.exit_code == 1
    assert "wrong: 4 x 64 KiB" in result.stdout


def test_unclaimed_is_told(lazy_backend):
    site = Site(lazy_backend(without=[Capability.EVENT_TIMING]))
    row = measure_decode(REQUEST, site, 0.001)
    assert (row.status, row.modes) == (Status.UNSUPPORTED, {})
    assert "does not claim events.timing" in row.reason


def test_what_raises_is_an_error_row(monkeypatch):
    cpu = accel.get_backend("cpu")

    def fail(dst, src, stream=None):
        raise accel.OutOfMemoryError("no more queue")

    monkeypatch.setattr(cpu.memcpy, "copy_async", fail)
    row = measure_decode(REQUEST, Site(cpu), 0.001)
    assert (row.status, row.reason) == (Status.ERROR, "OutOfMemoryError: no more queue")


def test_the_loop_by_hand_keeps_its_order(cpu_module):
    """Every layer is visited once, after its copy; a slot is filled again after its visit."""
    import torch

    said = cpu_module.said
    site = SimpleNamespace(
        backend=SimpleNamespace(device="cpu"),
        empty=lambda kind, size, dtype: torch.zeros(size, dtype=dtype),
    )
    hosts = [torch.full((8,), i, dtype=torch.uint8) for i in range(7)]
    loop = _ByHand(cpu_module, site, hosts, ahead=2)
    loop._compute = cpu_module.Stream("compute")
    seen = []
    loop.run(lambda i, tensor: seen.append((i, int(tensor[0]))))
    assert seen == [(i, i) for i in range(7)]
    # Layer 3 goes where layer 0 was: its copy waits for what was recorded after layer 0.
    waits = [x for x in said if x[0] == "wait"]
    assert [x for x in waits if x[1] == "copies"] == [
        ("wait", "copies", event) for event in (3, 4, 5, 3)
    ]
    assert [x for x in waits if x[1] == "compute"] == [
        ("wait", "compute", event) for event in (0, 1, 2, 0, 1, 2, 0)
    ]


@pytest.fixture
def cpu_module():
    """A device module whose streams run at once, and which keeps what was asked."""
    from contextlib import nullcontext

    said, made = [], iter(range(100))

    class Stream:
        def __init__(self, name="copies", device=None):
            self.name = name

        def wait_stream(self, other): ...

        def wait_event(self, event):
            said.append(("wait", self.name, event.number))

    class Event:
        def __init__(self):
            self.number = next(made)

        def record(self, stream):
            said.append(("record", stream.name, self.number))

    return SimpleNamespace(
        said=said, Stream=Stream, Event=Event, stream=lambda stream: nullcontext()
    )
