"""A picture of what ran when on which stream, and where the gaps are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accel.pipeline import LayerReport, PipelineReport

from ..report import title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .rows import PipelineRow

__all__ = ["draw_timelines", "require_matplotlib"]

#: Lanes from top to bottom: the report's field, and its two shades, which alternate by layer.
LANES = {
    "compute": ("#d98f2b", "#eab768"),
    "copy": ("#2f6fae", "#7fabd6"),
    "write_back": ("#3d8a57", "#86c09a"),
}
WAITING = "#c9c9c9"
#: A bar narrower than this share of the axis has no room for its layer's number.
NARROW = 0.02


def require_matplotlib() -> None:
    """Say what is missing, and its cure, before anything is measured."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise click.ClickException(
            f"--png needs matplotlib, which cannot be imported: {error}. "
            "Cure: pip install 'accel-tools[png]'"
        ) from error


def draw_timelines(file: Path, report: dict[str, Any], rows: Sequence[PipelineRow]) -> int:
    """Write a PNG with a pair of charts for each row that was measured; returns how many.

    Both charts of a pair share their axis: milliseconds since the first copy of the pass.
    """
    from matplotlib.figure import Figure

    drawn = [r for r in rows if r.pipelined is not None and r.synchronous is not None]
    if not drawn:
        return 0
    figure = Figure(figsize=(14, 1.0 + 3.0 * len(drawn)), layout="constrained")
    figure.suptitle(title_of(report), ha="left", x=0.01)
    charts = figure.subplots(2 * len(drawn), 1, squeeze=False)[:, 0]
    for i, row in enumerate(drawn):
        assert row.pipelined is not None and row.synchronous is not None
        upper, lower = charts[2 * i], charts[2 * i + 1]
        pair = row.pipelined.typical, row.synchronous.typical
        end = max(end for passed in pair for *_, end in spans(passed))
        for axes, passed in zip((upper, lower), pair, strict=True):
            _draw(axes, passed, end)
            hidden = "-" if passed.hidden is None else f"{passed.hidden:.0%}"
            axes.set_title(
                f"{row.name}: {passed.mode}, {passed.elapsed_ms:.2f} ms, {hidden} hidden",
                loc="left", fontsize=9,
            )  # fmt: skip
        lower.set_xlabel("ms since the pass began", fontsize=8)
    figure.savefig(file, dpi=110, format="png")
    return len(drawn)


def spans(passed: PipelineReport) -> Iterator[tuple[str, int, float, float]]:
    """Lane, layer, start and end of everything that ran, and of every wait (lane ``wait``)."""
    for layer in passed.layers:
        for lane in (*LANES, "wait"):
            span = _span(layer, lane)
            if span is not None:
                yield lane, layer.index, *span


def _span(layer: LayerReport, lane: str) -> tuple[float, float] | None:
    span: tuple[float, float] | None = getattr(layer, lane)
    return span


def _draw(axes: Axes, passed: PipelineReport, end: float) -> None:
    kept = [lane for lane in LANES if any(_span(x, lane) for x in passed.layers)]
    heights = {lane: len(kept) - 1 - i for i, lane in enumerate(kept)}
    for lane, index, start, stop in spans(passed):
        if lane == "wait":
            # On the compute stream's own lane: where it stands still.
            axes.barh(
                heights["compute"], stop - start, left=start, height=0.7, color="white",
                edgecolor=WAITING, hatch="////", linewidth=0.5,
            )  # fmt: skip
            continue
        colour = LANES[lane][index % 2]
        axes.barh(heights[lane], stop - start, left=start, height=0.7, color=colour)
        if stop - start > NARROW * end:
            middle = (start + stop) / 2
            axes.text(middle, heights[lane], str(index), ha="center", va="center", fontsize=7)
    names = {"compute": "compute stream", "copy": "copy stream", "write_back": "write-back stream"}
    axes.set_yticks(list(heights.values()), [names[lane] for lane in heights], fontsize=8)
    axes.set_ylim(-0.6, len(kept) - 0.4)
    axes.set_xlim(0, end * 1.01)
    axes.tick_params(axis="x", labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
