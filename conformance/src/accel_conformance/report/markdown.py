"""The Markdown report."""

from __future__ import annotations

from .model import Report
from .templating import render

__all__ = ["markdown_text"]


def markdown_text(report: Report) -> str:
    """Tables of levels and capabilities, then what failed, with the command that repeats it."""
    return render("report.md", report=report, environment=report.environment)
