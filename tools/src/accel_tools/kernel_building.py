"""``accel build-kernels``: compile the kernels of the installed backends ahead of time."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console
from rich.table import Table

import accel
from accel.distributions import entry_points_of
from accel.kernel_builders import ENTRY_POINT_GROUP, KernelBuilder, KernelJob

__all__ = ["build_kernels"]


@dataclass(frozen=True)
class _Outcome:
    backend: str
    job: KernelJob
    state: str  # built, was there, not kept, failed
    bytes: int
    seconds: float
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "backend": self.backend,
            "chip": self.job.chip,
            "file": self.job.file,
            "variant": self.job.variant,
            "state": self.state,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "error": self.error,
        }


@click.command("build-kernels")
@click.option("--backend", "names", multiple=True, help="Of these backends only (default: all).")
@click.option("--chip", "chips", multiple=True, help="As sm_90; default: the devices here.")
@click.option("-j", "--jobs", "threads", type=click.IntRange(1), help="Threads that compile.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def build_kernels(
    names: tuple[str, ...], chips: tuple[str, ...], threads: int | None, as_json: bool
) -> None:
    """Compile kernels now that are otherwise compiled when a program first uses them.

    They go where the backend looks for them, for accel-cuda ACCEL_KERNEL_CACHE. Exits with 1 when a
    kernel does not compile or cannot be kept.
    """
    builders = _builders(names)
    work = _work(builders, chips)
    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        outcomes = list(pool.map(lambda one: _build(*one), work))
    if as_json:
        folders = {name: builder.folder() for name, builder in builders.items()}
        click.echo(json.dumps({"folders": folders, "kernels": [o.to_dict() for o in outcomes]}))
    else:
        _print(outcomes, builders)
    if any(outcome.state in ("failed", "not kept") for outcome in outcomes):
        raise SystemExit(1)


def _builders(names: tuple[str, ...]) -> dict[str, KernelBuilder]:
    found = {point.name: point for point in entry_points_of(ENTRY_POINT_GROUP)[0]}
    known = ", ".join(sorted(found)) or "none"
    for name in names:
        if name not in found:
            raise click.ClickException(
                f"no installed backend {name!r} builds kernels ahead of time; these do: {known}"
            )
    if not found:
        raise click.ClickException(
            "no installed backend builds kernels ahead of time. Cure: `pip install accel-cuda`"
        )
    builders = {}
    for name in names or sorted(found):
        try:
            builders[name] = found[name].load()
        except Exception as error:
            raise click.ClickException(
                f"{found[name].value} of {found[name].distribution} cannot be loaded:"
                f" {type(error).__name__}: {error}. Cure: `accel doctor`"
            ) from error
    return builders


def _chips(
    name: str, builder: KernelBuilder, given: tuple[str, ...], alone: bool
) -> tuple[str, ...]:
    if given:
        return tuple(dict.fromkeys(given))
    here = tuple(builder.chips_here())
    if not here and alone:
        raise click.ClickException(
            f"no device of {name} is here. Cure: name the chips to build for, as --chip sm_90"
        )
    return here


def _work(
    builders: dict[str, KernelBuilder], chips: tuple[str, ...]
) -> list[tuple[str, KernelBuilder, KernelJob]]:
    """Every job. A chip is for the backends that know it; one that none knows is a mistake."""
    work = []
    refused: dict[str, list[str]] = {}
    known = set()
    for name, builder in builders.items():
        for chip in _chips(name, builder, chips, alone=len(builders) == 1):
            try:
                work += [(name, builder, job) for job in builder.jobs(chip)]
            except accel.ArgumentError as error:
                refused.setdefault(chip, []).append(f"{name}: {error}")
            else:
                known.add(chip)
    mistakes = [text for chip, texts in refused.items() if chip not in known for text in texts]
    if mistakes:
        raise click.ClickException("\n".join(mistakes))
    return work


def _build(name: str, builder: KernelBuilder, job: KernelJob) -> _Outcome:
    begin = time.perf_counter()
    try:
        built = builder.build(job)
    except accel.AccelError as error:
        return _Outcome(name, job, "failed", 0, time.perf_counter() - begin, str(error))
    state = "not kept" if not built.kept else "was there" if built.was_there else "built"
    return _Outcome(name, job, state, built.bytes, time.perf_counter() - begin)


def _print(outcomes: list[_Outcome], builders: dict[str, KernelBuilder]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("backend", "chip", "file", "variant"):
        table.add_column(heading, overflow="fold")
    for heading in ("bytes", "seconds"):
        table.add_column(heading, justify="right")
    table.add_column("state")
    for outcome in outcomes:
        job, seconds = outcome.job, f"{outcome.seconds:.2f}"
        size = f"{outcome.bytes:,}" if outcome.bytes else ""
        table.add_row(
            outcome.backend, job.chip, job.file, job.variant, size, seconds, outcome.state
        )
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200  # rows in a pipe are for grep, not for folding
    console.print(table)
    console.print()
    for name, builder in builders.items():
        mine = [outcome for outcome in outcomes if outcome.backend == name]
        built = sum(outcome.state == "built" for outcome in mine)
        total = sum(outcome.bytes for outcome in mine)
        console.print(
            f"{name}: {built} built, {len(mine)} in all, {total:,} bytes, in {builder.folder()}",
            soft_wrap=True,
        )
    for text in dict.fromkeys(outcome.error for outcome in outcomes if outcome.error):
        console.print(text, style="red", soft_wrap=True, markup=False)
