"""``--png`` of rows: what is traced, what the picture shows, and that figures stay untraced."""

from __future__ import annotations

import itertools
import json
import sys
import time

import pytest
from click.testing import CliRunner

import accel
from accel import Capability
from accel_tools.bench.charts import SHADES
from accel_tools.bench.cli import bench
from accel_tools.bench.measure import Budget
from accel_tools.bench.row_timelines import busy, chart_of
from accel_tools.bench.rows import Row, Status
from accel_tools.bench.runner import run_all, selected
from accel_tools.bench.site import Site
from accel_tools.bench.stream_trace import TURNS, StreamSpan, trace
from accel_tools.bench.suites import memcpy_suite, staging_suite

MIB = 1 << 20
STAGING = ["staging", "--backend", "cpu", "--seconds", "0.0001", "--max-bytes", "1MiB"]
BUDGET = Budget(seconds=1e-9, min_repeats=2, max_repeats=2, warmup=1, pause=0.0)


@pytest.fixture(scope="module")
def backend():
    return accel.get_backend("cpu")


def run(*args):
    return CliRunner().invoke(bench, [*args], catch_exceptions=False)


def test_operations_of_every_stream_in_their_order(backend):
    import torch

    side, other = backend.streams.create(), backend.streams.create()
    src, dst = torch.arange(1024), torch.zeros(1024, dtype=torch.int64)
    event = backend.events.create()

    def call():
        other.add_callback(lambda: time.sleep(0.02))
        other.record_event(event)
        side.wait_event(event)
        backend.memcpy.copy_async(dst, src, stream=side)
        backend.memcpy.fill(src, 3)
        side.synchronize()

    spans = trace(backend, call, backend.streams.synchronize)
    assert [(s.stream, s.kind, s.call) for s in spans] == [
        ("stream 1", "host", "stream.add_callback"),
        ("stream 2", "wait", "stream.wait_event"),
        ("stream 2", "copy", "memcpy.copy_async"),
        ("current stream", "copy", "memcpy.fill"),
    ]
    slept, waited, copied, filled = spans
    assert slept.end - slept.start >= 20
    assert waited.end >= slept.start + 20, "the wait lasts until the callback is over"
    assert waited.start <= waited.end <= copied.start <= copied.end
    assert 0 <= filled.start <= filled.end


def test_nothing_stays_in_front_of_the_backend(backend):
    def state():
        stream = type(backend.streams.create())
        return dict(vars(backend.memcpy)), stream.add_callback, stream.wait_event

    before = state()
    trace(backend, lambda: None, backend.streams.synchronize)
    assert state() == before
    with pytest.raises(ZeroDivisionError):
        trace(backend, lambda: 1 / 0, backend.streams.synchronize)
    assert state() == before


def test_a_call_made_of_calls_is_one_span(backend, monkeypatch):
    import torch

    plain = backend.memcpy.copy_async
    monkeypatch.setattr(
        backend.memcpy, "fill", lambda dst, value: backend.memcpy.copy_async(dst, dst.clone())
    )
    assert backend.memcpy.copy_async == plain
    spans = trace(backend, lambda: backend.memcpy.fill(torch.ones(4), 0), lambda: None)
    assert [s.call for s in spans] == ["memcpy.fill"]


def test_the_typical_call_is_kept(backend):
    lengths = iter([0.03, 0.001, 0.05, 0.01, 0.02])
    stream = backend.streams.create()

    def call():
        seconds = next(lengths)
        stream.add_callback(lambda: time.sleep(seconds))

    (span,) = trace(backend, call, stream.synchronize)
    assert TURNS == 5
    assert next(lengths, None) is None, "each turn is one call"
    assert span.end - span.start >= 10


def test_rows_have_timelines_only_when_asked(backend):
    def rows(**options):
        site = Site(backend, separate=True, **options)
        chosen = selected(staging_suite(site, MIB), ["to host: device to pinned, 1 MiB"])
        return run_all(chosen, site, BUDGET)

    (plain,) = rows()
    assert plain.timeline == ()
    assert plain.as_json()["timeline"] == []
    (traced,) = rows(timelines=True)
    assert (traced.status, traced.checked) == (Status.OK, 2)
    assert [s.call for s in traced.timeline] == ["memcpy.copy_async"]


