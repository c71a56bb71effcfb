"""Staging rows: right on the CPU backend, wrong when the staging is."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import accel
from accel import Capability
from accel_tools.bench.cli import bench
from accel_tools.bench.measure import Budget
from accel_tools.bench.rows import Status
from accel_tools.bench.runner import run_all, selected
from accel_tools.bench.site import Site
from accel_tools.bench.suites import staging_suite

MAX = 1 << 20
BUDGET = Budget(seconds=1e-9, min_repeats=2, max_repeats=2, warmup=1, pause=0.0)


@pytest.fixture(scope="module")
def backend():
    return accel.get_backend("cpu")


@pytest.mark.parametrize("separate", [False, True])
def test_every_row_is_right_and_measured(backend, separate):
    site = Site(backend, separate=separate)
    workloads = list(staging_suite(site, MAX))
    names = [w.name for w in workloads]
    assert len(set(names)) == len(names)
    where = "device" if separate else "host"
    for expected in (
        f"to host: {where} to host, 64 KiB",
        f"to host: {where} to pinned, 1 MiB",
        f"to device: host to {where}, 64 KiB",
        f"to device: pinned to {where}, 1 MiB",
        f"to host: {where} to new host memory, 1 MiB",
    ):
        assert expected in names
    assert any("ring" in name for name in names) is not separate
    for row in run_all(workloads, site, BUDGET):
        assert (row.status, row.reason, row.checked) == (Status.OK, "", 2)
        assert row.memcpy.ratio > 0
        assert row.bytes <= MAX


def test_wrong_bytes_are_told(backend, monkeypatch):
    good = accel.HostStaging.copy_to_host_async

    def short(self, x, out=None, *args, **options):
        if out is None:
            return good(self, x.flip(0).contiguous())
        return good(self, x[:-1], out[:-1], *args, **options)

    monkeypatch.setattr(accel.HostStaging, "copy_to_host_async", short)
    site = Site(backend)
    rows = run_all(selected(staging_suite(site, MAX), ["to host:"]), site, BUDGET)
    assert rows
    assert {row.status for row in rows} == {Status.WRONG}
    assert all(row.reason.startswith("byte ") for row in rows)


def test_without_pinned_memory(lazy_backend):
    """Rows to pinned memory are left out; those that need the ring say what is missing."""
    site = Site(lazy_backend(without=[Capability.PINNED]), separate=True)
    workloads = list(staging_suite(site, MAX))
    assert not any("pinned" in w.name for w in workloads)
    for row in run_all(workloads, site, BUDGET):
        assert row.status is Status.UNSUPPORTED
        assert row.reason == "backend 'lazy' does not claim pinned"


def test_the_command(tmp_path):
    file = tmp_path / "out.json"
    arguments = ["staging", "--backend", "cpu", "--seconds", "0.0001", "--max-bytes", "64KiB"]
    done = CliRunner().invoke(bench, [*arguments, "--json", str(file)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "accel bench staging on cpu (cpu)" in done.stdout
    report = json.loads(file.read_text())
    assert report["bench"] == "staging"
    assert {row["status"] for row in report["rows"]} == {"ok"}
    assert {row["bytes"] for row in report["rows"]} == {65536}
