"""Rows of a device with memory of its own: a fake one, whose streams run when waited for."""

from __future__ import annotations

import itertools
import json
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

import accel
from accel_tools.bench import measure
from accel_tools.bench.bars import draw_bars
from accel_tools.bench.cli import bench
from accel_tools.bench.families import kv_duplex, kv_layouts, kv_quantization
from accel_tools.bench.kv_setting import KVSetting
from accel_tools.bench.measure import Budget, EventClock, in_turns
from accel_tools.bench.rows import Status
from accel_tools.bench.runner import run_all, selected
from accel_tools.bench.shapes import KVShape
from accel_tools.bench.site import POISON, Site
from accel_tools.bench.suites import KVRequest, calls_suite, kv_suite, memcpy_suite
from accel_tools.bench.workload import run_workload

BUDGET = Budget(seconds=0.001, min_repeats=2, max_repeats=2, warmup=1, limit=1e9, pause=0.0)
SHAPE = KVShape("tiny", 3, 2, 8)
MAX = 1 << 20


def rows_of(site, workloads):
    rows = run_all(list(workloads), site, BUDGET)
    assert [r.reason for r in rows] == [""] * len(rows)
    return rows


def kv_named(site, name, **request):
    rows = kv_suite(site, KVRequest((SHAPE,), (40,), **request), 1 << 30)[0]
    return next(w for w in rows if w.name.startswith(name))


@pytest.fixture(scope="module")
def cpu():
    return accel.get_backend("cpu")


# --- data and comparisons --------------------------------------------------------------------


@pytest.mark.parametrize("operators", [False, True])
def test_data_is_random_and_the_same_for_a_seed(lazy_backend, operators):
    site = Site(lazy_backend(), separate=True, operators=operators)
    made = [torch.zeros(4099, dtype=torch.uint8) for _ in range(3)]
    for tensor, what in zip(made, ("x", "x", "y"), strict=True):
        site.randomise(tensor, site.generator(what))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    assert len(made[0].unique()) == 256
    site.poison(made[0])
    assert made[0].eq(POISON).all()


def test_operators_are_found_out(lazy_backend, monkeypatch):
    assert Site(lazy_backend(), separate=True).operators
    assert not Site(lazy_backend(), separate=False).operators

    def lacking(*args, **options):
        raise NotImplementedError("no kernel for this device")

    monkeypatch.setattr(torch.Tensor, "index_select", lacking)
    site = Site(lazy_backend(), separate=True)
    assert not site.operators
    assert site.checking == torch.device("cpu")


@pytest.mark.parametrize("operators", [False, True])
def test_a_wrong_transfer_is_seen_wherever_it_is_compared(lazy_backend, operators):
    backend = lazy_backend()
    site = Site(backend, separate=True, operators=operators)
    good = backend.kv.transfer
    for bad, what in (
        (lambda s, d, a, b, **k: good(s, d, a[:-1], b[:-1], **k), "does not hold slot"),
        (lambda s, d, a, b, **k: good(s, d, a.flip(0), b, **k), "does not hold slot"),
    ):
        for name in ("paged to contiguous in device", "paged to contiguous in pinned"):
            backend.kv.transfer = good
            assert run_workload(kv_named(site, name), site, BUDGET).status is Status.OK
            backend.kv.transfer = bad
            row = run_workload(kv_named(site, name), site, BUDGET)
            assert row.status is Status.WRONG
            assert what in row.reason


# --- caches and clocks -----------------------------------------------------------------------


def test_small_rows_go_round_buffers_past_the_cache(lazy_backend):
    backend = lazy_backend()
    seen: list[tuple[int, int]] = []
    good = backend.memcpy.copy_async

    def copy_async(dst, src, stream=None):
        seen.append((dst.data_ptr(), src.data_ptr()))
        good(dst, src, stream)

    backend.memcpy.copy_async = copy_async
    site = Site(backend, separate=True, cache_bytes=1 << 20)
    name = "copy device to device, 64 KiB"
    row = run_workload(next(iter(selected(memcpy_suite(site, MAX), [name]))), site, BUDGET)
    assert (row.status, row.sets, row.checked) == (Status.OK, 16, 2)
    assert len({dst for dst, _ in seen}) > 16, "the row's own sets, and the plain copy's"
    seen.clear()
    _, plain = site.plain_copy("device", "device", 1000, site.clock(), sets=5)
    for _ in range(11):
        plain()
    assert len({dst for dst, _ in seen}) == len({src for _, src in seen}) == 5
    assert seen[:5] == seen[5:10]
    gaps = [b - a for a, b in itertools.pairwise(sorted({dst for dst, _ in seen}))]
    assert gaps == [4096] * 4
    assert [site.sets(n) for n in (0, 1, 1 << 19, 1 << 21, 1 << 30)] == [1, 32, 4, 1, 1]
    assert Site(backend, separate=False, cache_bytes=1 << 20).sets(1) == 1


