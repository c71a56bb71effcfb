"""Rows as a table for people and as JSON (schema ``accel-bench/1``) for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from .rows import Comparison, Row, Status

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

__all__ = [
    "SCHEMA",
    "AnyRow",
    "document",
    "fixed",
    "print_footer",
    "print_report",
    "seconds_name",
    "title_of",
]

SCHEMA = "accel-bench/1"


class AnyRow(Protocol):
    """What the rows of every bench have."""

    @property
    def name(self) -> str: ...

    @property
    def status(self) -> Status: ...

    @property
    def reason(self) -> str: ...

    def as_json(self) -> dict[str, Any]: ...


def document(
    kind: str, environment: dict[str, Any], rows: Sequence[AnyRow], notes: Sequence[str]
) -> dict[str, Any]:
    """The JSON report. ``kind`` is the subcommand; ``notes`` say what was left out."""
    return {
        "schema": SCHEMA,
        "bench": kind,
        "simulated": bool(environment["backend"]["simulated"]),
        "environment": environment,
        "notes": list(notes),
        "rows": [row.as_json() for row in rows],
    }


def print_report(console: Console, report: dict[str, Any], rows: Sequence[Row]) -> None:
    """The table, what it was measured on, and what was left out or failed."""
    console.print(_table(report, rows))
    print_footer(console, report, rows)


def print_footer(console: Console, report: dict[str, Any], rows: Sequence[AnyRow]) -> None:
    """What comes below every table: where it was measured, and what was left out or failed."""
    environment = report["environment"]
    backend = environment["backend"]
    what = " ".join(x for x in (backend["distribution"], backend["version"]) if x)
    lines = [
        f"{environment['chip']}, {environment['cpus_allowed'] or environment['cpus']} CPUs, "
        f"load average {environment['load_average']}, "
        f"{environment['torch_threads']} torch threads, torch {environment['torch']}, "
        f"Python {environment['python']}, {what or backend['name']}, seed {environment['seed']}",
        *backend["notes"],
        *report["notes"],
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, style="dim")
    if report["simulated"]:
        console.print("simulated: no figure here is a measurement of hardware", style="bold yellow")
    failed = [row for row in rows if row.status.failed]
    for row in failed:
        text = f"{row.status}: {row.name}: {row.reason}"
        console.print(text, markup=False, highlight=False, style="bold red")


def title_of(report: dict[str, Any]) -> str:
    """What was run on what; anything simulated says so."""
    backend = report["environment"]["backend"]
    title = f"accel bench {report['bench']} on {backend['name']} ({backend['device']})"
    return f"{title}, simulated" if report["simulated"] else title


def _table(report: dict[str, Any], rows: Sequence[Row]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title_of(report), title_justify="left")
    shapes = {row.labels.get("shape") for row in rows} - {None}
    if shapes:
        table.add_column("shape", no_wrap=True)
    table.add_column("workload")
    for name in (
        "bytes",
        "median",
        "host",
        "GB/s",
        "roofline",
        "x memcpy",
        "x torch",
        "x torch new",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("path", no_wrap=True)
    table.add_column("checked", no_wrap=True)
    for row in rows:
        first = [Text(str(row.labels.get("shape", "")))] if shapes else []
        table.add_row(*first, Text(row.name), f"{row.bytes:,}", *_figures(row))
    return table


def _figures(row: Row) -> list[str | Text]:
    from rich.text import Text

    path = f"{row.level}, simulated" if row.simulated else row.level
    if row.seconds is None:
        # One line in the table; the JSON report has the whole reason.
        return [*["-"] * 7, path, Text(_say(row), style="red" if row.status.failed else "")]
    return [
        seconds_name(row.seconds.median),
        "-" if row.host is None else seconds_name(row.host.median),
        fixed(row.gb_per_s),
        _share(row.roofline),
        _ratio(row.memcpy),
        _torch_ratio(row, allocates=False),
        _torch_ratio(row, allocates=True),
        path,
        "yes" if row.checked else "no",
    ]


def _say(row: Row) -> str:
    if row.status in (Status.UNSUPPORTED, Status.SKIPPED):
        return f"{row.status}: {row.reason}"
    return str(row.status).upper()


def _torch_ratio(row: Row, *, allocates: bool) -> str:
    return _ratio(next((c for c in row.torch if c.allocates == allocates), None))


def _ratio(comparison: Comparison | None) -> str:
    return "-" if comparison is None or comparison.ratio is None else fixed(comparison.ratio)


def _share(comparison: Comparison | None) -> str:
    return "-" if comparison is None or comparison.ratio is None else f"{comparison.ratio:.1%}"


def fixed(value: float | None) -> str:
    """Three digits or so: ``0.0123``, ``1.23``, ``45.6``, ``789``."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    for limit, digits in ((0.1, 4), (10, 2), (100, 1)):
        if abs(value) < limit:
            return f"{value:.{digits}f}"
    return f"{value:.0f}"


def seconds_name(seconds: float) -> str:
    """``seconds`` in the unit that suits it."""
    for limit, factor, unit in ((1e-3, 1e6, "us"), (1.0, 1e3, "ms")):
        if seconds < limit:
            return f"{fixed(seconds * factor)} {unit}"
    return f"{fixed(seconds)} s"
