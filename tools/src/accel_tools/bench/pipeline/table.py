"""The rows as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..report import fixed, seconds_name, title_of
from .rows import PipelineRow

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["pipeline_table"]

_COLUMNS = (
    "copy",
    "compute",
    "synchronous",
    "pipelined",
    "x faster",
    "hidden",
    "after first",
    "submit",
    "path",
    "checked",
)


def pipeline_table(report: dict[str, Any], rows: Sequence[PipelineRow]) -> Table:
    """One line a row; copy, compute and submit are a layer's share of the pipelined pass.

    A row without figures says so in one word: the whole reason would leave the others no room.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title_of(report), title_justify="left")
    table.add_column("workload")
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        path = f"{row.level}, simulated" if row.simulated else row.level
        figures = _figures(row)
        said = "yes" if figures else str(row.status)
        style = "red" if row.status.failed else ""
        table.add_row(Text(row.name), *(figures or ["-"] * 8), path, Text(said, style=style))
    return table


def _figures(row: PipelineRow) -> list[str]:
    if row.pipelined is None or row.synchronous is None:
        return []
    typical = row.pipelined.typical
    count = len(typical.layers)
    return [
        _name(typical.copy_ms, count),
        _name(typical.compute_ms, count),
        _name(row.synchronous.elapsed_ms),
        _name(row.pipelined.elapsed_ms),
        fixed(row.speedup),
        _percent(typical.hidden),
        _percent(typical.hidden_after_first),
        _name(typical.submit_ms, count),
    ]


def _name(milliseconds: float | None, count: int = 1) -> str:
    return "-" if milliseconds is None else seconds_name(milliseconds / count / 1e3)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