def test_every_set_is_checked(lazy_backend):
    """A call that serves one set only is wrong."""
    backend = lazy_backend()
    site = Site(backend, separate=True, cache_bytes=1 << 20)
    good, first = backend.kv.transfer, []

    def transfer(src, dst, a, b, **options):
        first[:] = first or [dst]
        good(src, first[0], a, b, **options)

    backend.kv.transfer = transfer
    row = run_workload(kv_named(site, "paged to contiguous in device"), site, BUDGET)
    assert row.status is Status.WRONG


def test_in_turns():
    said: list[int] = []
    call = in_turns([lambda i=i: said.append(i) for i in range(3)])
    for _ in range(7):
        call()
    assert said == [0, 1, 2, 0, 1, 2, 0]
    only = lambda: None  # noqa: E731
    assert in_turns([only]) is only


def test_the_host_gets_ahead_of_the_device(monkeypatch):
    """The slower the host, the longer the device is kept busy first; and not for ever."""
    now = [0.0]
    monkeypatch.setattr(measure, "perf_counter", lambda: now[0])
    event = SimpleNamespace(
        record=lambda: None, synchronize=lambda: None, elapsed_time=lambda end: 1.0
    )
    ahead: list[int] = []
    clock = EventClock(event, event, lambda: ahead.append(1), 0.001)

    def work():
        now[0] += 0.0012

    lengths = []
    for calls in (1, 2, 2, 2, 100, 100, 100, 100, 1, 1):
        ahead.clear()
        clock.time(work, calls)
        lengths.append(len(ahead))
    assert lengths == [1, 2, 4, 4, 4, 8, 16, 16, 16, 2]


def test_host_and_device_time_are_apart(lazy_backend):
    site = Site(lazy_backend(), separate=True)
    row = run_workload(kv_named(site, "paged to contiguous in device"), site, BUDGET)
    assert row.clock == "events"
    assert row.host.median > 0
    assert row.device is None
    row = run_workload(kv_named(site, "call: paged to contiguous, 16"), site, BUDGET)
    assert row.clock == "host, submission only"
    assert row.device.median > 0
    assert (row.sets, row.roofline) == (1, None)
    assert {"host", "device", "roofline", "touched", "sets"} <= set(row.as_json())


def test_torch_may_be_left_out(lazy_backend):
    site = Site(lazy_backend(), torch_ways=False)
    assert run_workload(kv_named(site, "paged to contiguous"), site, BUDGET).torch == ()


# --- rooflines -------------------------------------------------------------------------------


def test_the_roofline_counts_what_must_be_touched(lazy_backend):
    site = Site(lazy_backend(), separate=True)
    row = run_workload(kv_named(site, "convert bfloat16 to float8_e4m3fn, "), site, BUDGET)
    assert row.touched == row.bytes * 3 // 2
    assert row.roofline is not row.memcpy
    row = run_workload(kv_named(site, "paged to contiguous in device"), site, BUDGET)
    assert row.touched == 2 * row.bytes
    assert row.roofline is row.memcpy
    setting = KVSetting(SHAPE, 40)
    for workload in kv_quantization.quantized(site, setting):
        layers, codes = workload.labels["layers"], workload.labels["code"]
        count = layers * workload.labels["tokens"] * SHAPE.elements
        assert workload.bytes == 2 * count
        packed = count // 2 if codes == "int4" else count
        scales = workload.touched - workload.bytes - packed
        assert 0 < scales <= 8 * count, workload.name


def test_both_ways_at_once(lazy_backend):
    backend = lazy_backend()
    site = Site(backend, separate=True)
    rows = rows_of(site, kv_duplex.both_ways(site, KVSetting(SHAPE, 33)))
    assert [row.labels["grain"] for row in rows] == ["token", "block"]
    assert [row.bytes for row in rows] == [2 * n * SHAPE.token_bytes for n in (33, 48)]
    assert all("both ways" in row.memcpy.what for row in rows)
    good = backend.kv.transfer
    for way, defect in (
        ("out", lambda s, d: d.layout == "| K L T H D"),
        ("in", lambda s, d: s.layout == "| K L T H D"),
    ):
        backend.kv.transfer = lambda s, d, a, b, defect=defect, **k: (
            None if defect(s, d) else good(s, d, a, b, **k)
        )
        (row, _) = run_all(kv_duplex.both_ways(site, KVSetting(SHAPE, 33)), site, BUDGET)
        assert row.status is Status.WRONG
        assert row.reason.startswith(f"{way}: ")
    flat = Site(lazy_backend(), separate=False)
    assert not list(kv_duplex.both_ways(flat, KVSetting(SHAPE, 33)))


