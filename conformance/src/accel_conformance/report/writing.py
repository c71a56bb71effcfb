"""Write a report in any of its forms."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from .badge import badge_svg
from .html import html_page
from .junit import junit_xml
from .markdown import markdown_text
from .model import Report

__all__ = ["FORMS", "write_reports"]

#: Name of the form, to what renders it.
FORMS: dict[str, Callable[[Report], str]] = {
    "json": lambda report: json.dumps(report.to_json(), indent=1) + "\n",
    "markdown": markdown_text,
    "html": html_page,
    "junit": junit_xml,
    "badge": badge_svg,
}


def write_reports(report: Report, paths: Mapping[str, Path]) -> None:
    """Write each form to its path, making the folders."""
    for form, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FORMS[form](report), encoding="utf-8")
