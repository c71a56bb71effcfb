"""``accel list``, and the command itself."""

from __future__ import annotations

import json
from typing import Any


def test_list(command_site: Any) -> None:
    command_site.plugin("cpu")
    command_site.plugin("oracle", priority=-5)
    command_site.plugin("card", device="xpu", probe="accel.Probe(False, 'no card')")
    command_site.plugin("broken", priority=-1, top="raise OSError('x')")
    command_site.plugin("busy", device="hpu", priority=-1, build="raise OSError('device busy')")
    done = command_site.accel("list", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert set(rows) == {"cpu", "oracle", "card", "broken", "busy"}
    assert rows["cpu"]["summary"] == "1 native, 1 composed"
    assert rows["cpu"]["capabilities"] == {"memcpy.copy": "native", "memcpy.fill": "composed"}
    assert rows["oracle"]["priority"] == -5
    assert rows["card"]["status"] == "unavailable"
    assert rows["broken"]["status"] == "broken"
    assert rows["busy"]["status"] == "broken"
    assert "device busy" in rows["busy"]["error"]
    text = command_site.accel("list").stdout
    assert "acme-cpu 1.5" in text
    assert "1 native, 1 composed" in text
    assert "`accel doctor` says why" in text


def test_list_where_torch_or_everything_is_missing(command_site: Any) -> None:
    empty = command_site.accel("list")
    assert empty.returncode == 0
    assert "pip install accel-cpu" in empty.stdout
    command_site.plugin("cpu")
    (command_site.root / "torch.py").write_text("raise OSError('libtorch.so')")
    (row,) = json.loads(command_site.accel("list", "--json").stdout)
    assert row["status"] == "broken"
    assert "libtorch.so" in row["error"]


def test_help_imports_no_subcommand(command_site: Any) -> None:
    done = command_site.accel("--help")
    assert done.returncode == 0
    for name in ("bench", "doctor", "list"):
        assert name in done.stdout
    (command_site.root / "torch.py").write_text("raise SystemExit('torch was imported')")
    assert command_site.accel("--help").returncode == 0
    assert command_site.accel("doctor", "--help").returncode == 0
    unknown = command_site.accel("teleport")
    assert unknown.returncode == 2
    assert "No such command" in unknown.stderr
