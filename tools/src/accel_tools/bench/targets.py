"""The files that a command was asked to write: what is wrong with them is said before measuring."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from .charts import require_matplotlib

__all__ = ["check_targets"]


def check_targets(options: Mapping[str, Any]) -> None:
    """Raise where the files of ``--json``, ``--png`` and ``--plot`` cannot be written."""
    for option in ("json_file", "png_file", "plot_file"):
        target = options.get(option)
        if target not in (None, "-") and not Path(target).absolute().parent.is_dir():
            hint = f"--{option.removesuffix('_file')}"
            raise click.BadParameter(f"no such directory: {Path(target).parent}", param_hint=hint)
    plot = options.get("plot_file")
    if plot and Path(plot).suffix not in (".png", ".svg", ".pdf"):
        raise click.BadParameter(
            f"{plot!r} does not end in .png, .svg or .pdf", param_hint="--plot"
        )
    for option in ("png_file", "plot_file"):
        if options.get(option):
            require_matplotlib(f"--{option.removesuffix('_file')}")
