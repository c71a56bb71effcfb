"""Reports of ``accel bench`` and ``accel-conformance`` as one Markdown page, or as brief lines.

    python tools/dev/benchmark_page.py reports/*.json > docs/benchmarks/h200.md
    python tools/dev/benchmark_page.py --brief reports/*.json

Nothing is added to what the reports say: a figure that is not in them is not on the page.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Report = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--brief", action="store_true", help="a line a row, for a terminal")
    parser.add_argument("--title", default="", help="of the page; the chip's name by default")
    options = parser.parse_args()
    reports = [json.loads(file.read_text(encoding="utf-8")) for file in options.files]
    benches = [r for r in reports if r.get("schema", "").startswith("accel-bench/")]
    others = [r for r in reports if r not in benches]
    make = brief if options.brief else page
    sys.stdout.write("\n".join(make(benches, others, options.title)) + "\n")
    return 0


# --- a page ------------------------------------------------------------------------------------


def page(benches: list[Report], others: list[Report], title: str) -> Iterator[str]:
    """The page's lines."""
    first = (benches or others)[0]["environment"]
    chip = first.get("chip") or first.get("device_name", "")
    yield f"# {title or chip}"
    yield ""
    yield "Made from the reports of the commands below by `tools/dev/benchmark_page.py`. How rows"
    yield "are measured, and what the columns mean, is in [README.md](README.md)."
    said: set[str] = set()
    for report in benches:
        yield ""
        yield from _section(report, said)
    for report in others:
        yield ""
        yield from _conformance(report)


def _section(report: Report, said: set[str]) -> Iterator[str]:
    """A report; notes that are in ``said`` already are not said again."""
    environment = report["environment"]
    backend = environment["backend"]
    yield f"## {report['bench']}"
    yield ""
    if report["simulated"]:
        yield "**simulated: no figure here is a measurement of hardware**"
        yield ""
    yield "```"
    yield environment["command"]
    yield "```"
    yield ""
    yield (
        f"{environment['date']}: {environment['chip']} ({backend['device']}), {backend['name']}"
        f" {backend['version']}, torch {environment['torch']}, Python {environment['python']},"
        f" {environment['cpu']}, seed {environment['seed']}"
    )
    for note in (environment["toolkit"], backend["probe"], *backend["notes"]):
        if note and note not in said:
            yield f"- {note}"
            said.add(note)
    yield ""
    rows = [row for row in report["rows"] if row["status"] != "skipped"]
    yield from _table(COLUMNS.get(report["bench"], MOVES), rows)
    skipped = Counter(row["reason"] for row in report["rows"] if row["status"] == "skipped")
    for reason, count in skipped.items():
        yield f"- {count} rows skipped: {reason}"
    for note in report["notes"]:
        yield f"- {note}"


def _table(columns: Columns, rows: Iterable[Report]) -> Iterator[str]:
    yield "| workload | " + " | ".join(name for name, _ in columns) + " |"
    yield "|---|" + "---:|" * len(columns)
    for row in rows:
        shape = row.get("labels", {}).get("shape")
        name = f"{shape}: {row['name']}" if shape else row["name"]
        if row["status"] != "ok":
            cells = [f"{row['status']}: {row['reason']}", *[""] * (len(columns) - 1)]
        else:
            cells = [figure(row) for _, figure in columns]
        yield "| " + " | ".join([name, *cells]) + " |"


def _conformance(report: Report) -> Iterator[str]:
    environment = report["environment"]
    yield "## conformance"
    yield ""
    yield "```"
    yield _command(report)
    yield "```"
    yield ""
    outcomes = ", ".join(f"{n} {outcome}" for outcome, n in sorted(_counts(report).items()))
    yield (
        f"{environment['started']}: {outcomes}, in {report['seconds']:.0f} s; on"
        f" {environment['device']}, seed {environment['seed']}"
    )


def _command(report: Report) -> str:
    return str(report["environment"]["command"])


def _counts(report: Report) -> dict[str, int]:
    return dict(Counter(str(case["outcome"]) for case in report.get("cases", ())))


# --- brief -------------------------------------------------------------------------------------


