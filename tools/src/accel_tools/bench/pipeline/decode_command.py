"""What ``accel bench decode`` does with its options: its table, its picture, its report."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..charts import draw_charts
from ..environment import available_memory, describe
from ..report import document, fixed, print_footer, seconds_name, title_of
from ..rows import Status
from ..runner import selected
from ..targets import check_targets
from .decode import measure_decode, requests
from .timeline import chart_of

if TYPE_CHECKING:
    from rich.table import Table

    from ..site import Site
    from .decode_rows import DecodeRow

__all__ = ["run"]

_COLUMNS = (
    "copy", "compute", "compute alone", "pipelined", "synchronous", "by hand", "hidden",
    "after first", "gain", "bound", "submit beyond", "by hand", "checked",
)  # fmt: skip


def run(site: Site, width: int, options: dict[str, Any]) -> None:
    """Measure, print, write; exits with 1 when a row failed."""
    from rich.console import Console

    check_targets(options)
    every = list(
        requests(options["sizes"], options["multiples"], options["layers"], options["ahead"])
    )
    chosen = selected(every, options["only"])
    if options["list_only"]:
        for request in chosen:
            click.echo(request.name)
        return
    if not chosen:
        raise click.UsageError(f"nothing to measure: no row matches {', '.join(options['only'])}")
    Console(stderr=True).print(f"seed {options['seed']}", highlight=False)
    seconds = options["seconds"] or (0.05 if options["quick"] else 1.0)
    rows, left_out = [], []
    end = time.monotonic() + (options["within"] or math.inf)
    for request in chosen:
        if time.monotonic() > end:
            left_out.append(f"{request.name}: the {options['within']:g} s of --within are over")
            continue
        free = available_memory()
        if free is not None and request.footprint > free // 2:
            left_out.append(f"{request.name}: takes about {request.footprint >> 20} MiB")
            continue
        rows.append(measure_decode(request, site, seconds))
    report = document("decode", describe(site.backend, options["seed"]), rows, left_out)
    console = Console(width=None if sys.stdout.isatty() else width)
    if options["png_file"] and not _draw(Path(options["png_file"]), report, rows):
        click.echo(f"nothing was measured, so {options['png_file']} was not written", err=True)
    if options["json_file"] == "-":
        click.echo(json.dumps(report, indent=2))
    else:
        console.print(_table(report, rows))
        for row in rows:
            if row.status is Status.UNSUPPORTED:
                console.print(f"{row.status}: {row.name}: {row.reason}", markup=False)
        print_footer(console, report, rows)
        if options["json_file"]:
            text = json.dumps(report, indent=2) + "\n"
            Path(options["json_file"]).write_text(text, encoding="utf-8")
    if any(row.status.failed for row in rows):
        sys.exit(1)


def _draw(file: Path, report: dict[str, Any], rows: Sequence[DecodeRow]) -> int:
    pairs = [[chart_of(row.name, passed) for passed in row.reports.values()] for row in rows]
    return draw_charts(file, report, [pair for pair in pairs if pair], "the pass began")


def _table(report: dict[str, Any], rows: Sequence[DecodeRow]) -> Table:
    """Copy, compute and submit are a layer's; the others are the whole loop's."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title_of(report), title_justify="left")
    table.add_column("workload")
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    for row in rows:
        said = "yes" if row.modes else str(row.status)
        style = "red" if row.status.failed else ""
        figures = _figures(row) if row.modes else ["-"] * (len(_COLUMNS) - 1)
        table.add_row(Text(row.name), *figures, Text(said, style=style))
    return table


def _figures(row: DecodeRow) -> list[str]:
    whole = [
        _name(row.modes[mode].elapsed if mode in row.modes else None)
        for mode in ("compute", "pipelined", "synchronous", "by hand")
    ]
    return [
        _name(row.copy_ms),
        _name(row.compute_ms),
        *whole,
        _percent(row.hidden),
        _percent(row.hidden_after_first),
        fixed(row.gain),
        fixed(row.bound),
        _name(row.submit_beyond_ms("pipelined")),
        _name(row.submit_beyond_ms("by hand")),
    ]


def _name(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else seconds_name(milliseconds / 1e3)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