@pytest.mark.parametrize(("planes", "most"), [(2, 400), (1, 60)])
def test_every_pair_of_layouts(cpu, planes, most):
    shape = KVShape("tiny", 2, 2, 16, planes=planes, block_size=4)
    if planes == 1:
        shape = KVShape("tiny", 2, 1, 16, planes=1, block_size=4)
    site = Site(cpu)
    chosen = kv_suite(site, KVRequest((shape,), (9,), every_pair=True), MAX)[0]
    names = [w.name for w in chosen]
    assert len(set(names)) == len(names)
    count = round(len(names) ** 0.5 + 0.5)
    assert len(names) == count * (count - 1) <= most
    assert {w.labels["src_layout"] for w in chosen} == {w.labels["dst_layout"] for w in chosen}
    rows = rows_of(site, chosen[:: max(1, len(chosen) // 25)])
    assert all(row.checked == 2 for row in rows)
    assert kv_layouts.PAIRS


# --- calls -----------------------------------------------------------------------------------


def test_calls_are_checked_and_timed(cpu):
    site = Site(cpu)
    rows = rows_of(site, calls_suite(site, MAX))
    assert len(rows) >= 11
    for row in rows:
        assert (row.clock, row.memcpy, row.roofline) == ("host, submission only", None, None)
        assert row.checked == 2
        assert (row.bytes == 64) == row.name.startswith("memcpy: ")
        assert (row.gb_per_s is None) == (row.bytes == 0)


def test_calls_have_torchs_own_beside_them(cpu, monkeypatch):
    """On a device that torch has streams of; here a stand-in for its module."""

    class Stream:
        def __init__(self, device=None):
            self.device = device

        def wait_event(self, event): ...
        def query(self): ...
        def synchronize(self): ...

    class Event:
        def __init__(self, enable_timing=False): ...
        def record(self): ...
        def query(self): ...

    module = SimpleNamespace(
        Stream=Stream,
        Event=Event,
        stream=lambda s: torch.no_grad(),
        current_stream=lambda device: None,
    )
    monkeypatch.setattr("accel_tools.bench.families.calls._torch", lambda site: module)
    site = Site(cpu)
    rows = rows_of(site, calls_suite(site, MAX))
    assert all(row.torch[0].ratio > 0 for row in rows)
    whats = {row.torch[0].what for row in rows}
    assert {"Event.record", "Stream.wait_event", "with stream(s)", "Tensor.copy_"} <= whats


def test_a_call_that_does_nothing_is_a_wrong_row(cpu, monkeypatch):
    site = Site(cpu)
    monkeypatch.setattr(cpu.memcpy, "fill", lambda dst, value: None)
    (row,) = run_all(selected(calls_suite(site, MAX), ["fill"]), site, BUDGET)
    assert (row.status, row.reason) == (Status.WRONG, "other bytes")


def test_no_row_begins_after_the_end(cpu, monkeypatch):
    now = iter([0.0, 1.0, 2.0, *[9.0] * 50])
    monkeypatch.setattr("accel_tools.bench.runner.monotonic", lambda: next(now))
    site = Site(cpu)
    rows = run_all(list(calls_suite(site, MAX))[:4], site, BUDGET, within=5.0)
    assert [row.status for row in rows] == [Status.OK] * 2 + [Status.SKIPPED] * 2
    assert rows[3].reason == "the 5 s of --within are over"


# --- pictures --------------------------------------------------------------------------------


def test_bars(cpu, tmp_path):
    file = tmp_path / "kv.svg"
    args = ["memcpy", "--backend", "cpu", "--quick", "--seconds", "0.0001", "--max-bytes", "64K"]
    result = CliRunner().invoke(
        bench, [*args, "--no-torch", "--plot", str(file), "--json", str(tmp_path / "x.json")],
        catch_exceptions=False,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    root = ET.parse(file).getroot()
    assert root.tag.endswith("svg")
    report = json.loads((tmp_path / "x.json").read_text())
    drawn = [row for row in report["rows"] if row["roofline"]]
    assert drawn
    assert all(row["torch"] == [] for row in report["rows"])
    assert draw_bars(tmp_path / "none.png", report, []) == 0
    assert not (tmp_path / "none.png").exists()


def test_a_plot_of_another_kind_is_refused_first():
    result = CliRunner().invoke(bench, ["memcpy", "--backend", "cpu", "--plot", "x.gif"])
    assert result.exit_code == 2
    assert "'x.gif' does not end in .png, .svg or .pdf" in " ".join(result.stderr.split())
