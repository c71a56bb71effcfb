"""What is shown while cases run: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import pytest
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .plugin import RECORDER
from .recorder import Recorder
from .report.terminal import print_report

__all__ = ["TerminalView"]

_LOG_EVERY_SECONDS = 15.0


class TerminalView:
    """A pytest plugin for the controller, in place of pytest's own terminal output."""

    def __init__(self, console: Console, show_details: bool) -> None:
        self._console = console
        self._show_details = show_details
        self._progress: Progress | None = None
        self._task: Any = None
        self._done: set[str] = set()
        self._bad = 0
        self._logged = time.monotonic()
        self._recorder: Recorder | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        recorder = session.config.stash[RECORDER]
        self._recorder = recorder
        environment = recorder.report().environment
        simulated = ", [bold yellow]simulated[/]" if environment.simulated else ""
        self._console.print(
            f"[bold]accel-conformance[/] {environment.conformance}: backend"
            f" [bold]{escape(environment.backend)}[/] ({escape(environment.distribution)}"
            f" {escape(environment.version)}) on {environment.device}{simulated}"
        )
        self._console.print(f"{escape(environment.probe)}", style="dim")
        self._console.print(f"seed [bold]{environment.seed}[/]")
        if self._console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._progress.add_task("starting", total=None)
            self._progress.start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if self._progress is not None and self._recorder is not None:
            name = nodeid.rpartition("/")[2]
            self._progress.update(
                self._task, description=f"{name[:60]:60}", total=self._recorder.expected
            )

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        assert self._recorder is not None
        result = self._recorder.results[report.nodeid]
        if report.when in ("teardown", "???"):
            self._done.add(report.nodeid)
            if result.bad:
                self._bad += 1
                self._console.print(f"[bold red]{result.outcome}[/] {escape(result.id)}")
                if self._show_details:
                    self._console.print(escape(result.details), soft_wrap=True)
        if self._progress is not None:
            self._progress.update(self._task, completed=len(self._done))
        elif time.monotonic() - self._logged > _LOG_EVERY_SECONDS:
            self._logged = time.monotonic()
            self._console.print(
                f"{len(self._done)} of {self._recorder.expected} cases done,"
                f" {self._bad} failed; L{result.level} now"
            )

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self) -> Generator[None, None, None]:
        yield  # the recorder counts what did not run
        if self._progress is not None:
            self._progress.stop()
        report = self._recorder.report() if self._recorder is not None else None
        if report is not None and (report.cases or report.problems):
            print_report(report, self._console)