def test_the_ring_overlaps_pieces_on_its_streams(backend, monkeypatch):
    """Two buffers, four pieces: each buffer's stream copies and moves in turns."""
    from accel_tools.bench.families import staging_copies

    real = accel.HostStaging
    monkeypatch.setattr(accel, "HostStaging", lambda b, **k: real(b, chunk_bytes=MIB // 4, **k))
    site = Site(backend, timelines=True)
    (workload, *_) = staging_copies.ring(site, MIB)
    (row,) = run_all([workload], site, BUDGET)
    assert row.status is Status.OK, row.reason
    done = [s for s in row.timeline if s.kind != "wait"]
    assert [s.kind for s in done] == ["copy", "host"] * 4
    streams = [s.stream for s in done]
    assert streams == [streams[0]] * 2 + [streams[2]] * 2 + streams[:4]
    assert len(set(streams)) == 2
    for stream in set(streams):
        mine = [s for s in done if s.stream == stream]
        assert all(a.end <= b.start for a, b in itertools.pairwise(mine))
    chart = chart_of(row)
    assert {bar.lane for bar in chart.bars} == set(chart.lanes)
    assert [b.number for b in chart.bars if b.kind == "host"] == [0, 1, 2, 3]
    assert chart.title.startswith(row.name)


def test_without_timing_there_is_no_timeline(lazy_backend):
    site = Site(lazy_backend(without=[Capability.EVENT_TIMING]), timelines=True)
    (row,) = run_all(selected(memcpy_suite(site, MIB), ["copy host to host, 1 MiB"]), site, BUDGET)
    assert (row.status, row.timeline) == (Status.OK, ())


@pytest.mark.parametrize(
    ("spans", "total"),
    [
        ([], 0),
        ([(0, 2), (2, 3)], 3),
        ([(5, 6), (0, 4), (1, 2), (3, 5.5)], 6),
        ([(0, 1), (3, 4)], 2),
    ],
)
def test_busy_time_counts_what_overlaps_once(spans, total):
    assert busy(StreamSpan("s", "copy", "", float(a), float(b)) for a, b in spans) == total


def test_shares_are_of_the_whole_call():
    timeline = (
        StreamSpan("stream 1", "wait", "stream.wait_event", 0.0, 1.0),
        StreamSpan("stream 1", "copy", "memcpy.copy_async", 1.0, 3.0),
        StreamSpan("stream 2", "copy", "memcpy.copy_async", 2.0, 4.0),
        StreamSpan("stream 1", "host", "stream.add_callback", 3.0, 5.0),
    )
    row = Row("a row", Status.OK, 1, "copy", "native", timeline=timeline)
    chart = chart_of(row)
    assert chart.title == "a row: 5.00 ms; copies 60%, callbacks 40%"
    assert chart.lanes == ("stream 1", "stream 2")
    assert [(b.kind, b.number) for b in chart.bars] == [
        ("wait", 0), ("copy", 0), ("copy", 1), ("host", 0),
    ]  # fmt: skip


def test_the_command_draws(tmp_path, picture):
    file, report = tmp_path / "staging.png", tmp_path / "x.json"
    result = run(*STAGING, "--only", "ring, 1 MiB", "--png", str(file), "--json", str(report))
    assert result.exit_code == 0, result.output
    size, shown = picture(file)
    assert size[1] > 1000
    for kind in ("copy", "host"):
        assert SHADES[kind][0] in shown, f"no bar of kind {kind}"
    (row,) = json.loads(report.read_text())["rows"]
    assert {"stream", "kind", "call", "start", "end"} == set(row["timeline"][0])


def test_nothing_to_draw_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("accel_tools.bench.workload._timeline", lambda case, site: ())
    file = tmp_path / "x.png"
    result = run(*STAGING, "--only", "ring, 1 MiB", "--png", str(file))
    assert result.exit_code == 0
    assert f"no row has a timeline, so {file} was not written" in result.stderr
    assert not file.exists()


def test_targets_are_looked_at_first(monkeypatch):
    monkeypatch.setattr("accel_tools.bench.runner.run_all", None)
    result = run(*STAGING, "--png", "no/such/directory/x.png")
    assert result.exit_code == 2
    assert "no such directory" in result.stderr
    for name in [n for n in sys.modules if n.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run(*STAGING, "--png", "x.png")
    assert result.exit_code == 1
    assert "pip install 'accel-tools[png]'" in result.output