def brief(benches: list[Report], others: list[Report], title: str) -> Iterator[str]:
    """A line a row: share of the plain copy, rate, device and host time, name."""
    for report in benches:
        yield f"== {report['bench']}: {report['environment']['command']}"
        for row in report["rows"]:
            shape = row.get("labels", {}).get("shape", "")
            name = f"{shape} {row['name']}".strip()
            if row["status"] != "ok":
                yield f"{row['status'].upper():>8} {name}: {row['reason'][:200]}"
                continue
            columns = COLUMNS.get(report["bench"], BRIEF)
            yield " ".join(f"{figure(row):>9}" for _, figure in columns) + f" {name}"
    for report in others:
        yield f"== {_command(report)}: {_counts(report)} in {report['seconds']:.0f} s"
        for case in report["cases"]:
            if case["outcome"] not in ("passed", "skipped"):
                message = " ".join(str(case["message"]).split())
                yield f"{case['outcome'].upper():>8} {case['id']}: {message[:200]}"
        slow = sorted(report["cases"], key=lambda case: -case["seconds"])[:5]
        yield "slowest: " + ", ".join(f"{case['id']} {case['seconds']:.1f} s" for case in slow)


# --- figures -----------------------------------------------------------------------------------


def _seconds(timing: Report | None) -> str:
    return "-" if timing is None else _time(timing["median"])


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for limit, factor, unit in ((1e-3, 1e6, "us"), (1.0, 1e3, "ms")):
        if abs(seconds) < limit:
            return f"{seconds * factor:.4g} {unit}"
    return f"{seconds:.4g} s"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else _time(value / 1e3)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _ratio(comparison: Report | None) -> str:
    return "-" if not comparison else _share(comparison["ratio"])


def _torch(row: Report) -> str:
    ratios = [c["ratio"] for c in row["torch"] if c["ratio"] is not None]
    return _number(ratios[0] if ratios else None)


def _device(row: Report) -> str:
    return _seconds(row["device"] if row["clock"].startswith("host, sub") else row["seconds"])


def _theirs(row: Report) -> str:
    timed = [c["seconds"] for c in row["torch"] if c["seconds"]]
    return _seconds(timed[0] if timed else None)


def _elapsed(mode: str) -> Any:
    return lambda row: _milliseconds(row["modes"].get(mode, {}).get("elapsed_ms"))


Columns = tuple[tuple[str, Any], ...]

MOVES: Columns = (
    ("bytes", lambda row: f"{row['bytes']:,}"),
    ("time", lambda row: _seconds(row["seconds"])),
    ("host", lambda row: _seconds(row["host"])),
    ("GB/s", lambda row: _number(row["gb_per_s"])),
    ("of a plain copy", lambda row: _ratio(row["roofline"])),
    ("x torch", _torch),
)
BRIEF: Columns = (
    ("of a plain copy", lambda row: _ratio(row["roofline"])),
    ("GB/s", lambda row: _number(row["gb_per_s"])),
    ("device", _device),
    ("host", lambda row: _seconds(row["host"])),
)
COLUMNS: dict[str, Columns] = {
    "calls": (
        ("host", lambda row: _seconds(row["seconds"])),
        ("torch's own", _theirs),
        ("x torch", _torch),
    ),
    "decode": (
        ("copy", lambda row: _milliseconds(row["copy_ms"])),
        ("compute", lambda row: _milliseconds(row["compute_ms"])),
        *((mode, _elapsed(mode)) for mode in ("compute", "pipelined", "synchronous", "by hand")),
        ("hidden", lambda row: _share(row["hidden"])),
        ("after first", lambda row: _share(row["hidden_after_first"])),
        ("gain", lambda row: _number(row["gain"])),
        ("bound", lambda row: _number(row["bound"])),
        ("submit beyond", lambda row: _milliseconds(row["submit_beyond_ms"])),
        ("by hand", lambda row: _milliseconds(row["submit_beyond_ms_by_hand"])),
    ),
    "pipeline": (
        ("copy", lambda row: _milliseconds(row["labels"].get("copy_ms"))),
        ("pipelined", lambda row: _milliseconds(row["pipelined"]["elapsed_ms"])),
        ("synchronous", lambda row: _milliseconds(row["synchronous"]["elapsed_ms"])),
        ("hidden", lambda row: _share(row["pipelined"]["hidden"])),
        ("after first", lambda row: _share(row["pipelined"]["hidden_after_first"])),
    ),
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
