"""A picture of rows: what each reached of a plain copy of the same bytes in the same run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .report import fixed, title_of
from .rows import Row

__all__ = ["draw_bars"]

OURS, TORCH = "#2f6fae", "#c9c9c9"


def draw_bars(file: Path, report: dict[str, Any], rows: Sequence[Row]) -> int:
    """Write a chart with a bar for each row that has a roofline; returns how many.

    The suffix decides: PNG, SVG, PDF. A bar ends at the share of the plain copy, with the payload's
    rate beside it; a grey one below it shows torch's way, where it was timed.
    """
    from matplotlib.figure import Figure

    drawn = [row for row in rows if row.roofline is not None and row.roofline.ratio]
    if not drawn:
        return 0
    figure = Figure(figsize=(12, 1.2 + 0.34 * len(drawn)), layout="constrained")
    axes = figure.subplots()
    names = []
    for i, row in enumerate(drawn):
        assert row.roofline is not None and row.roofline.ratio is not None
        share = row.roofline.ratio
        axes.barh(i, share, height=0.62, color=OURS)
        rate = f"{share:.1%}, {fixed(row.gb_per_s)} GB/s"
        axes.text(share + 0.01, i, rate, va="center", fontsize=7)
        theirs = _torch_share(row, share)
        if theirs is not None:
            axes.barh(i + 0.38, theirs, height=0.14, color=TORCH)
        shape = row.labels.get("shape")
        names.append(f"{shape}: {row.name}" if shape else row.name)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(drawn)), names, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, max(1.2, *(1.15 * (row.roofline.ratio or 0) for row in drawn if row.roofline)))
    axes.set_xlabel("share of a plain copy of the bytes that must be read and written", fontsize=8)
    environment = report["environment"]
    axes.set_title(
        f"{title_of(report)}: {environment['chip']}, torch {environment['torch']},"
        f" {environment['date']}",
        loc="left", fontsize=9,
    )  # fmt: skip
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(file, dpi=110)
    return len(drawn)


def _torch_share(row: Row, share: float) -> float | None:
    ratios = [c.ratio for c in row.torch if c.ratio is not None and not c.allocates]
    return share / ratios[0] if ratios and ratios[0] > 0 else None
