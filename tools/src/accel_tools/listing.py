"""``accel list``: the installed backends, one row each."""

from __future__ import annotations

import json
import warnings
from typing import Any

import click
from rich.console import Console
from rich.table import Table

import accel
from accel_tools.doctor import count_levels

__all__ = ["list_backends"]


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_backends(as_json: bool) -> None:
    """List the installed backends and build the usable ones to count their capabilities."""
    rows = [_row(candidate) for candidate in accel.explain().candidates]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "device", "distribution", "status", "priority", "capabilities"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        mark = " *" if row["chosen"] else ""
        priority = "" if row["priority"] is None else str(row["priority"])
        state = row["status"] + (", simulated" if row["simulated"] else "")
        origin = f"{row['distribution']} {row['version']}"
        device = row["device_type"] or ""
        table.add_row(row["name"] + mark, device, origin, state, priority, row["summary"])
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # rows in a pipe are for grep, not for folding
    console.print(table)
    if not rows:
        console.print("no plugin is installed. Cure: `pip install accel-cpu`")
    if any(row["chosen"] for row in rows):
        console.print("* what get_backend() gives here")
    if any(row["error"] for row in rows):
        console.print("`accel doctor` says why, and what cures it")


def _row(candidate: accel.CandidateReport) -> dict[str, Any]:
    capabilities: dict[str, str] = {}
    error = candidate.reason if candidate.status in ("broken", "ambiguous") else ""
    if candidate.status == "usable":
        try:
            with warnings.catch_warnings():
                # A kernel pack that fails is for `accel doctor` to report.
                warnings.simplefilter("ignore", accel.AccelWarning)
                backend = accel.get_backend(candidate.name)
        except accel.AccelError as failure:
            error = str(failure)
        else:
            capabilities = {str(c): str(level) for c, level in backend.capabilities.items()}
    levels = ", ".join(f"{count} {level}" for level, count in count_levels(capabilities))
    return {
        "name": candidate.name,
        "device_type": candidate.device_type,
        "device_count": candidate.device_count,
        "distribution": candidate.distribution,
        "version": candidate.version,
        "status": "broken" if error and candidate.status == "usable" else candidate.status,
        "priority": candidate.priority,
        "chosen": candidate.chosen,
        "simulated": candidate.simulated,
        "capabilities": capabilities,
        "summary": levels or ("none" if candidate.status == "usable" and not error else ""),
        "error": error,
    }
