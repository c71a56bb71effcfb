"""The report as people see it at the end of a run."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..case import LEVELS
from .console import console_for
from .model import OUTCOMES, CaseResult, LevelTotals, Report

__all__ = ["print_report"]

_STYLE = {
    "passed": "green",
    "failed": "bold red",
    "error": "bold red",
    "skipped": "yellow",
    "xfailed": "yellow",
    "xpassed": "bold red",
    "yes": "green",
    "no": "yellow",
}


def print_report(report: Report, console: Console | None = None) -> None:
    """Levels, capabilities, what was skipped and why, what failed and how to repeat it."""
    console = console or console_for()
    console.print()
    console.print(_levels(report))
    console.print(_capabilities(report))
    for reason, count in report.skip_reasons.items():
        console.print(f"[yellow]skipped {count}[/]: {escape(reason)}")
    for result in report.cases:
        for warning in result.warnings:
            console.print(f"[yellow]warning[/]: {escape(warning)}")
    for problem in report.problems:
        console.print(f"[bold red]problem[/]: {escape(problem)}")
    for failure in report.failures:
        _print_failure(failure, console)
    environment = report.environment
    color = "green" if report.ok else "bold red"
    console.print(
        f"[{color}]{environment.backend}: {escape(report.verdict)}[/] in {report.seconds:.1f} s,"
        f" seed {environment.seed}"
    )


def _levels(report: Report) -> Table:
    table = Table(title=report.title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("level", no_wrap=True)
    for outcome in OUTCOMES:
        table.add_column(outcome, justify="right")
    table.add_column("seconds", justify="right")
    for level, totals in report.levels.items():
        table.add_row(f"L{level} {LEVELS[level]}", *_numbers(totals))
    table.add_section()
    table.add_row("all", *_numbers(report.totals))
    return table


def _numbers(totals: LevelTotals) -> list[str]:
    cells = []
    for outcome in OUTCOMES:
        count = getattr(totals, outcome)
        cells.append(f"[{_STYLE[outcome]}]{count}[/]" if count else "[dim]0[/]")
    return [*cells, f"{totals.seconds:.1f}"]


def _capabilities(report: Report) -> Table:
    simulated = " (simulated)" if report.environment.simulated else ""
    table = Table(title=f"capabilities{simulated}", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("capability", no_wrap=True)
    table.add_column("claimed")
    table.add_column("verified")
    table.add_column("cases", justify="right")
    table.add_column("note", overflow="fold")
    for verdict in report.capabilities:
        style = _STYLE[verdict.verified]
        table.add_row(
            verdict.capability,
            verdict.level,
            f"[{style}]{verdict.verified}[/]",
            str(verdict.cases),
            escape(verdict.note),
        )
    return table


def _print_failure(failure: CaseResult, console: Console) -> None:
    console.print(f"[bold red]{failure.outcome}[/] [bold]{escape(failure.id)}[/]")
    console.print(f"  {escape(failure.message)}", soft_wrap=True)
    # One line, so that it can be copied.
    console.print(f"  {escape(failure.rerun)}", soft_wrap=True, style="cyan")
