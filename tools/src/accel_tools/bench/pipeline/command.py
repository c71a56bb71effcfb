"""What ``accel bench pipeline`` does with its options."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..environment import available_memory, describe
from ..report import document, print_footer
from ..runner import selected
from ..targets import check_targets
from .runs import PipelineRequest, PipelineWorkload, run_pipelines, workloads
from .table import pipeline_table
from .timeline import draw_timelines

if TYPE_CHECKING:
    from ..site import Site

__all__ = ["run"]


def run(site: Site, max_bytes: int, width: int, options: dict[str, Any]) -> None:
    """Measure, print, write; exits with 1 when a row failed."""
    from rich.console import Console

    check_targets(options)
    request = PipelineRequest(
        options["sizes"], options["multiples"], options["layers"], options["ahead"],
        options["write_back"],
    )  # fmt: skip
    every, left_out = workloads(request, max_bytes)
    chosen = selected(every, options["only"])
    if options["list_only"]:
        for workload in chosen:
            click.echo(workload.name)
        return
    if not chosen:
        said = "; ".join(left_out) or f"no row matches {', '.join(options['only'])}"
        raise click.UsageError(f"nothing to measure: {said}")
    errors = Console(stderr=True)
    errors.print(f"seed {options['seed']}", highlight=False)
    with errors.status("") as status:
        counter = iter(range(1, len(chosen) + 1))

        def progress(workload: PipelineWorkload) -> None:
            status.update(f"{next(counter)}/{len(chosen)} {workload.name}")

        seconds = options["seconds"] or (0.05 if options["quick"] else 0.5)
        rows = list(
            run_pipelines(
                chosen, site, seconds, _half_the_memory, progress, options["within"] or math.inf
            )
        )
    report = document("pipeline", describe(site.backend, options["seed"]), rows, left_out)
    console = Console(width=None if sys.stdout.isatty() else width)
    if options["png_file"] and not draw_timelines(Path(options["png_file"]), report, rows):
        click.echo(f"nothing was measured, so {options['png_file']} was not written", err=True)
    if options["json_file"] == "-":
        click.echo(json.dumps(report, indent=2))
    else:
        console.print(pipeline_table(report, rows))
        for row in rows:
            if row.reason and not row.status.failed:
                console.print(f"{row.status}: {row.name}: {row.reason}", markup=False)
        print_footer(console, report, rows)
        if options["json_file"]:
            text = json.dumps(report, indent=2) + "\n"
            Path(options["json_file"]).write_text(text, encoding="utf-8")
    if any(row.status.failed for row in rows):
        sys.exit(1)


def _half_the_memory() -> int | None:
    # The rest is for the system's own caches and whoever else is on the machine.
    free = available_memory()
    return None if free is None else free // 2
