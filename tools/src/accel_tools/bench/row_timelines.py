"""A picture of rows whose call was traced: which stream did what, and where it stood still."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .charts import Bar, Chart, Kind, draw_charts
from .report import seconds_name
from .rows import Row
from .stream_trace import StreamSpan

__all__ = ["draw_row_timelines"]


def draw_row_timelines(file: Path, report: dict[str, Any], rows: Sequence[Row]) -> int:
    """Write a PNG with a chart for each row that was traced; returns how many."""
    charts = [[chart_of(row)] for row in rows if row.timeline]
    return draw_charts(file, report, charts, "the call")


def chart_of(row: Row) -> Chart:
    """The row's streams in the order of their first use, numbered by operation of a kind.

    The title has the share of the time in which a copy ran on any stream, and so for callbacks.
    """
    lanes = tuple(dict.fromkeys(span.stream for span in row.timeline))
    counts: dict[str, int] = {}
    bars = []
    for span in row.timeline:
        number = counts[span.kind] = counts.get(span.kind, -1) + 1
        bars.append(Bar(span.stream, span.kind, number, span.start, span.end))
    end = max(span.end for span in row.timeline)
    kinds: tuple[tuple[Kind, str], ...] = (("copy", "copies"), ("host", "callbacks"))
    shares = [
        f"{word} {busy(s for s in row.timeline if s.kind == kind) / end:.0%}"
        for kind, word in kinds
        if kind in counts and end > 0
    ]
    took = "" if row.seconds is None else f", {seconds_name(row.seconds.median)} untraced"
    return Chart(f"{row.name}: {end:.2f} ms{took}; {', '.join(shares)}", lanes, tuple(bars))


def busy(spans: Iterable[StreamSpan]) -> float:
    """Milliseconds in which at least one of ``spans`` ran."""
    total, until = 0.0, float("-inf")
    for span in sorted(spans, key=lambda s: s.start):
        total += max(0.0, span.end - max(span.start, until))
        until = max(until, span.end)
    return total
