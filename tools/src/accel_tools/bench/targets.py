"""The files that a command was asked to write: what is wrong with them is said before measuring."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from .charts import require_matplotlib

__all__ = ["check_targets"]


def check_targets(options: Mapping[str, Any]) -> None:
    """Raise where the files of ``--json`` and ``--png`` cannot be written."""
    for option in ("json_file", "png_file"):
        target = options.get(option)
        if target not in (None, "-") and not Path(target).absolute().parent.is_dir():
            hint = f"--{option.removesuffix('_file')}"
            raise click.BadParameter(f"no such directory: {Path(target).parent}", param_hint=hint)
    if options.get("png_file"):
        require_matplotlib()
