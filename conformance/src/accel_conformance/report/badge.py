"""The badge: one line as a small SVG picture."""

from __future__ import annotations

from .model import Report
from .templating import render

__all__ = ["badge_svg"]

_GLYPH = 6.6  # mean advance of 11 px Verdana
_PAD = 10


def badge_svg(report: Report) -> str:
    """``accel: cpu | 412 passed``; red when not conformant, amber and the word when simulated."""
    totals = report.totals
    good = totals.passed + totals.xfailed
    value = f"{good} of {totals.ran} passed" if totals.ran else "no case ran"
    if report.ok:
        value = f"conformant, {totals.passed} passed"
    if report.environment.simulated:
        value = f"simulated, {value}"
    color = "#b5302a" if not report.ok else "#9a6a00" if report.environment.simulated else "#2b7a3d"
    label = f"accel: {report.environment.backend}"
    left, right = (round(len(text) * _GLYPH + 2 * _PAD) for text in (label, value))
    return render(
        "badge.svg", label=label, value=value, color=color, left=left, right=right, ok=report.ok
    )
