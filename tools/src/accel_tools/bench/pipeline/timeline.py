"""A picture of what ran when on which stream, and where the gaps are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel.pipeline import LayerReport, PipelineReport

from ..charts import Bar, Chart, Kind, draw_charts

if TYPE_CHECKING:
    from .rows import PipelineRow

__all__ = ["chart_of", "draw_timelines"]

#: Lanes from top to bottom: the report's field, and the stream's name.
LANES: dict[Kind, str] = {
    "compute": "compute stream",
    "copy": "copy stream",
    "write_back": "write-back stream",
}


def draw_timelines(file: Path, report: dict[str, Any], rows: Sequence[PipelineRow]) -> int:
    """Write a PNG with a pair of charts for each row that was measured; returns how many.

    Both charts of a pair share their axis: milliseconds since the first copy of the pass.
    """
    pairs = [
        [chart_of(row.name, mode.typical) for mode in (row.pipelined, row.synchronous)]
        for row in rows
        if row.pipelined is not None and row.synchronous is not None
    ]
    return draw_charts(file, report, pairs, "the pass began")


def spans(passed: PipelineReport) -> Iterator[tuple[Kind, int, float, float]]:
    """Kind, layer, start and end of everything that ran, and of every wait."""
    kinds: tuple[Kind, ...] = (*LANES, "wait")
    for layer in passed.layers:
        for kind in kinds:
            span = _span(layer, kind)
            if span is not None:
                yield kind, layer.index, *span


def _span(layer: LayerReport, kind: Kind) -> tuple[float, float] | None:
    span: tuple[float, float] | None = getattr(layer, kind)
    return span


def chart_of(name: str, passed: PipelineReport) -> Chart:
    """The streams of one pass."""
    lanes = tuple(LANES[k] for k in LANES if any(_span(x, k) for x in passed.layers))
    # A wait is on the compute stream's own lane: where it stands still.
    bars = (
        Bar(LANES.get(kind, LANES["compute"]), kind, index, start, end)
        for kind, index, start, end in spans(passed)
    )
    hidden = "-" if passed.hidden is None else f"{passed.hidden:.0%}"
    title = f"{name}: {passed.mode}, {passed.elapsed_ms:.2f} ms, {hidden} hidden"
    return Chart(title, lanes, tuple(bars))
