"""The ``accel-conformance`` command."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from . import __version__
from .choosing import parse_levels

__all__ = ["main"]

_PACKAGE = Path(__file__).parent
_FORMS = ("json", "markdown", "html", "junit", "badge")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, package_name="accel-conformance")
def main() -> None:
    """Check that an accel backend does what the contract says and its plugin claims."""


@main.command()
@click.option("--backend", required=True, metavar="NAME", help="The backend to check.")
@click.option("--device", metavar="DEVICE", help="The device, such as cuda:1.")
@click.option(
    "-n",
    "workers",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    metavar="N",
    help="Worker processes, spread over the devices. 0: in this process, for debuggers;"
    " a crash of native code then ends the run.",
)
@click.option("--level", "levels", multiple=True, metavar="L", help="L1, or L0..L2; repeatable.")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Repeat the run with this seed.")
@click.option("-k", "expression", metavar="EXPR", help="Cases whose names match, as pytest has it.")
@click.option(
    "--case",
    "cases",
    multiple=True,
    metavar="ID",
    help="Only this case, with or without [parameters], or with *; repeatable.",
)
@click.option("--quick", is_flag=True, help="Fewer rounds of what is repeated.")
@click.option(
    "--patience",
    type=click.FloatRange(0.1),
    default=1.0,
    metavar="X",
    help="Factor on the cases' time limits, for slow machines.",
)
@click.option("--details", is_flag=True, help="Print the traceback of each failure.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The report as JSON [default: reports/conformance-NAME.json].",
)
@click.option(
    "--markdown",
    "markdown_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The report as Markdown [default: reports/conformance-NAME.md].",
)
@click.option(
    "--html",
    "html_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The report as HTML.",
)
@click.option(
    "--junit",
    "junit_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The report as JUnit XML.",
)
@click.option(
    "--badge", "badge_file", type=click.Path(path_type=Path), metavar="FILE", help="A badge as SVG."
)
def run(
    backend: str,
    device: str | None,
    workers: int,
    levels: tuple[str, ...],
    seed: int | None,
    expression: str | None,
    cases: tuple[str, ...],
    quick: bool,
    patience: float,
    details: bool,
    json_file: Path | None,
    markdown_file: Path | None,
    html_file: Path | None,
    junit_file: Path | None,
    badge_file: Path | None,
) -> None:
    """Run the suite. Exits with 0 only if cases ran and none failed.

    The JSON and Markdown reports are written to reports/ unless a path is given, or only some
    cases were asked for with --case or -k.
    """
    try:
        parse_levels(levels)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--level") from None
    files = dict(
        zip(_FORMS, (json_file, markdown_file, html_file, junit_file, badge_file), strict=True)
    )
    if not cases and expression is None:
        files["json"] = json_file or Path("reports", f"conformance-{backend}.json")
        files["markdown"] = markdown_file or Path("reports", f"conformance-{backend}.md")
    arguments = [str(_PACKAGE / "cases"), "-c", str(_PACKAGE / "pytest.ini")]
    arguments += ["--rootdir", str(_PACKAGE), "-p", "no:terminal", "-p", "no:cacheprovider"]
    arguments += ["-p", "accel_conformance.plugin", f"--accel-backend={backend}"]
    arguments += [f"--accel-patience={patience}"]
    arguments += [f"--accel-level={level}" for level in levels]
    arguments += [f"--accel-case={case}" for case in cases]
    if quick:
        arguments.append("--accel-quick")
    if device is not None:
        arguments.append(f"--accel-device={device}")
    if seed is not None:
        arguments.append(f"--accel-seed={seed}")
    if expression is not None:
        arguments += ["-k", expression]
    if workers:
        arguments += ["-p", "xdist", "-n", str(workers), "--dist", "worksteal"]
    arguments += [f"--accel-{form}={path}" for form, path in files.items() if path]
    before = {path: _written(path) for path in files.values() if path}
    code = _run_pytest(arguments, details)
    for form, path in files.items():
        if path is not None and _written(path) != before[path]:
            click.echo(f"{form} report: {path}")
    sys.exit(code)


def _written(path: Path) -> int:
    """When the file was written; 0 if it is not there."""
    return path.stat().st_mtime_ns if path.exists() else 0


def _run_pytest(arguments: list[str], details: bool) -> int:
    import pytest

    from .progress import TerminalView
    from .report.console import console_for

    # Plugins that happen to be installed must not change what is checked.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ.pop("PYTEST_ADDOPTS", None)
    code = pytest.main(arguments, plugins=[TerminalView(console_for(), details)])
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        click.echo("no case ran", err=True)
    return int(code)


@main.command("list")
@click.option("--level", "levels", multiple=True, metavar="L", help="L1, or L0..L2; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_cases(levels: tuple[str, ...], as_json: bool) -> None:
    """Show the cases: id, capabilities needed, one line."""
    from .catalogue import catalogue

    try:
        wanted = parse_levels(levels)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--level") from None
    entries = [entry for entry in catalogue() if entry.level in wanted]
    if as_json:
        click.echo(json.dumps([entry.to_json() for entry in entries], indent=1))
        return
    from .catalogue import print_catalogue
    from .report.console import console_for

    print_catalogue(entries, console_for(columns=200))


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--form",
    type=click.Choice(["terminal", *_FORMS]),
    default="terminal",
    show_default=True,
    help="What to turn it into.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write it there instead of to the terminal.",
)
def report(file: Path, form: str, output: Path | None) -> None:
    """Show a saved JSON report again, or turn it into another form.

    Exits with 0 if the run that it reports was good.
    """
    from .report import Report, write_reports
    from .report.console import console_for
    from .report.terminal import print_report
    from .report.writing import FORMS

    try:
        found = Report.from_json(json.loads(file.read_text(encoding="utf-8")))
    except ValueError as error:
        raise click.ClickException(f"{file}: {error}") from None
    if form == "terminal":
        if output is not None:
            with output.open("w", encoding="utf-8") as stream:
                print_report(found, console_for(stream))
        else:
            print_report(found)
    elif output is not None:
        write_reports(found, {form: output})
    else:
        click.echo(FORMS[form](found), nl=False)
    sys.exit(0 if found.ok else 1)
