"""The HTML report: one file, no script, no outside resource."""

from __future__ import annotations

from .badge import badge_svg
from .model import Report
from .templating import render

__all__ = ["html_page"]


def html_page(report: Report) -> str:
    """Everything that the Markdown report has, and every case."""
    return render(
        "report.html", report=report, environment=report.environment, badge=badge_svg(report)
    )
