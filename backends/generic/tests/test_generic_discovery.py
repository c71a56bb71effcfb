"""The table, and which of its rows are listed."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import accel
from accel_generic import plugins
from accel_generic.probe import installed
from accel_generic.table import ROWS

NAMES = {"musa", "gcu", "supa", "sdaa", "xpu", "hpu"}


def test_every_row_has_a_plugin() -> None:
    assert set(ROWS) == NAMES
    made = {name: getattr(plugins, name.upper()) for name in ROWS}
    assert {p.accel_backend_info().device_type for p in made.values()} == NAMES
    points = {p.name: p.value for p in entry_points(group="accel.backends")}
    if "musa" in points:  # the distribution is installed
        assert all(points[name] == f"accel_generic.plugins:{name.upper()}" for name in NAMES)


def test_rows_are_told_apart_by_more_than_the_library() -> None:
    """hccl is Ascend's too."""
    assert ROWS["hpu"].vendor.distributed == "hccl"
    keys = {(r.vendor.device_type, r.vendor.package, r.vendor.distributed) for r in ROWS.values()}
    assert len(keys) == len(ROWS)


def test_listed_where_the_package_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not installed(ROWS["sdaa"])
    assert not plugins.SDAA.accel_listed()
    (tmp_path / "torch_sdaa.py").write_text("raise ImportError('must not be imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert installed(ROWS["sdaa"])
    assert plugins.SDAA.accel_listed()
    assert "torch_sdaa" not in sys.modules


def test_not_in_this_environment() -> None:
    """Discovery does not show what nothing of is installed; asking for it says what is here."""
    listed = {c.name for c in accel.explain().candidates}
    assert listed.isdisjoint(name for name in NAMES if not installed(ROWS[name]))


def test_a_package_that_fails_is_no_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch_gcu.py").write_text("raise RuntimeError('no driver of the vendor')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    found = plugins.GCU.accel_probe()
    assert not found.available
    assert "no driver of the vendor" in found.reason
    assert "Enflame" in found.cure
