"""The templates of the written reports."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..case import LEVELS

__all__ = ["render"]


def render(template: str, **values: object) -> str:
    """``templates/<template>`` with these values, escaped unless it is Markdown."""
    return _environment().get_template(template).render(level_names=LEVELS, **values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("accel_conformance.report"),
        autoescape=lambda name: name is not None and not name.endswith(".md"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = _cell
    return environment


def _cell(text: object) -> str:
    """Text for one cell of a Markdown table."""
    return str(text).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
