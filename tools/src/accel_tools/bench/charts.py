"""Pictures of what ran when: a chart has a lane for each stream, and its bars share a time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Bar", "Chart", "Kind", "draw_charts", "require_matplotlib"]

#: What a bar is: work of the compute stream, a copy, one to the host, a host callback, a wait.
Kind = Literal["compute", "copy", "write_back", "host", "wait"]

#: Two shades of each kind, which alternate by the bar's number.
SHADES: dict[Kind, tuple[str, str]] = {
    "compute": ("#d98f2b", "#eab768"),
    "copy": ("#2f6fae", "#7fabd6"),
    "write_back": ("#3d8a57", "#86c09a"),
    "host": ("#8a5a9e", "#bd9acb"),
}
WAITING = "#c9c9c9"
#: A bar narrower than this share of the axis has no room for its number.
NARROW = 0.02
#: Dots an inch, and the width in points of the edge that keeps a short bar one dot wide.
DPI = 110
ONE_DOT = 72 / DPI


@dataclass(frozen=True)
class Bar:
    """Something that ran, or a stream that stood still (``wait``, hatched). Milliseconds."""

    lane: str
    kind: Kind
    number: int
    start: float
    end: float


@dataclass(frozen=True)
class Chart:
    """``lanes`` from top to bottom; what is blank between bars is a gap."""

    title: str
    lanes: tuple[str, ...]
    bars: tuple[Bar, ...]


def require_matplotlib(option: str) -> None:
    """Say what is missing, and its cure, before anything is measured."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise click.ClickException(
            f"{option} needs matplotlib, which cannot be imported: {error}. "
            "Cure: pip install 'accel-tools[png]'"
        ) from error


def draw_charts(
    file: Path, report: dict[str, Any], groups: Sequence[Sequence[Chart]], since: str
) -> int:
    """Write a PNG with all charts, those of a group on one axis; returns how many groups.

    Args:
        since: what the time axis counts from, for its label.
    """
    from matplotlib.figure import Figure

    from .report import title_of

    if not groups:
        return 0
    charts = [chart for group in groups for chart in group]
    heights = [0.7 + 0.35 * len(chart.lanes) for chart in charts]
    figure = Figure(figsize=(14, 1.0 + sum(heights)), layout="constrained")
    figure.suptitle(title_of(report), ha="left", x=0.01)
    every = figure.subplots(len(charts), 1, squeeze=False, height_ratios=heights)[:, 0]
    axes = iter(every)
    for group in groups:
        end = max((bar.end for chart in group for bar in chart.bars), default=0.0)
        for chart in group:
            below = next(axes)
            _draw(below, chart, end)
        below.set_xlabel(f"ms since {since}", fontsize=8)
    figure.savefig(file, dpi=DPI, format="png")
    return len(groups)


def _draw(axes: Axes, chart: Chart, end: float) -> None:
    heights = {lane: len(chart.lanes) - 1 - i for i, lane in enumerate(chart.lanes)}
    for bar in chart.bars:
        height, width = heights[bar.lane], bar.end - bar.start
        if bar.kind == "wait":
            axes.barh(
                height, width, left=bar.start, height=0.7, color="white",
                edgecolor=WAITING, hatch="////", linewidth=0.5,
            )  # fmt: skip
            continue
        colour = SHADES[bar.kind][bar.number % 2]
        axes.barh(
            height, width, left=bar.start, height=0.7, color=colour,
            edgecolor=colour, linewidth=ONE_DOT, snap=True,
        )  # fmt: skip
        if width > NARROW * end:
            middle = (bar.start + bar.end) / 2
            axes.text(middle, height, str(bar.number), ha="center", va="center", fontsize=7)
    axes.set_title(chart.title, loc="left", fontsize=9)
    axes.set_yticks(list(heights.values()), list(heights), fontsize=8)
    axes.set_ylim(-0.6, len(chart.lanes) - 0.4)
    axes.set_xlim(0, end * 1.01 or 1)
    axes.tick_params(axis="x", labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
